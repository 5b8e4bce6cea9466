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
