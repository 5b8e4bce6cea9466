#include "fot/core/dtype.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace fot;

TEST_CASE("each C++ number has the element type of its width and sign") {
    CHECK(dtype_of<double>() == Dtype::f64);
    CHECK(dtype_of<float>() == Dtype::f32);
    CHECK(dtype_of<Index>() == Dtype::i64);
    CHECK(dtype_of<std::int32_t>() == Dtype::i32);
    CHECK(dtype_of<std::int16_t>() == Dtype::i16);
    CHECK(dtype_of<std::int8_t>() == Dtype::i8);
    CHECK(dtype_of<std::uint64_t>() == Dtype::u64);
    CHECK(dtype_of<std::uint32_t>() == Dtype::u32);
    CHECK(dtype_of<std::uint16_t>() == Dtype::u16);
    CHECK(dtype_of<std::uint8_t>() == Dtype::u8);
    CHECK(dtype_of<BFloat16>() == Dtype::bf16);
    CHECK(dtype_of<detail::StoredHalf>() == Dtype::f16);
}

TEST_CASE("the table of facts is in the order of the enumeration") {
    for (std::size_t i = 0; i < detail::dtype_facts.size(); ++i) CHECK(static_cast<std::size_t>(detail::dtype_facts[i].dtype) == i);
    CHECK(std::string(dtype_name(Dtype::boolean)) == "BOOL");
    CHECK(dtype_bytes(Dtype::bf16) == 2);
}

TEST_CASE("every half-precision pattern widens to the number it stands for") {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
        const std::uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
        const float sign = bits & 0x8000 ? -1.0f : 1.0f, number = to_float(detail::StoredHalf{static_cast<std::uint16_t>(bits)});
        if (exponent == 31 && fraction != 0) {
            REQUIRE(std::isnan(number));
            continue;
        }
        const double expected = exponent == 31  ? std::numeric_limits<double>::infinity()
                                : exponent == 0 ? std::ldexp(fraction, -24)
                                                : std::ldexp(1024 + fraction, static_cast<int>(exponent) - 25);
        REQUIRE(static_cast<double>(number) == sign * expected);
        REQUIRE(std::signbit(number) == (sign < 0));
    }
}

TEST_CASE("numbers are rounded to the nearest half-precision number, ties to even") {
    const auto rounded = [](float x) { return detail::to_half(x).bits; };
    for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {  // itself, and both sides of the middle to the next
        const detail::StoredHalf here{static_cast<std::uint16_t>(bits)};
        const float number = to_float(here),
                    next = bits == 0x7bff ? 65536.0f : to_float(detail::StoredHalf{static_cast<std::uint16_t>(bits + 1)});
        const float middle = number + (next - number) / 2;
        REQUIRE(rounded(number) == bits);
        REQUIRE(rounded(-number) == (bits | 0x8000));
        REQUIRE(rounded(std::nextafter(middle, 0.0f)) == bits);
        REQUIRE(rounded(middle) == bits + (bits & 1));
        REQUIRE(rounded(std::nextafter(middle, 1e9f)) == bits + 1);
    }
    CHECK(rounded(1e30f) == 0x7c00);
    CHECK(rounded(-std::numeric_limits<float>::infinity()) == 0xfc00);
    CHECK(rounded(1e-30f) == 0);
    CHECK(std::isnan(to_float(detail::to_half(std::numeric_limits<float>::quiet_NaN()))));
    // A double is not rounded twice.
    CHECK(detail::to_half(1 + 0x1p-11 + 0x1p-40).bits == 0x3c01);
    CHECK(detail::to_half(1 + 0x1p-11).bits == 0x3c00);
}

TEST_CASE("rows are rounded to each format that stores numbers, and to none") {
    const std::array<double, 4> numbers{1 + 0x1p-11 + 0x1p-40, -3, 1e-9, 70000};
    std::array<detail::StoredHalf, 4> halves;
    std::array<BFloat16, 4> bfloats;
    std::array<double, 4> same;
    round_numbers(numbers.data(), 4, halves.data());
    round_numbers(numbers.data(), 4, bfloats.data());
    round_numbers(numbers.data(), 4, same.data());
    CHECK(same == numbers);
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(halves[i].bits == detail::to_half(numbers[i]).bits);
        CHECK(bfloats[i] == to_bfloat16(numbers[i]));
    }
    CHECK(std::isinf(to_float(halves[3])));
}
