// The fused operations of nn/ beside their definitions, number by number.
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/feed_forward.hpp"
#include "fot/nn/linear.hpp"
#include "fot/nn/rms_norm.hpp"
#include "fot/nn/rotary.hpp"
#include "fot/nn/slices.hpp"
#include "fot/nn/stored_linear.hpp"
#include "fot/nn/unit_heads.hpp"
#include "support/agreement.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

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

/// The number that `bits` stands for: a sign, so many bits of exponent, so many of fraction. No infinity or NaN.
double from_bits(std::uint16_t bits, int exponent_bits, int fraction_bits) {
    const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1), fraction = bits & ((1 << fraction_bits) - 1);
    const int bias = (1 << (exponent_bits - 1)) - 1, unit = exponent == 0 ? 0 : 1 << fraction_bits;
    const double size = std::ldexp(unit + fraction, std::max(exponent, 1) - bias - fraction_bits);
    return bits >> 15 ? -size : size;
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

TEST_CASE("normalize_heads agrees with its definition, with a temperature and without") {
    each_case([](Random& random) {
        const auto x = normal_variable<4>({up_to(3, random), up_to(30, random), up_to(4, random), up_to(16, random)}, random);
        const auto sharpness = normal_variable<1>({extent(x.value(), 2)}, random);
        const bool sharp = random.below(2) == 0;
        return disagreement(
            [&](Tape& tape) { return std::tuple(sharp ? normalize_heads(tape, x, sharpness) : normalize_heads(tape, x)); },
            [&](const Scalars<4>& in, const Scalars<1>& log_inverse_temperature) {
                Scalars<4> y(in.shape);
                for (Index b = 0; b < in.shape[0]; ++b)
                    for (Index t = 0; t < in.shape[1]; ++t)
                        for (Index h = 0; h < in.shape[2]; ++h) {
                            Scalar square;
                            for (Index d = 0; d < in.shape[3]; ++d) square += in(b, t, h, d) * in(b, t, h, d);
                            const Scalar factor = (sharp ? exp(log_inverse_temperature(h)) : Scalar(1)) / sqrt(square + 1e-6);
                            for (Index d = 0; d < in.shape[3]; ++d) y(b, t, h, d) = factor * in(b, t, h, d);
                        }
                return std::tuple(y);
            },
            x, sharpness);
    });
}

TEST_CASE("rotary positions agree with their definition, the same for all entries and others for each") {
    each_case([](Random& random, bool large) {
        const Index entries = up_to(3, random), length = (large ? 60 : 0) + up_to(12, random), pairs = up_to(6, random);
        const auto x = normal_variable<4>({entries, length, up_to(3, random), 2 * pairs}, random);
        const bool of_entries = random.below(2) == 0;
        std::vector<Index> positions;
        for (Index t = 0; t < length; ++t) positions.push_back(random.below(100));
        Tensor<Index, 2> each = empty<Index, 2>({entries, length});
        for (Index& position : each.storage()) position = random.below(100);
        const RotaryTable<double> table(50.0, 2 * pairs, 100);
        return disagreement(
            [&](Tape& tape) { return std::tuple(of_entries ? rotate(tape, x, each, table) : rotate(tape, x, positions, table)); },
            [&](const Scalars<4>& in) {
                Scalars<4> y(in.shape);
                for (Index b = 0; b < in.shape[0]; ++b)
                    for (Index t = 0; t < length; ++t)
                        for (Index h = 0; h < in.shape[2]; ++h)
                            for (Index j = 0; j < pairs; ++j) {
                                const Index first = j, second = j + pairs;
                                const Index position = of_entries ? each(b, t) : positions[static_cast<std::size_t>(t)];
                                const double angle = static_cast<double>(position) *
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

TEST_CASE("a linear map agrees with sums of products") {
    each_case([](Random& random, bool large) {
        const Index in = (large ? 250 : 0) + up_to(12, random), out = (large ? 30 : 0) + up_to(12, random);
        const auto x = normal_variable<3>({up_to(3, random), up_to(20, random), in}, random);
        const auto weight = normal_variable<2>({out, in}, random);
        return disagreement([&](Tape& tape) { return std::tuple(linear(tape, x, weight)); },
                            [](const Scalars<3>& x_in, const Scalars<2>& w) { return std::tuple(product(x_in, w)); }, x, weight);
    });
}

TEST_CASE("a linear map by a stored weight of any type agrees with that by the numbers it stands for") {
    each_case([](Random& random, bool large) {
        const Index in = up_to(70, random), out = (large ? 120 : 0) + up_to(20, random), rows = large ? 130 : up_to(5, random);
        const auto x = normal_tensor<double, 3>({1, rows, in}, 1, random);
        const Dtype dtypes[] = {Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16};
        const Dtype dtype = dtypes[random.below(4)];
        Tensor<double, 2> weight = normal_tensor<double, 2>({out, in}, 1, random);
        Tensor<float, 2> as_float = empty<float, 2>({out, in});
        Tensor<std::uint16_t, 2> bits = empty<std::uint16_t, 2>({out, in});
        for (Index i = 0; i < out * in; ++i) {
            double& number = weight.data()[i];
            std::uint16_t& half = bits.data()[i];
            half = static_cast<std::uint16_t>(random.below(1 << 16));
            if (dtype == Dtype::f32) number = static_cast<double>(as_float.data()[i] = static_cast<float>(number));
            // Both below 2: no infinity and no NaN, but subnormal numbers among them.
            if (dtype == Dtype::f16) number = from_bits(half &= 0xbfff, 5, 10);
            if (dtype == Dtype::bf16) number = from_bits(half &= 0xbfff, 8, 7);
        }
        const void* numbers = dtype == Dtype::f64   ? static_cast<const void*>(weight.data())
                              : dtype == Dtype::f32 ? static_cast<const void*>(as_float.data())
                                                    : static_cast<const void*>(bits.data());
        const Tensor<double, 3> y = linear(x, StoredMatrix{numbers, dtype, out, in});
        return relative_difference(y, [&](std::size_t at) {
            const Index t = static_cast<Index>(at) / out, o = static_cast<Index>(at) % out;
            double sum = 0;
            for (Index i = 0; i < in; ++i) sum += x(0, t, i) * weight(o, i);
            return sum;
        });
    });
}

TEST_CASE("adding, scaling, taking and putting together agree with the same, number by number") {
    each_case([](Random& random) {
        const Index a_entries = up_to(3, random), b_entries = up_to(3, random), length = up_to(6, random), width = up_to(5, random);
        const auto a = normal_variable<3>({a_entries, length, width}, random),
                   b = normal_variable<3>({b_entries, length, width}, random);
        const Index all = a_entries + b_entries, first = random.below(all + 1), count = random.below(all - first + 1);
        const double factor = random.normal();
        std::vector<Index> positions(static_cast<std::size_t>(random.below(8)));
        for (Index& position : positions) position = random.below(length);
        const auto taken = static_cast<Index>(positions.size());
        return disagreement(
            [&](Tape& tape) {
                const auto joined = concatenate<0>(tape, a, b);
                const auto sum = add(tape, joined, multiply(tape, joined, factor));
                return std::tuple(sum, take_positions(tape, slice<0>(tape, sum, first, count), positions));
            },
            [&](const Scalars<3>& a_in, const Scalars<3>& b_in) {
                Scalars<3> sum({all, length, width}), part({count, taken, width});
                for (Index i = 0; i < all; ++i)
                    for (Index t = 0; t < length; ++t)
                        for (Index e = 0; e < width; ++e) {
                            const Scalar x = i < a_entries ? a_in(i, t, e) : b_in(i - a_entries, t, e);
                            sum(i, t, e) = x + factor * x;
                        }
                for (Index i = 0; i < count; ++i)
                    for (Index t = 0; t < taken; ++t)
                        for (Index e = 0; e < width; ++e) part(i, t, e) = sum(first + i, positions[static_cast<std::size_t>(t)], e);
                return std::tuple(sum, part);
            },
            a, b);
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

TEST_CASE("the feed-forward layer agrees with its definition, with every activation") {
    each_case([](Random& random, bool large) {
        const Index width = up_to(large ? 2 : 8, random), wide = large ? 128 + random.below(4) : up_to(16, random);
        const Index length = large ? 250 + random.below(12) : up_to(12, random);  // more numbers than a slice of 32768
        const auto x = normal_variable<3>({large ? 1 : up_to(3, random), length, width}, random);
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
    each_case([](Random& random, bool large) {
        const auto table = normal_variable<2>({up_to(9, random), (large ? 60 : 0) + up_to(5, random)}, random);
        const Tokens tokens =
            random_tokens(up_to(4, random), (large ? 240 : 0) + up_to(30, random), extent(table.value(), 0), random);
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
    each_case([](Random& random, bool large) {
        const Index vocabulary = (large ? 230 : 0) + up_to(30, random);  // blocks of 256
        const auto logits = normal_variable<3>({up_to(4, random), up_to(20, random), vocabulary}, random);
        const Index entries = extent(logits.value(), 0), length = extent(logits.value(), 1);
        const Tokens targets = random_tokens(entries, length, extent(logits.value(), 2), random);
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
