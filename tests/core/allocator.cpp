#include "fot/core/allocator.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "fot/core/tensor.hpp"

using namespace fot;

namespace {

constexpr std::size_t kib = 1024;

/// Frees its block at the end of the scope.
struct Block {
    std::size_t bytes;
    void* data = BlockCache::instance().allocate(bytes);
    explicit Block(std::size_t size) : bytes(size) {}
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;
    ~Block() { BlockCache::instance().deallocate(data, bytes); }
};

}  // namespace

TEST_CASE("freed blocks are reused") {
    release_cached_memory();
    void* first = nullptr;
    {
        const Block block(64 * kib);
        first = block.data;
    }
    const Block same(64 * kib);
    CHECK(same.data == first);
    const Block other(64 * kib);
    CHECK(other.data != first);
}

TEST_CASE("freed tensors are reused by tensors of about their size") {
    release_cached_memory();
    const float* first = nullptr;
    {
        const Tensor<float, 2> x = zeros<float, 2>({1000, 100});
        first = x.data();
    }
    const Tensor<float, 2> y = empty<float, 2>({1001, 100});
    CHECK(y.data() == first);
}

TEST_CASE("a block is not reused for a size of another class") {
    release_cached_memory();
    { const Block block(64 * kib); }
    const std::size_t cached = allocator_statistics().cached;
    CHECK(cached == 64 * kib);
    const Block larger(64 * kib + 1);
    const Block smaller(48 * kib);
    CHECK(allocator_statistics().cached == cached);
}

TEST_CASE("statistics follow what is in use and what is kept") {
    release_cached_memory();
    const AllocatorStatistics before = allocator_statistics();
    CHECK(before.cached == 0);
    {
        const Block large(100 * kib);  // the next of 64, 80, 96, 112
        CHECK(allocator_statistics().in_use == before.in_use + 112 * kib);
        const Block small(100);  // the next multiple of the alignment
        CHECK(allocator_statistics().in_use == before.in_use + 112 * kib + 128);
        CHECK(allocator_statistics().cached == 0);
    }
    CHECK(allocator_statistics().in_use == before.in_use);
    CHECK(allocator_statistics().cached == 112 * kib);
    release_cached_memory();
    CHECK(allocator_statistics().cached == 0);
    CHECK(allocator_statistics().in_use == before.in_use);
}

TEST_CASE("rounding adds at most a quarter, and nothing to four sizes per power of two") {
    for (std::size_t bytes = 32 * kib; bytes <= 256 * kib; bytes += 1000) {
        const std::size_t before = allocator_statistics().in_use;
        const Block block(bytes);
        const std::size_t taken = allocator_statistics().in_use - before;
        CHECK(taken >= bytes);
        CHECK(4 * taken <= 5 * bytes);
    }
    for (const std::size_t bytes : {32 * kib, 40 * kib, 48 * kib, 56 * kib, 64 * kib, 80 * kib}) {
        const std::size_t before = allocator_statistics().in_use;
        const Block block(bytes);
        CHECK(allocator_statistics().in_use - before == bytes);
    }
}

TEST_CASE("the peak is the largest amount in use since the last reset") {
    reset_peak_bytes();
    const std::size_t base = allocator_statistics().in_use;
    CHECK(allocator_statistics().peak == base);
    {
        const Block a(64 * kib);
        { const Block b(128 * kib); }
        const Block c(32 * kib);
    }
    CHECK(allocator_statistics().peak == base + 192 * kib);
    reset_peak_bytes();
    CHECK(allocator_statistics().peak == allocator_statistics().in_use);
}

TEST_CASE("blocks are aligned to a cache line, whatever their size") {
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{65}, 32 * kib - 1,
                                    32 * kib, 33 * kib, 1024 * kib + 1}) {
        const Block block(bytes);
        CHECK(reinterpret_cast<std::uintptr_t>(block.data) % BlockCache::alignment == 0);
        std::memset(block.data, 1, bytes);
    }
}

TEST_CASE("nothing may be asked for, and given back") {
    const std::size_t before = allocator_statistics().in_use;
    {
        const Block block(0);
        CHECK(allocator_statistics().in_use == before);
        const Tensor<float, 2> x = empty<float, 2>({0, 3});
        CHECK(x.size() == 0);
    }
    CHECK(allocator_statistics().in_use == before);
}

TEST_CASE("allocators of all types are equal: a container may free what another took") {
    CachingAllocator<double> doubles;
    const CachingAllocator<float> floats(doubles);
    CHECK(doubles == floats);
    double* numbers = doubles.allocate(5000);
    numbers[4999] = 1;
    doubles.deallocate(numbers, 5000);
}

TEST_CASE("an impossible size throws and leaves the statistics as they were") {
    reset_peak_bytes();
    const AllocatorStatistics before = allocator_statistics();
    CachingAllocator<double> doubles;
    CHECK_THROWS_AS(doubles.allocate(std::numeric_limits<std::size_t>::max() / 8), std::bad_array_new_length);
#ifndef FOT_ADDRESS_SANITIZER  // which ends the program instead of throwing
    CHECK_THROWS_AS(doubles.allocate(std::size_t{1} << 59), std::bad_alloc);
#endif
    CHECK(allocator_statistics().in_use == before.in_use);
    CHECK(allocator_statistics().peak == before.peak);
}

TEST_CASE("several threads may allocate and free at once") {
    const std::size_t before = allocator_statistics().in_use;
    std::vector<std::thread> workers;
    std::vector<int> wrong(4, 0);
    for (std::size_t w = 0; w < 4; ++w)
        workers.emplace_back([w, &wrong] {
            for (int turn = 0; turn < 500; ++turn) {
                const Block a(40 * kib), b(100);
                std::memset(a.data, static_cast<int>(w), 4 * kib);
                std::memset(b.data, static_cast<int>(w), 100);
                const auto* bytes = static_cast<const unsigned char*>(a.data);
                for (std::size_t i = 0; i < 4 * kib; i += 512) wrong[w] += bytes[i] != w;
            }
        });
    for (std::thread& worker : workers) worker.join();
    CHECK(wrong == std::vector<int>(4, 0));
    CHECK(allocator_statistics().in_use == before);
}

#ifdef FOT_ADDRESS_SANITIZER
TEST_CASE("the address sanitizer sees freed blocks and the space that rounding added") {
    const char* freed = nullptr;
    {
        const Block block(33 * kib);
        const char* bytes = static_cast<const char*>(block.data);
        CHECK_FALSE(__asan_address_is_poisoned(bytes + 33 * kib - 1));
        CHECK(__asan_address_is_poisoned(bytes + 33 * kib));
        freed = bytes;
    }
    CHECK(__asan_address_is_poisoned(freed));
    const Block again(40 * kib);
    CHECK(again.data == freed);
    CHECK_FALSE(__asan_address_is_poisoned(freed + 40 * kib - 1));
}
#endif
