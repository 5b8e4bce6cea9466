/// Memory for tensors that begins at the start of a cache line. Otherwise every second vector of AVX2, and every vector of AVX-512,
/// could straddle two lines.
///
/// Read next: core/tensor.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>

namespace fot {

/// A standard allocator of aligned memory.
///
/// It aligns by itself: glibc before 2.38 asks for more than it frees when it aligns, and a freed block is then too small for the
/// next tensor of its size.
template <class T>
struct AlignedAllocator {
    using value_type = T;                          ///< as a standard allocator has it
    static constexpr std::size_t cache_line = 64;  ///< bytes

    AlignedAllocator() = default;
    /// All allocators are alike.
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>&) noexcept {}

    /// Room for `count` numbers of type T.   Errors: std::bad_array_new_length if their bytes cannot be counted; std::bad_alloc.
    T* allocate(std::size_t count) {
        if (count > (std::numeric_limits<std::size_t>::max() - cache_line) / sizeof(T)) throw std::bad_array_new_length();
        auto* const memory = static_cast<unsigned char*>(::operator new(count * sizeof(T) + cache_line));
        unsigned char* const aligned = memory + cache_line - reinterpret_cast<std::uintptr_t>(memory) % cache_line;
        aligned[-1] = static_cast<unsigned char>(aligned - memory);  // 1 ... cache_line
        return reinterpret_cast<T*>(aligned);
    }
    /// Gives it back.
    void deallocate(T* numbers, std::size_t) noexcept {
        auto* const aligned = reinterpret_cast<unsigned char*>(numbers);
        ::operator delete(aligned - aligned[-1]);
    }

    /// True: what one allocated another may give back.
    template <class U>
    bool operator==(const AlignedAllocator<U>&) const noexcept {
        return true;
    }
};

}  // namespace fot
