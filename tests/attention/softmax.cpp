#include "fot/attention/softmax.hpp"

#include <doctest/doctest.h>

#include <tuple>
#include <vector>

#include "fot/core/random.hpp"
#include "support/attention_check.hpp"
#include "support/with_threads.hpp"

using namespace fot;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// o and log-sum-exp of one head, in index notation.
struct Plain {
    Tensor<double, 2> o;
    std::vector<double> log_sum_exp;
};
template <class Real>
Plain plain_softmax(const Tensor<Real, 2>& q, const Tensor<Real, 2>& k, const Tensor<Real, 2>& v,
                    const Visibility<Real>& visibility = {}) {
    Plain result{zeros<double, 2>({extent(q, 0), extent(v, 1)}), {}};
    for (Index t = 0; t < extent(q, 0); ++t) {
        const Index seen = visibility.seen(t, 0, extent(k, 0));
        double highest = -infinity, sum = 0;
        std::vector<double> scores;
        for (Index s = 0; s < seen; ++s) {
            double score = visibility.bias ? static_cast<double>(visibility.bias[t * visibility.bias_leading + s]) : 0;
            for (Index d = 0; d < extent(q, 1); ++d) score += static_cast<double>(q(t, d)) * static_cast<double>(k(s, d));
            scores.push_back(score);
            highest = std::max(highest, score);
        }
        for (double& score : scores) sum += score = std::exp(score - highest);
        for (Index s = 0; s < seen; ++s)
            for (Index e = 0; e < extent(v, 1); ++e)
                result.o(t, e) += scores[static_cast<std::size_t>(s)] / sum * static_cast<double>(v(s, e));
        result.log_sum_exp.push_back(highest + std::log(sum));
    }
    return result;
}

template <class Real>
double difference_from_plain(Index queries, Index keys, Index width, Index value_width, double deviation, bool masked) {
    Random random(static_cast<std::uint64_t>(queries + keys));
    const Tensor<Real, 2> q = normal_tensor<Real, 2>({queries, width}, deviation, random),
                          k = normal_tensor<Real, 2>({keys, width}, 1, random);
    const Tensor<Real, 2> v = normal_tensor<Real, 2>({keys, value_width}, 1, random),
                          bias = normal_tensor<Real, 2>({queries, keys}, 1, random);
    Visibility<Real> visibility;
    std::vector<Index> last_visible;
    for (Index t = 0; t < queries; ++t) last_visible.push_back(random.below(keys));
    if (masked) visibility = {last_visible.data(), bias.data(), keys};
    RunningSoftmax<Real> softmax(as_matrix(q), value_width);
    softmax.attend(as_matrix(k), as_matrix(v), visibility);
    Tensor<Real, 2> o = empty<Real, 2>({queries, value_width});
    std::vector<Real> log_sum_exps(static_cast<std::size_t>(queries));
    softmax.write(as_matrix(o), log_sum_exps.data());
    const Plain plain = plain_softmax(q, k, v, visibility);
    double worst = 0;
    for (Index t = 0; t < queries; ++t) {
        REQUIRE(element(log_sum_exps, t) == softmax.log_sum_exp(t));
        worst = testing::worse(
            worst, std::abs(static_cast<double>(softmax.log_sum_exp(t)) - plain.log_sum_exp[static_cast<std::size_t>(t)]));
        for (Index e = 0; e < value_width; ++e)
            worst = testing::worse(worst, std::abs(static_cast<double>(o(t, e)) - plain.o(t, e)));
    }
    return worst;
}

}  // namespace

TEST_CASE("softmax of two keys: hand numbers") {
    const Tensor<double, 2> q{{1.0}}, k{{std::log(3.0)}, {0.0}}, v{{8.0, 1.0}, {0.0, 5.0}};
    RunningSoftmax<double> softmax(as_matrix(q), 2);
    softmax.attend(as_matrix(k), as_matrix(v));
    Tensor<double, 2> o = empty<double, 2>({1, 2});
    softmax.write(as_matrix(o));
    CHECK(o(0, 0) == doctest::Approx(6));
    CHECK(o(0, 1) == doctest::Approx(2));
    CHECK(softmax.log_sum_exp(0) == doctest::Approx(std::log(4.0)));
}

TEST_CASE_TEMPLATE("few queries, which pack nothing, and one more attend as written out, masked too", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    for (const Index queries : {1, 2, 3, 4, 5})
        for (const Index keys : {1, 255, 257, 700})
            for (const bool masked : {false, true}) {
                CHECK(difference_from_plain<Real>(queries, keys, 6, 3, 0.5, masked) < tolerance);
                CHECK(difference_from_plain<Real>(queries, keys, 64, 100, 0.3, masked) < tolerance);
            }
}

TEST_CASE_TEMPLATE("stored 16-bit keys and values are read as their widened copies", Real, float, double) {
    Random random(31);
    for (const Index queries : {1, 4, 5, 70}) {
        const Tensor<Real, 2> q = normal_tensor<Real, 2>({queries, 20}, 1, random);
        Tensor<BFloat16, 2> k = empty<BFloat16, 2>({300, 20}), v = empty<BFloat16, 2>({300, 9});
        for (Tensor<BFloat16, 2>* each : {&k, &v})
            for (BFloat16& number : each->storage()) number = to_bfloat16(static_cast<float>(random.normal()));
        Tensor<Real, 2> wide_k, wide_v, o = empty<Real, 2>({queries, 9}), expected = o;
        RunningSoftmax<Real> stored(as_matrix(q), 9), wide(as_matrix(q), 9);
        stored.attend(as_matrix(std::as_const(k)), as_matrix(std::as_const(v)));
        wide.attend(widened_rows<Real>(as_matrix(std::as_const(k)), wide_k),
                    widened_rows<Real>(as_matrix(std::as_const(v)), wide_v));
        stored.write(as_matrix(o));
        wide.write(as_matrix(expected));
        CHECK(testing::largest_difference(o, expected) <
              (std::is_same_v<Real, float> ? 1e-6 : 1e-14));  // the compiler rounds on the way
    }
}

TEST_CASE_TEMPLATE("the running softmax equals the written-out one around the edges of tiles and blocks", Real, float, double) {
    const double tolerance = std::is_same_v<Real, float> ? 1e-5 : 1e-12;
    for (const bool masked : {false, true}) {
        CHECK(difference_from_plain<Real>(1, 1, 1, 1, 1, masked) < tolerance);
        CHECK(difference_from_plain<Real>(3, 5, 4, 2, 0.5, masked) < tolerance);
        CHECK(difference_from_plain<Real>(64, 256, 3, 7, 0.3, masked) < tolerance);
        CHECK(difference_from_plain<Real>(65, 257, 33, 17, 0.2, masked) < tolerance);
        CHECK(difference_from_plain<Real>(130, 600, 5, 3, 2, masked) < 10 * tolerance);
    }
}

TEST_CASE("keys may come in any number of calls, with the largest score first or last") {
    Random random(3);
    const Index count = 600;
    const Tensor<float, 2> q = full<float, 2>({2, 1}, 1.0f), v = normal_tensor<float, 2>({count, 3}, 1, random);
    Tensor<float, 2> rising = empty<float, 2>({count, 1});
    for (Index s = 0; s < count; ++s) rising(s, 0) = static_cast<float>(s) / 10;
    for (const float sign : {1.0f, -1.0f}) {
        Tensor<float, 2> k = rising;
        for (float& number : k.storage()) number *= sign;
        RunningSoftmax<float> whole(as_matrix(q), 3), parts(as_matrix(q), 3);
        whole.attend(as_matrix(k), as_matrix(v));
        for (Index s = 0; s < count; s += 50) parts.attend(as_matrix(k).rows_from(s, 50), as_matrix(v).rows_from(s, 50));
        Tensor<float, 2> whole_o = empty<float, 2>({2, 3}), parts_o = whole_o;
        whole.write(as_matrix(whole_o));
        parts.write(as_matrix(parts_o));
        CHECK(testing::largest_difference(whole_o, parts_o) < 1e-5);
        CHECK(whole.log_sum_exp(0) == doctest::Approx(parts.log_sum_exp(0)));
        const Plain plain = plain_softmax(q, k, v);
        for (Index e = 0; e < 3; ++e) CHECK(static_cast<double>(whole_o(1, e)) == doctest::Approx(plain.o(1, e)).epsilon(1e-4));
    }
}

TEST_CASE("scores in the thousands neither overflow nor vanish") {
    for (const float level : {5000.0f, -5000.0f}) {
        const Tensor<float, 2> q{{1.0f}}, k{{level}, {level - 1}}, v{{1.0f}, {0.0f}};
        RunningSoftmax<float> softmax(as_matrix(q), 1);
        softmax.attend(as_matrix(k), as_matrix(v));
        Tensor<float, 2> o = empty<float, 2>({1, 1});
        softmax.write(as_matrix(o));
        CHECK(o(0, 0) == doctest::Approx(1 / (1 + std::exp(-1.0))));
        CHECK(softmax.log_sum_exp(0) == doctest::Approx(static_cast<double>(level) + std::log1p(std::exp(-1.0))));
    }
}

TEST_CASE("scores may rise and fall by any amount from one block to the next") {
    const Tensor<float, 2> q{{1.0f}};
    for (const float step : {300.0f, -300.0f}) {  // e^300 is beyond a float
        Tensor<float, 2> k = empty<float, 2>({3 * key_block, 1}), v = k, o = empty<float, 2>({1, 1});
        for (Index s = 0; s < 3 * key_block; ++s) k(s, 0) = step * (v(s, 0) = static_cast<float>(s / key_block));
        RunningSoftmax<float> softmax(as_matrix(q), 1);
        softmax.attend(as_matrix(k), as_matrix(v));
        softmax.write(as_matrix(o));
        CHECK(o(0, 0) == (step > 0 ? 2 : 0));
        CHECK(softmax.log_sum_exp(0) == doctest::Approx((step > 0 ? 600 : 0) + std::log(key_block)));
    }
}

TEST_CASE("without values only the log-sum-exp is made, and it is bitwise the same") {
    Random random(4);
    const Tensor<float, 2> q = normal_tensor<float, 2>({70, 5}, 1, random), k = normal_tensor<float, 2>({300, 5}, 1, random);
    RunningSoftmax<float> with(as_matrix(q), 5), without(as_matrix(q), 0);
    with.attend(as_matrix(k), as_matrix(k));
    without.attend(as_matrix(k), {});
    for (Index t = 0; t < 70; ++t) REQUIRE(with.log_sum_exp(t) == without.log_sum_exp(t));
}

TEST_CASE("a query that sees no key gets zeros and minus infinity") {
    const Tensor<double, 2> q{{1.0}, {1.0}}, k{{1.0}, {2.0}}, v{{3.0}, {4.0}}, none = empty<double, 2>({0, 1});
    const std::vector<Index> last_visible{-1, 0};
    RunningSoftmax<double> softmax(as_matrix(q), 1);
    softmax.attend(as_matrix(none), as_matrix(none));
    softmax.attend(as_matrix(k), as_matrix(v), {last_visible.data(), nullptr, 0});
    Tensor<double, 2> o = full<double, 2>({2, 1}, 9.0);
    softmax.write(as_matrix(o));
    CHECK(o(0, 0) == 0);
    CHECK(softmax.log_sum_exp(0) == -infinity);
    CHECK(o(1, 0) == 3);
    CHECK(softmax.log_sum_exp(1) == 1);
}

TEST_CASE("keys hidden by a bias of minus infinity are as good as absent, even all of them") {
    const Tensor<double, 2> q{{1.0}, {1.0}}, k{{1.0}, {2.0}}, v{{3.0}, {4.0}}, bias{{-infinity, -infinity}, {-infinity, 0.0}};
    const Visibility<double> visibility{nullptr, bias.data(), 2};
    RunningSoftmax<double> softmax(as_matrix(q), 1);
    softmax.attend(as_matrix(k), as_matrix(v), visibility);
    Tensor<double, 2> o = empty<double, 2>({2, 1});
    softmax.write(as_matrix(o));
    CHECK(o(0, 0) == 0);
    CHECK(softmax.log_sum_exp(0) == -infinity);
    CHECK(o(1, 0) == 4);
    CHECK(softmax.log_sum_exp(1) == 2);

    const std::vector<double> log_sum_exp{-infinity, 2}, delta{0, 4};
    const Tensor<double, 2> d_o = full<double, 2>({2, 1}, 1.0);
    Tensor<double, 2> d_q = zeros_like(q), d_k = zeros_like(k), d_v = zeros_like(v);
    softmax_attention_vjp<double>({.q = as_matrix(q),
                                   .keys = as_matrix(k),
                                   .values = as_matrix(v),
                                   .log_sum_exp = log_sum_exp.data(),
                                   .delta = delta.data(),
                                   .d_o = as_matrix(d_o),
                                   .d_q = as_matrix(d_q),
                                   .d_keys = as_matrix(d_k),
                                   .d_values = as_matrix(d_v)},
                                  visibility);
    CHECK(d_v(0, 0) == 0);
    CHECK(d_v(1, 0) == 1);
    for (const auto* gradient : {&d_q, &d_k})
        for (const double number : gradient->storage()) CHECK(number == 0);
}

TEST_CASE("a NaN in a query or a key shows in the result") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Tensor<double, 2> bad_q{{nan}, {1.0}}, bad_k{{nan}, {1.0}}, good{{1.0}, {2.0}};
    RunningSoftmax<double> from_query(as_matrix(bad_q), 1), from_key(as_matrix(good), 1);
    from_query.attend(as_matrix(good), as_matrix(good));
    from_key.attend(as_matrix(bad_k), as_matrix(good));
    Tensor<double, 2> o = empty<double, 2>({2, 1});
    from_query.write(as_matrix(o));
    CHECK(std::isnan(o(0, 0)));
    CHECK(std::isnan(from_query.log_sum_exp(0)));
    CHECK(std::isfinite(o(1, 0)));
    from_key.write(as_matrix(o));
    CHECK(std::isnan(o(0, 0)));
    CHECK(std::isnan(from_key.log_sum_exp(1)));
}

TEST_CASE("visibility counts a prefix of each block") {
    const std::vector<Index> last_visible{0, 5, 2};
    const Visibility<float> some{last_visible.data(), nullptr, 0}, all;
    CHECK(some.seen(0, 0, 4) == 1);
    CHECK(some.seen(1, 0, 4) == 4);
    CHECK(some.seen(1, 4, 4) == 2);
    CHECK(some.seen(2, 4, 4) == 0);
    CHECK(some.most_seen(0, 3, 0, 4) == 4);
    CHECK(some.most_seen(0, 1, 0, 4) == 1);
    CHECK(some.most_seen(2, 1, 4, 4) == 0);
    CHECK(all.seen(7, 4, 4) == 4);
    CHECK(all.most_seen(0, 9, 4, 3) == 3);
}

TEST_CASE("the queries of few heads are cut into parts of whole tiles, last part first, and those of many heads are not") {
    const auto count_parts = [](Index units, Index queries) {
        std::vector<Index> parts(static_cast<std::size_t>(units)), left(static_cast<std::size_t>(units), queries);
        const testing::WithThreads one(1);
        detail::for_query_parts(units, queries, [&](Index unit, Index first, Index count) {
            ++element(parts, unit);
            CHECK(first % query_tile == 0);
            CHECK(first + count == element(left, unit));
            element(left, unit) = first;
        });
        for (Index unit = 0; unit < units; ++unit) CHECK(element(left, unit) == 0);
        return parts.front();
    };
    CHECK(count_parts(1, 40000) == 64);
    CHECK(count_parts(1, 2049) == 4);
    CHECK(count_parts(20, 2000) == 3);
    CHECK(count_parts(33, 2048) == 1);
    for (const Index queries : {0, 1, 1023}) CHECK(count_parts(2, queries) == 1);
}

TEST_CASE("the gradient of one visit is that of finite differences, at any width and with what was there before") {
    struct Sizes {
        Index queries, keys, width, value_width;
        bool masked;
    };
    for (const Sizes s : {Sizes{1, 1, 1, 1, false}, Sizes{3, 4, 2, 5, false}, Sizes{3, 4, 5, 2, true}, Sizes{70, 300, 3, 2, false},
                          Sizes{65, 257, 2, 9, true}}) {
        CAPTURE(s.queries);
        CAPTURE(s.masked);
        Random random(5);
        Tensor<double, 2> q = normal_tensor<double, 2>({s.queries, s.width}, 1, random),
                          k = normal_tensor<double, 2>({s.keys, s.width}, 1, random);
        Tensor<double, 2> v = normal_tensor<double, 2>({s.keys, s.value_width}, 1, random);
        const Tensor<double, 2> bias = normal_tensor<double, 2>({s.queries, s.keys}, 1, random);
        const Tensor<double, 2> d_o = normal_tensor<double, 2>({s.queries, s.value_width}, 1, random);
        const Tensor<double, 2> d_log_sum_exp = normal_tensor<double, 2>({s.queries, 1}, 1, random);
        std::vector<Index> last_visible;
        for (Index t = 0; t < s.queries; ++t) last_visible.push_back(random.below(s.keys));
        const Visibility<double> visibility =
            s.masked ? Visibility<double>{last_visible.data(), bias.data(), s.keys} : Visibility<double>{};
        Tensor<double, 2> o = zeros<double, 2>({s.queries, s.value_width}), log_sum_exp = zeros<double, 2>({s.queries, 1});
        const auto loss = [&] {
            RunningSoftmax<double> softmax(as_matrix(q), s.value_width);
            softmax.attend(as_matrix(k), as_matrix(v), visibility);
            softmax.write(as_matrix(o));
            for (Index t = 0; t < s.queries; ++t) log_sum_exp(t, 0) = softmax.log_sum_exp(t);
            return testing::weighted_sum(o, d_o) + testing::weighted_sum(log_sum_exp, d_log_sum_exp);
        };
        loss();
        std::vector<double> delta;
        for (Index t = 0; t < s.queries; ++t) {
            delta.push_back(-d_log_sum_exp(t, 0));
            for (Index e = 0; e < s.value_width; ++e) delta.back() += d_o(t, e) * o(t, e);
        }
        Tensor<double, 2> d_q = full(shape_of(q), 0.5), d_k = full(shape_of(k), 0.5), d_v = full(shape_of(v), 0.5);
        softmax_attention_vjp<double>({.q = as_matrix(q),
                                       .keys = as_matrix(k),
                                       .values = as_matrix(v),
                                       .log_sum_exp = log_sum_exp.data(),
                                       .delta = delta.data(),
                                       .d_o = as_matrix(d_o),
                                       .d_q = as_matrix(d_q),
                                       .d_keys = as_matrix(d_k),
                                       .d_values = as_matrix(d_v)},
                                      visibility);
        for (auto* gradient : {&d_q, &d_k, &d_v})
            for (double& number : gradient->storage()) number -= 0.5;
        CHECK(testing::directional_error(q, d_q, loss) < 1e-6);
        CHECK(testing::directional_error(k, d_k, loss) < 1e-6);
        CHECK(testing::directional_error(v, d_v, loss) < 1e-6);
        if (s.keys > 10) continue;
        CHECK(testing::gradient_error(q, d_q, loss) < 1e-6);
        CHECK(testing::gradient_error(k, d_k, loss) < 1e-6);
        CHECK(testing::gradient_error(v, d_v, loss) < 1e-6);
    }
}

TEST_CASE("views that do not fit the queries are refused by name") {
    const Tensor<float, 2> q = zeros<float, 2>({2, 3}), k = zeros<float, 2>({4, 3}), v = zeros<float, 2>({4, 5}),
                           narrow = zeros<float, 2>({4, 2}), few = zeros<float, 2>({3, 5}), wide = zeros<float, 2>({4, 40});
    RunningSoftmax<float> softmax(as_matrix(q), 5), no_values(as_matrix(q), 0);
    CHECK_NOTHROW(softmax.attend(as_matrix(k), as_matrix(v)));
    CHECK_THROWS_WITH_AS(softmax.attend(as_matrix(narrow), as_matrix(v)), "RunningSoftmax: keys has shape (4, 2), expected (4, 3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(softmax.attend(as_matrix(k), as_matrix(few)), "RunningSoftmax: values has shape (3, 5), expected (4, 5)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(softmax.attend(as_matrix(k), as_matrix(wide)), "RunningSoftmax: values has shape (4, 40), expected (4, 5)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(softmax.attend(as_matrix(k), {}), "RunningSoftmax: values has shape (0, 0), expected (4, 5)", ShapeError);
    CHECK_THROWS_WITH_AS(no_values.attend(as_matrix(k), as_matrix(v)), "RunningSoftmax: values has shape (4, 5), expected (4, 0)",
                         ShapeError);
    // A view whose transpose is meant: its numbers lie otherwise than they would be read.
    CHECK_THROWS_WITH_AS(softmax.attend(transpose(as_matrix(k)), as_matrix(v)),
                         "RunningSoftmax: keys has shape (4, 3) transposed, expected (4, 3)", ShapeError);
    CHECK_THROWS_WITH_AS(RunningSoftmax<float>(transpose(as_matrix(q)), 5),
                         "RunningSoftmax: q has shape (2, 3) transposed, expected (2, 3)", ShapeError);
    Tensor<float, 2> o = zeros<float, 2>({2, 5}), more = zeros<float, 2>({3, 5}), wider = zeros<float, 2>({2, 6});
    CHECK_NOTHROW(softmax.write(as_matrix(o)));
    CHECK_THROWS_WITH_AS(softmax.write(as_matrix(more)), "RunningSoftmax: o has shape (3, 5), expected (2, 5)", ShapeError);
    CHECK_THROWS_WITH_AS(softmax.write(as_matrix(wider)), "RunningSoftmax: o has shape (2, 6), expected (2, 5)", ShapeError);

    Tensor<float, 2> d_q = zeros_like(q), d_k = zeros_like(k), d_v = zeros_like(v), wrong = zeros<float, 2>({1, 1});
    const std::vector<float> numbers(2, 0.0f);
    const auto gradients = [&](const Tensor<float, 2>& keys, const Tensor<float, 2>& values, const Tensor<float, 2>& d_o,
                               Tensor<float, 2>& to_q, Tensor<float, 2>& to_k, Tensor<float, 2>& to_v) {
        softmax_attention_vjp<float>({.q = as_matrix(q),
                                      .keys = as_matrix(keys),
                                      .values = as_matrix(values),
                                      .log_sum_exp = numbers.data(),
                                      .delta = numbers.data(),
                                      .d_o = as_matrix(d_o),
                                      .d_q = as_matrix(to_q),
                                      .d_keys = as_matrix(to_k),
                                      .d_values = as_matrix(to_v)});
    };
    CHECK_NOTHROW(gradients(k, v, o, d_q, d_k, d_v));
    CHECK_THROWS_WITH_AS(gradients(narrow, v, o, d_q, d_k, d_v), "softmax_attention vjp: keys has shape (4, 2), expected (4, 3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gradients(k, few, o, d_q, d_k, d_v), "softmax_attention vjp: values has shape (3, 5), expected (4, 5)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gradients(k, v, more, d_q, d_k, d_v), "softmax_attention vjp: d_o has shape (3, 5), expected (2, 5)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gradients(k, v, o, wrong, d_k, d_v), "softmax_attention vjp: d_q has shape (1, 1), expected (2, 3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gradients(k, v, o, d_q, wrong, d_v), "softmax_attention vjp: d_keys has shape (1, 1), expected (4, 3)",
                         ShapeError);
    CHECK_THROWS_WITH_AS(gradients(k, v, o, d_q, d_k, wrong), "softmax_attention vjp: d_values has shape (1, 1), expected (4, 5)",
                         ShapeError);
}

TEST_CASE("a gradient that nobody needs is left out, and the others are bitwise the same") {
    Random random(6);
    const auto some = [&](Index rows, Index width) { return normal_tensor<float, 2>({rows, width}, 1, random); };
    const Tensor<float, 2> q = some(70, 3), k = some(300, 3), v = some(300, 2), d_o = some(70, 2);
    RunningSoftmax<float> softmax(as_matrix(q), 2);
    softmax.attend(as_matrix(k), as_matrix(v));
    std::vector<float> log_sum_exp, delta(70, 0.5f);
    for (Index t = 0; t < 70; ++t) log_sum_exp.push_back(softmax.log_sum_exp(t));
    const auto gradients = [&](bool of_q, bool of_k, bool of_v) {
        Tensor<float, 2> d_q = zeros_like(q), d_k = zeros_like(k), d_v = zeros_like(v);
        softmax_attention_vjp<float>({.q = as_matrix(q),
                                      .keys = as_matrix(k),
                                      .values = as_matrix(v),
                                      .log_sum_exp = log_sum_exp.data(),
                                      .delta = delta.data(),
                                      .d_o = as_matrix(d_o),
                                      .d_q = of_q ? as_matrix(d_q) : MatrixView<float>{},
                                      .d_keys = of_k ? as_matrix(d_k) : MatrixView<float>{},
                                      .d_values = of_v ? as_matrix(d_v) : MatrixView<float>{}});
        return std::tuple(d_q, d_k, d_v);
    };
    const auto all = gradients(true, true, true);
    const Tensor<float, 2> zero_q = zeros_like(q), zero_k = zeros_like(k), zero_v = zeros_like(v);
    CHECK(gradients(true, false, false) == std::tuple(std::get<0>(all), zero_k, zero_v));
    CHECK(gradients(false, true, false) == std::tuple(zero_q, std::get<1>(all), zero_v));
    CHECK(gradients(false, false, true) == std::tuple(zero_q, zero_k, std::get<2>(all)));
}
