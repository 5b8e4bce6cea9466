/// Counts what is allocated, for support/memory_in_use.hpp. Included by one source file of a program.
#pragma once

#include <cstdlib>
#include <new>

#include "support/memory_in_use.hpp"

namespace fot::testing {

inline constexpr std::size_t allocation_header = 16;  // bytes before each block, which hold its size

inline void count_bytes(Index bytes) {
    const Index now = bytes_now += bytes;
    for (Index most = most_bytes; now > most && !most_bytes.compare_exchange_weak(most, now);) {
    }
}

}  // namespace fot::testing

void* operator new(std::size_t bytes) {
    void* const header = std::malloc(bytes + fot::testing::allocation_header);
    if (header == nullptr) throw std::bad_alloc();
    *static_cast<std::size_t*>(header) = bytes;
    fot::testing::count_bytes(static_cast<fot::Index>(bytes));
    return static_cast<char*>(header) + fot::testing::allocation_header;
}

void operator delete(void* memory) noexcept {
    if (memory == nullptr) return;
    void* const header = static_cast<char*>(memory) - fot::testing::allocation_header;
    fot::testing::count_bytes(-static_cast<fot::Index>(*static_cast<std::size_t*>(header)));
    std::free(header);
}

void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
