/// A caching allocator: freed blocks are kept for the next tensor of about their size.
///
/// Training allocates the same sizes at every step. The C library gives blocks over a few megabytes back to the system, and the
/// next tensor pays a page fault for every 4 KiB of it (measured: three times the time of the product that fills it).
/// Blocks from 32 KiB up are therefore rounded to one of four sizes per power of two and kept in a list per size.
///
/// Read next: core/tensor.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <mutex>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FOT_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FOT_ADDRESS_SANITIZER
#endif
#endif
#ifdef FOT_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace fot {

namespace detail {

/// Under the address sanitizer only the first `visible` of a block's `bytes` may be touched: it would otherwise see neither the
/// use of a freed, kept block nor a step into the space that rounding added. Without the sanitizer it does nothing.
inline void hide_from_sanitizer([[maybe_unused]] void* block, [[maybe_unused]] std::size_t bytes,
                                [[maybe_unused]] std::size_t visible) noexcept {
#ifdef FOT_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(block, visible);
    __asan_poison_memory_region(static_cast<char*>(block) + visible, bytes - visible);
#endif
}

}  // namespace detail

/// Bytes handed out and kept by the allocator. `peak` is the largest `in_use` since the last `reset_peak_bytes()`.
struct AllocatorStatistics {
    std::size_t in_use = 0;  ///< of living tensors
    std::size_t cached = 0;  ///< kept for later ones
    std::size_t peak = 0;    ///< the largest `in_use` since the measurement began
};

/// The process-wide store of free blocks. Thread-safe.
class BlockCache {
   public:
    static constexpr std::size_t alignment = 64;           ///< bytes; of every block
    static constexpr std::size_t smallest_cached = 32768;  ///< bytes; smaller blocks go straight back to the system

    /// The one store of the process.
    static BlockCache& instance() {
        static BlockCache* cache = new BlockCache;  // never destroyed: static tensors may outlive every other static
        return *cache;
    }

    /// A block of at least so many bytes: a kept one, or a new one.   Errors: std::bad_alloc.
    void* allocate(std::size_t bytes) {
        const std::size_t rounded = rounded_size(bytes);
        void* block = cached_block(rounded);
        if (!block) {
            block = ::operator new(rounded, std::align_val_t(alignment), std::nothrow);
            if (!block) {  // the memory may be there, kept for tensors of other sizes
                release();
                block = ::operator new(rounded, std::align_val_t(alignment));
            }
        }
        detail::hide_from_sanitizer(block, rounded, bytes);
        const std::lock_guard<std::mutex> lock(mutex_);
        statistics_.in_use += rounded;
        statistics_.peak = std::max(statistics_.peak, statistics_.in_use);
        return block;
    }

    /// Keeps the block of so many bytes for later, or gives it back to the system.
    void deallocate(void* block, std::size_t bytes) noexcept {
        const std::size_t rounded = rounded_size(bytes);
        detail::hide_from_sanitizer(block, rounded, 0);
        const std::lock_guard<std::mutex> lock(mutex_);
        statistics_.in_use -= rounded;
        if (rounded >= smallest_cached) {
            try {
                free_list(rounded).push_back(block);
                statistics_.cached += rounded;
                return;
            } catch (const std::bad_alloc&) {  // no room to remember it: give it back instead
            }
        }
        ::operator delete(block, std::align_val_t(alignment));
    }

    /// Gives every cached block back to the system.
    void release() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (auto& list : free_) {
            for (void* block : list) ::operator delete(block, std::align_val_t(alignment));
            list.clear();
        }
        statistics_.cached = 0;
    }

    /// Bytes in use, kept, and in use at most.
    AllocatorStatistics statistics() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return statistics_;
    }

    /// Starts a new measurement of the peak.
    void reset_peak() {
        const std::lock_guard<std::mutex> lock(mutex_);
        statistics_.peak = statistics_.in_use;
    }

   private:
    /// A kept block of this size, or null.
    void* cached_block(std::size_t rounded) noexcept {
        if (rounded < smallest_cached) return nullptr;
        const std::lock_guard<std::mutex> lock(mutex_);
        std::vector<void*>& list = free_list(rounded);
        if (list.empty()) return nullptr;
        void* block = list.back();
        list.pop_back();
        statistics_.cached -= rounded;
        return block;
    }

    /// `bytes` rounded up to (4, 5, 6 or 7) * 2^n, at most a quarter more; small blocks to the alignment.
    static std::size_t rounded_size(std::size_t bytes) noexcept {
        if (bytes < smallest_cached) return (bytes + alignment - 1) / alignment * alignment;
        const std::size_t step = std::bit_floor(bytes) / 4;
        return (bytes + step - 1) / step * step;
    }

    /// Free blocks of one rounded size: four lists per power of two.
    std::vector<void*>& free_list(std::size_t rounded) noexcept {
        const std::size_t power = static_cast<std::size_t>(std::bit_width(rounded)) - 1;
        return free_[4 * power + (rounded >> (power - 2)) % 4];
    }

    std::mutex mutex_;
    std::array<std::vector<void*>, 4 * 64> free_;
    AllocatorStatistics statistics_;
};

/// What the tensors of this process hold now, keep for later, and held at most.
inline AllocatorStatistics allocator_statistics() { return BlockCache::instance().statistics(); }

/// Starts a new measurement of the peak.
inline void reset_peak_bytes() { BlockCache::instance().reset_peak(); }

/// Gives cached blocks back to the system, for instance between two experiments of different size.
inline void release_cached_memory() { BlockCache::instance().release(); }

/// Standard allocator on top of the block cache.
template <class T>
struct CachingAllocator {
    using value_type = T;  ///< as a standard allocator has it

    CachingAllocator() = default;
    /// All allocators are alike: they stand for the one store.
    template <class U>
    CachingAllocator(const CachingAllocator<U>&) noexcept {}

    /// Room for so many T.   Errors: std::bad_array_new_length if their bytes cannot be counted; std::bad_alloc.
    T* allocate(std::size_t count) {
        if (count > static_cast<std::size_t>(-1) / 2 / sizeof(T)) throw std::bad_array_new_length();
        return static_cast<T*>(BlockCache::instance().allocate(count * sizeof(T)));
    }
    /// Gives back what `allocate(count)` gave.
    void deallocate(T* block, std::size_t count) noexcept { BlockCache::instance().deallocate(block, count * sizeof(T)); }

    /// True: what one allocated another may give back.
    template <class U>
    bool operator==(const CachingAllocator<U>&) const noexcept {
        return true;
    }
};

}  // namespace fot
