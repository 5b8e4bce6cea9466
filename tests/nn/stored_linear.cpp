#include <doctest/doctest.h>

#include <cmath>

#include "fot/core/bfloat16.hpp"
#include "fot/core/random.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/linear_map.hpp"
#include "support/difference.hpp"

using namespace fot;
using fot::testing::largest_difference;

namespace {

/// A tensor as a stored matrix, which keeps it.
template <class Real>
StoredMatrix stored_matrix(const Tensor<Real, 2>& weight) {
    return LinearMap<Real>(Variable<Real, 2>(weight)).numbers();
}

/// Random bits that are finite numbers of moderate size in half precision and in bfloat16.
Tensor<std::uint16_t, 2> random_bits(Index rows, Index columns, Dtype dtype, Random& random) {
    Tensor<std::uint16_t, 2> bits = empty<std::uint16_t, 2>({rows, columns});
    for (auto& each : bits.storage()) {
        const float number = static_cast<float>(random.normal());
        if (dtype == Dtype::bf16)
            each = to_bfloat16(number).bits;
        else
            each = static_cast<std::uint16_t>(0x3000 + random.below(0x0c00) + (number < 0 ? 0x8000 : 0));
    }
    return bits;
}

template <class Stored>
Tensor<float, 2> widened(const Tensor<std::uint16_t, 2>& bits) {
    Tensor<float, 2> numbers = empty<float, 2>(shape_of(bits));
    for (Index i = 0; i < element_count(bits); ++i) numbers.data()[i] = to_float(Stored{bits.data()[i]});
    return numbers;
}

}  // namespace

TEST_CASE("a product with stored weights is that with the widened ones, for few rows and for many") {
    Random random(1);
    for (const Index count : {1, 4, 5, 150, 600})
        for (const Dtype dtype : {Dtype::f16, Dtype::bf16}) {
            const Tensor<std::uint16_t, 2> bits = random_bits(300, 70, dtype, random);
            const Tensor<float, 2> weight = dtype == Dtype::f16 ? widened<detail::StoredHalf>(bits) : widened<BFloat16>(bits);
            const Tensor<float, 3> x = normal_tensor<float, 3>({1, count, 70}, 1, random);
            const StoredMatrix stored{bits.data(), dtype, 300, 70};
            CHECK(largest_difference(linear(x, stored), linear(x, weight)) < 2e-4);
            CHECK(largest_difference(linear(x, stored_matrix(weight)), linear(x, weight)) < 2e-4);
            CHECK(largest_difference(project_heads(x, stored, 3), project_heads(x, weight, 3)) < 2e-4);
        }
}

TEST_CASE("rounded inputs are rounded to bfloat16 where the weight is bfloat16 and there are many rows, and nowhere else") {
    Random random(6);
    for (const Index count : {4, 5, 150, 600})
        for (const Dtype dtype : {Dtype::f16, Dtype::bf16}) {
            const Tensor<std::uint16_t, 2> bits = random_bits(300, 71, dtype, random);
            const Tensor<float, 3> x = normal_tensor<float, 3>({1, count, 71}, 1, random);
            Tensor<float, 3> rounded = x;
            for (float& number : rounded.storage()) number = to_float(to_bfloat16(number));
            const StoredMatrix stored{bits.data(), dtype, 300, 71};
            StoredMatrix rounding = stored;
            rounding.rounded_inputs = true;
            const bool few_or_half = count <= 4 || dtype == Dtype::f16;
            CHECK(largest_difference(linear(x, rounding), linear(few_or_half ? x : rounded, stored)) < 2e-5);
            CHECK((largest_difference(linear(x, rounding), linear(x, stored)) == 0) == few_or_half);
            if (few_or_half) continue;
            const Tensor<float, 3> exact = linear(x, stored), error = linear(x, rounding) - exact;
            const float* e = error.data();
            const float relative_error = std::sqrt(inner_product(e, e, element_count(error)) /
                                                   inner_product(exact.data(), exact.data(), element_count(exact)));
            CHECK(std::abs(relative_error - 0.00166f) < 0.0004f);  // about 2 parts in 1000
        }
}

TEST_CASE("rounded inputs of a model in double are rounded as well") {
    Random random(7);
    const Tensor<std::uint16_t, 2> bits = random_bits(9, 5, Dtype::bf16, random);
    const Tensor<double, 2> x = normal_tensor<double, 2>({6, 5}, 1, random);
    Tensor<double, 2> rounded = x;
    for (double& number : rounded.storage()) number = static_cast<double>(to_float(to_bfloat16(number)));
    const StoredMatrix stored{bits.data(), Dtype::bf16, 9, 5};
    StoredMatrix rounding = stored;
    rounding.rounded_inputs = true;
    CHECK(largest_difference(linear(x, rounding), linear(rounded, stored)) < 1e-14);
    CHECK(largest_difference(linear(x, rounding), linear(x, stored)) > 1e-4);
}

TEST_CASE("weights in double serve a model in double") {
    Random random(2);
    const Tensor<double, 2> weight = normal_tensor<double, 2>({9, 5}, 1, random);
    const Tensor<double, 4> o = normal_tensor<double, 4>({2, 3, 1, 5}, 1, random);
    CHECK(largest_difference(merge_heads(o, stored_matrix(weight)), merge_heads(o, weight)) < 1e-14);
    const Tensor<float, 2> rounded = normal_tensor<float, 2>({9, 5}, 1, random);
    Tensor<double, 2> exact = empty<double, 2>({9, 5});
    std::copy(rounded.begin(), rounded.end(), exact.begin());
    CHECK(largest_difference(merge_heads(o, stored_matrix(rounded)), merge_heads(o, exact)) < 1e-14);
}

TEST_CASE("a stored table gives the rows of its tokens") {
    Random random(3);
    const Tensor<std::uint16_t, 2> bits = random_bits(7, 6, Dtype::bf16, random);
    Tokens tokens = empty<std::int32_t, 2>({1, 3});
    tokens(0, 0) = 6;
    tokens(0, 1) = 0;
    tokens(0, 2) = 6;
    const StoredMatrix stored{bits.data(), Dtype::bf16, 7, 6};
    CHECK(embedding<float>(tokens, stored) == embedding(tokens, widened<BFloat16>(bits)));
    tokens(0, 1) = 7;
    CHECK_THROWS_WITH_AS(embedding<float>(tokens, stored), "embedding: token 7 at position (0, 1) is outside the vocabulary of 7",
                         DataError);
}

TEST_CASE("a stored matrix keeps its tensor") {
    Random random(4);
    StoredMatrix stored;
    Tensor<float, 2> expected;
    const Tensor<float, 2> x = normal_tensor<float, 2>({2, 4}, 1, random);
    {
        const Tensor<float, 2> weight = normal_tensor<float, 2>({3, 4}, 1, random);
        expected = linear(x, weight);
        stored = stored_matrix(weight);
    }
    CHECK(largest_difference(linear(x, stored), expected) < 1e-6);
}

TEST_CASE("a sum over no inputs is zero, for few rows and for many, in any element type") {
    for (const Index count : {2, 5})
        for (const Dtype dtype : {Dtype::f32, Dtype::f16, Dtype::bf16}) {
            const StoredMatrix none{.dtype = dtype, .rows = 6, .columns = 0, .owner = nullptr, .rounded_inputs = true};
            CHECK(linear(empty<float, 2>({count, 0}), none) == zeros<float, 2>({count, 6}));
            CHECK(project_heads(empty<float, 3>({1, count, 0}), none, 2) == zeros<float, 4>({1, count, 2, 3}));
            CHECK(merge_heads(empty<float, 4>({1, count, 2, 0}), none) == zeros<float, 3>({1, count, 6}));
        }
}

TEST_CASE("weights that do not fit are named") {
    Random random(5);
    const StoredMatrix stored = stored_matrix(normal_tensor<float, 2>({6, 4}, 1, random));
    const Tensor<float, 3> x = zeros<float, 3>({1, 2, 5}), fits = zeros<float, 3>({1, 2, 4});
    CHECK_THROWS_WITH_AS(linear(x, stored), "linear: the stored weight has 4 columns, expected 5", ShapeError);
    CHECK_THROWS_WITH_AS(project_heads(fits, stored, 4), "project_heads: the 6 rows of the weight do not divide into 4 heads",
                         ConfigError);
    StoredMatrix integers = stored;
    integers.dtype = Dtype::i32;
    CHECK_THROWS_WITH_AS(linear(fits, integers), "stored_linear: the weight has dtype I32, expected F64, F32, F16 or BF16",
                         ConfigError);
    CHECK_THROWS_WITH_AS(linear(fits, StoredMatrix{nullptr, Dtype::f32, 6, 4}), "stored_linear: the weight of 6 x 4 has no numbers",
                         ConfigError);
}
