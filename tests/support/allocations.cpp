// The global operators new and delete of the test programs: they count, and fail where a test wants it (support/allocations.hpp).
#include "support/allocations.hpp"

#include <cstdlib>
#include <new>

namespace fot::testing {
std::atomic<Index> bytes_now{0}, most_bytes{0}, allocations_until_failure{-1};
}

namespace {

using fot::Index;
using namespace fot::testing;

constexpr std::size_t header_bytes = 16;  // before each block, to hold its size

void count_bytes(Index bytes) {
    const Index now = bytes_now += bytes;
    for (Index most = most_bytes; now > most && !most_bytes.compare_exchange_weak(most, now);) {
    }
}

bool must_fail() { return allocations_until_failure >= 0 && allocations_until_failure-- == 0; }

}  // namespace

void* operator new(std::size_t bytes) {
    void* const header = must_fail() ? nullptr : std::malloc(bytes + header_bytes);
    if (header == nullptr) throw std::bad_alloc();
    *static_cast<std::size_t*>(header) = bytes;
    count_bytes(static_cast<Index>(bytes));
    return static_cast<char*>(header) + header_bytes;
}

void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {  // a sanitizer has one that our delete would not know
    try {
        return ::operator new(bytes);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void operator delete(void* memory) noexcept {
    if (memory == nullptr) return;
    void* const header = static_cast<char*>(memory) - header_bytes;
    count_bytes(-static_cast<Index>(*static_cast<std::size_t*>(header)));
    std::free(header);
}

void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
