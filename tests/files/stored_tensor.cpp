#include "fot/files/stored_tensor.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace fot;

TEST_CASE("a tensor is copied row by row, whatever its strides and rank") {
    std::vector<std::int32_t> numbers(200 * 150 * 3 + 7);
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto tensor = [&](std::vector<Index> shape, std::vector<Index> strides, Index offset = 0) {
        return StoredTensor{reinterpret_cast<const char*>(&element(numbers, offset)), Dtype::i32, std::move(shape),
                            std::move(strides), nullptr};
    };
    const auto check = [](const StoredTensor& stored) {
        std::vector<std::int32_t> copy(static_cast<std::size_t>(stored.count()), -1);
        copy_row_major(stored, copy.data());
        for (Index i = 0; i < stored.count(); ++i) {
            Index place = 0, rest = i;
            for (Index j = length_of(stored.shape); j-- > 0; rest /= element(stored.shape, j))
                place += rest % element(stored.shape, j) * element(stored.strides, j);
            REQUIRE(element(copy, i) == reinterpret_cast<const std::int32_t*>(stored.numbers)[place]);
        }
    };
    check(tensor({}, {}, 3));
    check(tensor({5}, {1}));
    check(tensor({5}, {7}, 2));
    check(tensor({200, 150}, {150, 1}));
    check(tensor({200, 150}, {1, 200}));
    check(tensor({130, 65}, {3, 600}, 5));
    check(tensor({3, 200, 150}, {1, 3, 600}));
    check(tensor({2, 3, 4, 5}, {1, 2, 30, 6}));
    check(tensor({0, 4}, {4, 1}));
    check(tensor({4, 0, 3}, {0, 3, 1}));
}

TEST_CASE("bytes of any width are copied, aligned or not") {
    const std::string bytes = "0123456789abcdefghijklmnopqrstuvwxyz";
    const auto copied = [&](Dtype dtype, Index offset) {
        const StoredTensor tensor{bytes.data() + offset, dtype, {2, 2}, {1, 2}, nullptr};
        std::string copy(static_cast<std::size_t>(tensor.bytes()), ' ');
        copy_row_major(tensor, copy.data());
        return copy;
    };
    CHECK(copied(Dtype::u8, 1) == "1324");
    CHECK(copied(Dtype::boolean, 1) == "1324");
    CHECK(copied(Dtype::f16, 1) == "12563478");
    CHECK(copied(Dtype::bf16, 0) == "01452367");
    CHECK(copied(Dtype::f32, 3) == "3456bcde789afghi");
    CHECK(copied(Dtype::f64, 1) == "12345678hijklmno9abcdefgpqrstuvw");
}

TEST_CASE("a tensor is used in place if its rows follow one another and its numbers are aligned") {
    alignas(8) const char bytes[64] = {};
    const auto in_place = [&](std::vector<Index> shape, std::vector<Index> strides, Index offset = 0) {
        return StoredTensor{bytes + offset, Dtype::f32, std::move(shape), std::move(strides), nullptr}.in_place();
    };
    CHECK(in_place({}, {}));
    CHECK(in_place({2, 3}, {3, 1}));
    CHECK(in_place({2, 3}, {3, 1}, 4));
    CHECK_FALSE(in_place({2, 3}, {3, 1}, 2));
    CHECK_FALSE(in_place({2, 3}, {1, 2}));
    CHECK_FALSE(in_place({2, 3}, {4, 1}));
    CHECK(in_place({1, 3}, {7, 1}));  // of one row, how far the next would be is no matter
    CHECK(in_place({3, 1}, {1, 9}));
    CHECK(in_place({0, 3}, {1, 1}, 1));
    CHECK(row_major_strides({2, 3, 4}) == std::vector<Index>{12, 4, 1});
    CHECK(row_major_strides({}).empty());
}

TEST_CASE("elements are counted as far as they can be") {
    CHECK(detail::checked_count({2, 3}, 4) == 6);
    CHECK(detail::checked_count({}, 8) == 1);
    CHECK(detail::checked_count({Index{1} << 40, Index{1} << 40, 0}, 1) == -1);
    CHECK(detail::checked_count({0, Index{1} << 40, Index{1} << 40}, 1) == 0);
    CHECK(detail::checked_count({2, -1}, 1) == -1);
}
