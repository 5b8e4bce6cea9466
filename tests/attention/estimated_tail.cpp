#include "fot/attention/estimated_tail.hpp"

#include <doctest/doctest.h>

#include "fot/attention/joining.hpp"
#include "support/difference.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// A memory of two heads, queries of four heads, and what the memory's own search finds for batch entry 1.
struct Case {
    Random random{1};
    KeyValueMemory<double> memory{2, 6};
    Tensor<double, 4> q = normal_tensor<double, 4>({2, 3, 4, 6}, 1, random);
    FoundEntries<double> found;

    explicit Case(Index entries = 60, Index k = 5) {
        memory.append(normal_tensor<double, 3>({entries, 2, 6}, 1, random), normal_tensor<double, 3>({entries, 2, 6}, 1, random),
                      0);
        found = memory.search(q, 1, k);
    }

    /// Denominator and numerator of attention to the entries that were not found, of query t, h.
    std::pair<double, std::vector<double>> exact_tail(Index t, Index h) const {
        const std::vector<Index> numbers = detail::found_numbers(found, t, h);
        double denominator = 0;
        std::vector<double> numerator(6, 0.0);
        for (Index entry = 0; entry < memory.size(); ++entry) {
            if (std::ranges::binary_search(numbers, entry)) continue;
            std::vector<double> key(6), value(6);
            memory.copy_key(entry, h / 2, key.data());
            memory.copy_value(entry, h / 2, value.data());
            const double mass = std::exp(std::inner_product(key.begin(), key.end(), row(q, Index(1), t, h), 0.0));
            denominator += mass;
            for (Index d = 0; d < 6; ++d) element(numerator, d) += mass * element(value, d);
        }
        return {denominator, numerator};
    }

    /// Lists of the keys of each head.
    std::vector<ListMeans<double>> means(Index lists) const {
        std::vector<ListMeans<double>> list;
        for (Index h = 0; h < 2; ++h) {
            Tensor<double, 2> keys = empty<double, 2>({memory.size(), 6});
            for (Index i = 0; i < memory.size(); ++i) memory.copy_key(i, h, row(keys, i));
            InvertedLists<double> of_head(as_matrix(std::as_const(keys)),
                                          {.lists = lists, .means = {.keys_per_mean = 0, .spherical = false}});
            of_head.add(as_matrix(std::as_const(keys)));
            list.emplace_back(memory, h, of_head);
        }
        return list;
    }

    void check_exact(const AttentionResult<double>& tail, double tolerance) const {
        for (Index t = 0; t < 3; ++t)
            for (Index h = 0; h < 4; ++h) {
                const auto [denominator, numerator] = exact_tail(t, h);
                CHECK(std::exp(tail.log_sum_exp(0, h, t)) == doctest::Approx(denominator).epsilon(tolerance));
                for (Index d = 0; d < 6; ++d)
                    CHECK(tail.o(0, t, h, d) * denominator ==
                          doctest::Approx(element(numerator, d)).epsilon(tolerance).scale(denominator));
            }
    }
};

}  // namespace

TEST_CASE("over many draws the sampled tail has the denominator and the numerator of the exact one") {
    const Case data;
    constexpr Index draws = 4000, samples = 7;
    for (const auto& [t, h] : {std::pair<Index, Index>{0, 0}, {2, 3}}) {
        double sum = 0, squares = 0;
        std::vector<double> numerators(6, 0.0), numerator_squares(6, 0.0);
        for (Index draw = 0; draw < draws; ++draw) {
            const AttentionResult<double> tail =
                sampled_tail(data.q, 1, data.memory, data.found, samples, static_cast<std::uint64_t>(draw));
            const double denominator = std::exp(tail.log_sum_exp(0, h, t));
            sum += denominator;
            squares += denominator * denominator;
            for (Index d = 0; d < 6; ++d) {
                const double numerator = denominator * tail.o(0, t, h, d);
                element(numerators, d) += numerator;
                element(numerator_squares, d) += numerator * numerator;
            }
        }
        const auto [denominator, numerator] = data.exact_tail(t, h);
        const auto check_mean = [&, whole = denominator](double total, double total_squares, double right) {
            const double mean = total / draws, error = std::sqrt((total_squares / draws - mean * mean) / draws);
            CHECK(error < 0.05 * whole);  // enough draws to tell
            CHECK(std::abs(mean - right) < 4 * error);
        };
        check_mean(sum, squares, denominator);
        for (Index d = 0; d < 6; ++d) check_mean(element(numerators, d), element(numerator_squares, d), element(numerator, d));
    }
}

TEST_CASE("none of the entries that were found is drawn") {
    const Case data(6, 5);  // a tail of one entry
    data.check_exact(sampled_tail(data.q, 1, data.memory, data.found, 3, 1), 1e-12);
}

TEST_CASE("without a tail, or without samples, a tail is empty") {
    const Case whole(5, 5), some;
    for (const AttentionResult<double>& tail :
         {sampled_tail(whole.q, 1, whole.memory, whole.found, 3, 1), sampled_tail(some.q, 1, some.memory, some.found, 0, 1),
          list_means_tail(whole.q, 1, whole.memory, whole.found, whole.means(2), true)}) {
        for (const double log_sum : tail.log_sum_exp.storage()) CHECK(log_sum == -INFINITY);
        for (const double o : tail.o.storage()) CHECK(o == 0);
    }
    CHECK_THROWS_AS(sampled_tail(some.q, 1, some.memory, some.found, -1, 1), ConfigError);
}

TEST_CASE("lists of one entry are the exact tail, with and without spread") {
    const Case data;
    for (const bool spread : {false, true})
        data.check_exact(list_means_tail(data.q, 1, data.memory, data.found, data.means(60), spread), 1e-9);
}

TEST_CASE("the means of a list are those of the entries that were not found") {
    // One list: the tail is its size times the exponential of the mean key's score, at the mean value.
    const Case data;
    const AttentionResult<double> tail = list_means_tail(data.q, 1, data.memory, data.found, data.means(1), false);
    for (Index t = 0; t < 3; ++t)
        for (Index h = 0; h < 4; ++h) {
            const std::vector<Index> numbers = detail::found_numbers(data.found, t, h);
            double score = 0;
            std::vector<double> mean(6, 0.0);
            for (Index entry = 0; entry < 60; ++entry) {
                if (std::ranges::binary_search(numbers, entry)) continue;
                std::vector<double> key(6), value(6);
                data.memory.copy_key(entry, h / 2, key.data());
                data.memory.copy_value(entry, h / 2, value.data());
                score += std::inner_product(key.begin(), key.end(), row(data.q, Index(1), t, h), 0.0) / 55;
                for (Index d = 0; d < 6; ++d) element(mean, d) += element(value, d) / 55;
            }
            CHECK(tail.log_sum_exp(0, h, t) == doctest::Approx(std::log(55.0) + score));
            for (Index d = 0; d < 6; ++d) CHECK(tail.o(0, t, h, d) == doctest::Approx(element(mean, d)));
        }
}

TEST_CASE("the spread adds what a mean of exponentials has more, for keys that lie around their mean as a ball") {
    const Case data(20000, 1);
    const auto mean_error = [&](bool spread) {
        const AttentionResult<double> tail = list_means_tail(data.q, 1, data.memory, data.found, data.means(1), spread);
        double error = 0;
        for (Index h = 0; h < 4; ++h)
            for (Index t = 0; t < 3; ++t) error += std::log(data.exact_tail(t, h).first) - tail.log_sum_exp(0, h, t);
        return error / 12;
    };
    CHECK(mean_error(false) > 1);
    CHECK(std::abs(mean_error(true)) < 0.1 * mean_error(false));
}

TEST_CASE("draws do not depend on the number of threads") {
    const Case data;
    const auto draw = [&](Index threads) {
        const WithThreads with(threads);
        return sampled_tail(data.q, 1, data.memory, data.found, 9, 5);
    };
    const AttentionResult<double> one = draw(1), four = draw(4);
    CHECK(one.o.storage() == four.o.storage());
    CHECK(one.log_sum_exp.storage() == four.log_sum_exp.storage());
}

TEST_CASE("means of another memory, or of what the memory was before, are refused") {
    Case data, other;
    const std::vector<ListMeans<double>> means = data.means(3);
    CHECK_NOTHROW(list_means_tail(data.q, 1, data.memory, data.found, means, false));
    CHECK_THROWS_AS(list_means_tail(data.q, 1, other.memory, data.found, means, false), DataError);
    const Tensor<double, 3> more = zeros<double, 3>({1, 2, 6});
    data.memory.append(more, more, 0);
    CHECK_THROWS_WITH_AS(list_means_tail(data.q, 1, data.memory, data.found, means, false),
                         "list_means_tail: the means are not those of the 61 entries of this memory: make them again", DataError);
    data.memory.drop_oldest(1);
    CHECK_THROWS_AS(list_means_tail(data.q, 1, data.memory, data.found, means, false), DataError);
}

TEST_CASE("means for lists that do not hold the memory's keys, or for other heads, are refused") {
    const Case data;
    const Tensor<double, 2> keys = zeros<double, 2>({10, 6});
    InvertedLists<double> lists(as_matrix(keys), {.lists = 2});
    lists.add(as_matrix(keys));
    CHECK_THROWS_AS(ListMeans<double>(data.memory, 0, lists), DataError);
    CHECK_THROWS_AS(list_means_tail(data.q, 1, data.memory, data.found, std::vector<ListMeans<double>>{}, false), ShapeError);
    CHECK_THROWS_AS(sampled_tail(zeros<double, 4>({2, 3, 1, 8}), 1, data.memory, data.found, 9, 5), ShapeError);
    for (const Index b : {-1, 2}) CHECK_THROWS_AS(sampled_tail(data.q, b, data.memory, data.found, 9, 5), ShapeError);
    FoundEntries<double> fewer = data.found;
    fewer.indices = slice<0>(fewer.indices, 0, 1);
    CHECK_THROWS_WITH_AS(sampled_tail(data.q, 1, data.memory, fewer, 9, 5),
                         doctest::Contains("sampled_tail: what was found has shape"), ShapeError);
}

TEST_CASE("equal queries of different tokens and heads draw different entries") {
    Case data;
    for (const auto& [t, h] : {std::pair<Index, Index>{0, 1}, {1, 0}})
        std::copy_n(row(data.q, Index(1), Index(0), Index(0)), 6, row(data.q, Index(1), t, h));
    data.found = data.memory.search(data.q, 1, 5);
    const AttentionResult<double> tail = sampled_tail(data.q, 1, data.memory, data.found, 9, 5);
    CHECK(tail.log_sum_exp(0, 0, 0) != tail.log_sum_exp(0, 1, 0));
    CHECK(tail.log_sum_exp(0, 0, 0) != tail.log_sum_exp(0, 0, 1));
}
