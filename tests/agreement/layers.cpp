// The fused operations of nn/ beside their definitions, number by number.
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/feed_forward.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/norm.hpp"
#include "fot/nn/rotary.hpp"
#include "support/agreement.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Tokens random_tokens(const Shape<2>& shape, Index vocabulary, Random& random) {
    Tokens tokens = empty<std::int32_t, 2>(shape);
    for (auto& token : tokens.storage()) token = static_cast<std::int32_t>(random.below(vocabulary));
    return tokens;
}

/// y[b,t,o] = sum_i w[o,i] x[b,t,i]
Scalars<3> product(const Scalars<3>& x, const Scalars<2>& w) {
    Scalars<3> y({x.shape[0], x.shape[1], w.shape[0]});
    for (Index b = 0; b < x.shape[0]; ++b)
        for (Index t = 0; t < x.shape[1]; ++t)
            for (Index o = 0; o < w.shape[0]; ++o)
                for (Index i = 0; i < x.shape[2]; ++i) y(b, t, o) += w(o, i) * x(b, t, i);
    return y;
}

/// The same numbers, the last axis cut into heads, or heads put together.
Scalars<4> cut(const Scalars<3>& x, Index heads) {
    Scalars<4> y({x.shape[0], x.shape[1], heads, x.shape[2] / heads});
    y.numbers = x.numbers;
    return y;
}
Scalars<3> join(const Scalars<4>& x) {
    Scalars<3> y({x.shape[0], x.shape[1], x.shape[2] * x.shape[3]});
    y.numbers = x.numbers;
    return y;
}

}  // namespace

TEST_CASE("rms_norm agrees with its definition") {
    each_case([](Random& random) {
        const auto x = normal_variable<3>({up_to(3, random), up_to(40, random), up_to(20, random)}, random);
        const auto scale = normal_variable<1>({extent(x.value(), 2)}, random);
        return disagreement([&](Tape& tape) { return std::tuple(rms_norm(tape, x, scale, 1e-5)); },
                            [](const Scalars<3>& in, const Scalars<1>& by) {
                                Scalars<3> y(in.shape);
                                for (Index b = 0; b < in.shape[0]; ++b)
                                    for (Index t = 0; t < in.shape[1]; ++t) {
                                        Scalar square;
                                        for (Index e = 0; e < in.shape[2]; ++e) square += in(b, t, e) * in(b, t, e);
                                        const Scalar size = sqrt(square / static_cast<double>(in.shape[2]) + 1e-5);
                                        for (Index e = 0; e < in.shape[2]; ++e) y(b, t, e) = by(e) * in(b, t, e) / size;
                                    }
                                return std::tuple(y);
                            },
                            x, scale);
    });
}

TEST_CASE("normalize_heads agrees with its definition") {
    each_case([](Random& random) {
        const auto x = normal_variable<4>({up_to(3, random), up_to(30, random), up_to(4, random), up_to(16, random)}, random);
        const auto sharpness = normal_variable<1>({extent(x.value(), 2)}, random);
        return disagreement([&](Tape& tape) { return std::tuple(normalize_heads(tape, x, sharpness)); },
                            [](const Scalars<4>& in, const Scalars<1>& log_inverse_temperature) {
                                Scalars<4> y(in.shape);
                                for (Index b = 0; b < in.shape[0]; ++b)
                                    for (Index t = 0; t < in.shape[1]; ++t)
                                        for (Index h = 0; h < in.shape[2]; ++h) {
                                            Scalar square;
                                            for (Index d = 0; d < in.shape[3]; ++d) square += in(b, t, h, d) * in(b, t, h, d);
                                            const Scalar factor = exp(log_inverse_temperature(h)) / sqrt(square + 1e-6);
                                            for (Index d = 0; d < in.shape[3]; ++d) y(b, t, h, d) = factor * in(b, t, h, d);
                                        }
                                return std::tuple(y);
                            },
                            x, sharpness);
    });
}

TEST_CASE("rotary agrees with its definition, in both layouts") {
    each_case([](Random& random) {
        const Index length = up_to(12, random), pairs = up_to(6, random);
        const auto x = normal_variable<4>({up_to(3, random), length, up_to(3, random), 2 * pairs}, random);
        const bool halves = random.below(2) == 0;
        std::vector<Index> positions;
        for (Index t = 0; t < length; ++t) positions.push_back(random.below(100));
        const RotaryTable<double> table(50.0, 2 * pairs, 100);
        const auto layout = halves ? RotaryLayout::half_split : RotaryLayout::interleaved;
        return disagreement([&](Tape& tape) { return std::tuple(rotary(tape, x, table, positions, layout)); },
                            [&](const Scalars<4>& in) {
                                Scalars<4> y(in.shape);
                                for (Index b = 0; b < in.shape[0]; ++b)
                                    for (Index t = 0; t < length; ++t)
                                        for (Index h = 0; h < in.shape[2]; ++h)
                                            for (Index j = 0; j < pairs; ++j) {
                                                const Index first = halves ? j : 2 * j, second = halves ? j + pairs : 2 * j + 1;
                                                const double angle =
                                                    static_cast<double>(positions[static_cast<std::size_t>(t)]) *
                                                    std::pow(50.0, -static_cast<double>(j) / static_cast<double>(pairs));
                                                const Scalar c = std::cos(angle), s = std::sin(angle);
                                                y(b, t, h, first) = c * in(b, t, h, first) - s * in(b, t, h, second);
                                                y(b, t, h, second) = s * in(b, t, h, first) + c * in(b, t, h, second);
                                            }
                                return std::tuple(y);
                            },
                            x);
    });
}

TEST_CASE("the maps into heads and out of them agree with sums of products") {
    each_case([](Random& random) {
        const Index heads = up_to(4, random), width = up_to(6, random), in = up_to(12, random), out = up_to(12, random);
        const auto x = normal_variable<3>({up_to(3, random), up_to(20, random), in}, random);
        const auto into = normal_variable<2>({heads * width, in}, random), from = normal_variable<2>({out, heads * width}, random);
        return disagreement(
            [&](Tape& tape) {
                const auto of_heads = project_heads(tape, x, into, heads);
                return std::tuple(of_heads, merge_heads(tape, of_heads, from));
            },
            [&](const Scalars<3>& x_in, const Scalars<2>& w_in, const Scalars<2>& w_out) {
                const Scalars<4> of_heads = cut(product(x_in, w_in), heads);
                return std::tuple(of_heads, product(join(of_heads), w_out));
            },
            x, into, from);
    });
}

TEST_CASE("the feed-forward layer agrees with its definition, however it bends") {
    each_case([](Random& random) {
        const Index width = up_to(8, random), wide = up_to(16, random);
        const auto x = normal_variable<3>({up_to(3, random), up_to(12, random), width}, random);
        const auto up = normal_variable<2>({wide, width}, random), down = normal_variable<2>({width, wide}, random),
                   gate = normal_variable<2>({wide, width}, random);
        const Activation kinds[] = {Activation::relu, Activation::squared_relu, Activation::swiglu};
        const Activation kind = kinds[random.below(3)];
        return disagreement(
            [&](Tape& tape) {
                return std::tuple(feed_forward(tape, x, up, down, kind, kind == Activation::swiglu ? gate : Variable<double, 2>()));
            },
            [&](const Scalars<3>& in, const Scalars<2>& w_up, const Scalars<2>& w_down, const Scalars<2>& w_gate) {
                Scalars<3> hidden = product(in, w_up);
                const Scalars<3> gates = product(in, w_gate);
                for (std::size_t i = 0; i < hidden.numbers.size(); ++i) {
                    Scalar& h = hidden.numbers[i];
                    if (kind == Activation::swiglu)
                        h = gates.numbers[i] / (exp(0.0 - gates.numbers[i]) + 1.0) * h;
                    else if (h.value() <= 0)
                        h = Scalar(0);
                    else if (kind == Activation::squared_relu)
                        h = h * h;
                }
                return std::tuple(product(hidden, w_down));
            },
            x, up, down, gate);
    });
}

TEST_CASE("an embedding agrees with taking rows") {
    each_case([](Random& random) {
        const auto table = normal_variable<2>({up_to(9, random), up_to(5, random)}, random);
        const Tokens tokens = random_tokens({up_to(4, random), up_to(30, random)}, extent(table.value(), 0), random);
        return disagreement([&](Tape& tape) { return std::tuple(embedding(tape, tokens, table)); },
                            [&](const Scalars<2>& rows) {
                                Scalars<3> y({extent(tokens, 0), extent(tokens, 1), rows.shape[1]});
                                for (Index b = 0; b < y.shape[0]; ++b)
                                    for (Index t = 0; t < y.shape[1]; ++t)
                                        for (Index e = 0; e < y.shape[2]; ++e) y(b, t, e) = rows(tokens(b, t), e);
                                return std::tuple(y);
                            },
                            table);
    });
}

TEST_CASE("the cross-entropy agrees with its definition, with either mean and any mask") {
    each_case([](Random& random) {
        const auto logits = normal_variable<3>({up_to(4, random), up_to(20, random), up_to(30, random)}, random);
        const Index entries = extent(logits.value(), 0), length = extent(logits.value(), 1);
        const Tokens targets = random_tokens({entries, length}, extent(logits.value(), 2), random);
        Tensor<double, 2> mask = zeros<double, 2>({entries, length});
        for (auto& weight : mask.storage()) weight = static_cast<double>(random.below(3));
        const Reduction reduction = random.below(2) == 0 ? Reduction::token_mean : Reduction::row_mean;
        return disagreement([&](Tape& tape) { return std::tuple(cross_entropy(tape, logits, targets, mask, reduction)); },
                            [&](const Scalars<3>& z) {
                                Scalar of_tokens, of_rows;
                                double weights = 0;
                                for (Index b = 0; b < entries; ++b) {
                                    Scalar of_row;
                                    double row_weights = 0;
                                    for (Index t = 0; t < length; ++t) {
                                        Scalar sum;
                                        for (Index v = 0; v < z.shape[2]; ++v) sum += exp(z(b, t, v));
                                        of_row += (log(sum) - z(b, t, targets(b, t))) * mask(b, t);
                                        row_weights += mask(b, t);
                                    }
                                    of_tokens += of_row;
                                    weights += row_weights;
                                    if (row_weights > 0) of_rows += of_row / row_weights;
                                }
                                Scalars<1> loss(Shape<1>{1});
                                if (weights > 0)
                                    loss(0) = reduction == Reduction::token_mean ? of_tokens / weights
                                                                                 : of_rows / static_cast<double>(entries);
                                return std::tuple(loss);
                            },
                            logits);
    });
}
