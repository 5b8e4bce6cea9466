/// Large allocations that fail: the program runs out of memory where a test wants it to.
///
/// It replaces the global operators new and delete, so one source file of a program may include it.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

namespace fot::testing {

inline constexpr std::size_t large_allocation = 65536;  ///< bytes; smaller ones never fail
inline int allowed_allocations = -1;                    ///< so many large ones succeed, all later ones fail; -1: none fails

/// Lets so many large allocations succeed while it lives.
class FailingAllocation {
   public:
    explicit FailingAllocation(int allowed) { allowed_allocations = allowed; }
    ~FailingAllocation() { allowed_allocations = -1; }
    FailingAllocation(const FailingAllocation&) = delete;
    FailingAllocation& operator=(const FailingAllocation&) = delete;
};

inline void* allocated(std::size_t bytes, std::size_t alignment) noexcept {
    if (bytes >= large_allocation && allowed_allocations >= 0 && allowed_allocations-- == 0) {
        allowed_allocations = 0;
        return nullptr;
    }
    return std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment);
}

inline void* allocated_or_thrown(std::size_t bytes, std::size_t alignment) {
    if (void* const block = allocated(bytes, alignment)) return block;
    throw std::bad_alloc();
}

}  // namespace fot::testing

// Not inlined: g++ would take `free` after `new` for a mistake.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
    return fot::testing::allocated_or_thrown(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return fot::testing::allocated_or_thrown(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return fot::testing::allocated(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
[[gnu::noinline]] void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
