/// Keys and values of text in the order in which it was read: what a memory holds, without the search.
///
/// Entries are numbered from the oldest that is still there: index 0 ... size() - 1. They lie in blocks of fixed size that never
/// move, and within a block by head, so that appending copies nothing that is stored and a head of a block is one
/// matrix. Dropping the oldest moves the beginning; blocks that are no longer used are freed when the next entries are appended.
///
/// A capacity bounds the memory: the oldest entries are dropped so that no more than `capacity` remain. 0 keeps all.
///
/// Source: ours; the paper says what a memory holds (section 3.1), not how.
/// Read first: core/tensor.hpp.   Read next: memory/key_value_memory.hpp.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <deque>
#include <variant>

#include "fot/core/dtype.hpp"
#include "fot/core/matrix_view.hpp"
#include "fot/core/tensor.hpp"

namespace fot {

/// How a memory keeps its numbers: as they come, or rounded to the nearest number of 16 bits (half or a quarter of the bytes).
enum class Storage {
    full,
    bfloat16,  ///< read where it lies: no slower than full
    float16    ///< half precision, for models whose released code keeps it so
};

namespace detail {

/// A number that no two contents share: another one for each object, copies too, and whenever `renew` is called.
class Generation {
   public:
    Generation() = default;
    Generation(const Generation&) noexcept {}
    Generation& operator=(const Generation&) noexcept {
        renew();
        return *this;
    }
    void renew() noexcept { number_ = next(); }
    std::uint64_t number() const noexcept { return number_; }

   private:
    static std::uint64_t next() noexcept {
        static std::atomic<std::uint64_t> last = 0;
        return ++last;
    }
    std::uint64_t number_ = next();
};

}  // namespace detail

/// Keys and values of H heads, each of width D. A KeyValueMemory is this, and its errors are in that name.
///
/// Cost:   2 H D numbers per entry, plus its document; the newest block may be partly empty.
/// Errors: ConfigError if heads or width are below 1 or the capacity is negative; ShapeError if keys or values do not have as many
///         heads of this width; DataError if an index is not below size().
template <class Real>
class StoredEntries {
   public:
    static constexpr Index block_entries = 1024;  ///< of a block

    /// `capacity` 0: unlimited. Otherwise the oldest entries are dropped so that no more than `capacity` remain.
    StoredEntries(Index heads, Index width, Storage storage = Storage::full, Index capacity = 0)
        : heads_(heads), width_(width), capacity_(capacity), storage_(storage) {
        require<ConfigError>(heads >= 1 && width >= 1, "KeyValueMemory: ", heads, " heads of width ", width,
                             ", expected at least 1 of 1");
        require<ConfigError>(capacity >= 0, "KeyValueMemory: capacity ", capacity, " is negative");
    }

    /// H
    Index heads() const { return heads_; }
    /// D
    Index width() const { return width_; }
    /// Most entries that are kept; 0: unlimited.
    Index capacity() const { return capacity_; }
    /// How numbers are kept.
    Storage storage() const { return storage_; }
    /// Entries that are there now.
    Index size() const { return next_ - oldest_; }

    /// A number that changes whenever entries do, but for new ones at the end, and that no two memories share. While it is the
    /// same, what was derived from the entries (a search for their keys, say) still holds for them.
    std::uint64_t generation() const { return generation_.number(); }

    /// Bytes of the blocks held.
    std::size_t bytes() const {
        const std::size_t number = storage_ == Storage::full ? sizeof(Real) : sizeof(std::uint16_t);
        return blocks_.size() * block_entries * (static_cast<std::size_t>(2 * heads_ * width_) * number + sizeof(Index));
    }

    /// Forgets everything; a cleared memory is a fresh one.
    void clear() {
        blocks_.clear();
        oldest_ = next_ = first_block_ = 0;
        generation_.renew();
    }

    /// Forgets the oldest entries, as many as `count`.   Errors: DataError unless there are as many.
    void drop_oldest(Index count) {
        require<DataError>(count >= 0 && count <= size(), "KeyValueMemory::drop_oldest: ", count, " entries of ", size());
        oldest_ += count;
        generation_.renew();
    }

    /// Throws NumericError, in the name of `what`, if one of the numbers would become an infinity in the 16 bits that are kept of
    /// it.
    void require_storable(const char* what, const Real* numbers, Index count) const {
        if (storage_ == Storage::full) return;
        const double first_too_large = storage_ == Storage::float16 ? 65520 : 0x1.ffp127;
        for (Index i = 0; i < count; ++i)
            require<NumericError>(!(std::abs(numbers[i]) >= first_too_large) || std::isinf(numbers[i]), what, ": ", numbers[i],
                                  " is too large for a memory of 16-bit numbers");
    }

    /// Makes room for `tokens` more entries, so that appending them cannot run out of memory. If memory runs out here, the memory
    /// still holds what it held.
    void reserve(Index tokens) {
        for (; first_block_ < oldest_ / block_entries; ++first_block_) blocks_.pop_front();
        while ((first_block_ + length_of(blocks_)) * block_entries < next_ + tokens) blocks_.emplace_back(heads_, width_, storage_);
    }

    /// Where the entries begin and end.
    struct Mark {
        Index oldest;  ///< position in the stream of the oldest entry
        Index next;    ///< of the next one to come
    };
    /// What `go_back` wants.
    Mark mark() const { return {oldest_, next_}; }
    /// Makes the memory what it was at a mark: what was appended since is undone. That is one `append` at most, or any number
    /// without a capacity.
    void go_back(const Mark& mark) noexcept {
        oldest_ = mark.oldest;
        next_ = mark.next;
        generation_.renew();
    }

    /// Appends T entries of one document: keys and values (T,H,D). If there is no room for all of them, none is appended.
    /// Errors: NumericError as require_storable.
    void append(const Tensor<Real, 3>& keys, const Tensor<Real, 3>& values, Index document) {
        require_shape("KeyValueMemory::append: keys", keys, Shape<3>{-1, heads_, width_});
        require_shape("KeyValueMemory::append: values", values, shape_of(keys));
        append_rows(keys.data(), values.data(), extent(keys, 0), document);
    }

    /// Appends batch entry `entry` of what a layer computed, keys and values (B,T,H,D).
    void append(const Tensor<Real, 4>& keys, const Tensor<Real, 4>& values, Index entry, Index document) {
        require_shape("KeyValueMemory::append: keys", keys, Shape<4>{-1, -1, heads_, width_});
        require_shape("KeyValueMemory::append: values", values, shape_of(keys));
        require_entry("KeyValueMemory::append", keys, entry);
        append_rows(row(keys, entry), row(values, entry), extent(keys, 1), document);
    }

    /// Writes T entries over those from number `first` on: keys and values (T,H,D). Places and documents stay.
    /// Errors: DataError unless there are as many; ShapeError and NumericError as in append.
    void replace(Index first, const Tensor<Real, 3>& keys, const Tensor<Real, 3>& values) {
        require_shape("KeyValueMemory::replace: keys", keys, Shape<3>{-1, heads_, width_});
        require_shape("KeyValueMemory::replace: values", values, shape_of(keys));
        require_storable("KeyValueMemory::replace: keys", keys.data(), element_count(keys));
        require_storable("KeyValueMemory::replace: values", values.data(), element_count(values));
        const Index count = extent(keys, 0);
        require<DataError>(first >= 0 && first + count <= size(), "KeyValueMemory::replace: ", count, " entries from ", first,
                           " on, of ", size());
        generation_.renew();
        for (Index t = 0; t < count; ++t) {
            const Index position = oldest_ + first + t;
            Block& block = element(blocks_, position / block_entries - first_block_);
            for (Index h = 0; h < heads_; ++h) {
                write(row(keys, t, h), h, position % block_entries, block.keys);
                write(row(values, t, h), h, position % block_entries, block.values);
            }
        }
    }

    /// The document that an entry came from.
    Index document(Index entry) const {
        const Place place = locate(entry);
        return place.block->documents(place.slot);
    }

    /// The place of an entry in the stream: how many entries were appended before it since the last clear.
    Index position(Index entry) const {
        locate(entry);
        return oldest_ + entry;
    }

    /// Copies the key of an entry of one head, D numbers.   Errors: ShapeError if there is no such head.
    void copy_key(Index entry, Index head, Real* target) const {
        const Place place = locate(entry, head);
        read(place.block->keys, head, place.slot, target);
    }
    /// Copies its value.
    void copy_value(Index entry, Index head, Real* target) const {
        const Place place = locate(entry, head);
        read(place.block->values, head, place.slot, target);
    }

    /// Calls f(keys, values, entry) for the entries first ... last-1 of one head, oldest first: views (m, D) of as many entries,
    /// from number `entry` on. Their numbers are as stored, of type Real or a 16-bit format.
    ///
    /// Errors: ShapeError if there is no such head; DataError unless 0 <= first <= last <= size().
    template <class F>
    void for_each_stored_block(Index head, Index first, Index last, F&& f) const {
        require_head(head);
        require<DataError>(first >= 0 && first <= last && last <= size(), "KeyValueMemory::for_each_block: entries ", first, " to ",
                           last, " of ", size());
        for (Index entry = first, count = 0; entry < last; entry += count) {
            const auto [block, slot] = locate(entry);
            count = std::min(block_entries - slot, last - entry);
            std::visit(
                [&, &values = block->values, from = slot]<class Format>(const Format& keys) {
                    const auto rows = [&](const Format& numbers) { return matrix(row(numbers, head, from), count, width_); };
                    f(rows(keys), rows(std::get<Format>(values)), entry);
                },
                block->keys);
        }
    }

    /// The same with numbers of type Real: views that are valid during the call only.
    template <class F>
    void for_each_block(Index head, Index first, Index last, F&& f) const {
        Tensor<Real, 2> wide_keys, wide_values;
        for_each_stored_block(head, first, last, [&](const auto& keys, const auto& values, Index entry) {
            f(widened_rows<Real>(keys, wide_keys), widened_rows<Real>(values, wide_values), entry);
        });
    }

    /// The same for all entries.
    template <class F>
    void for_each_block(Index head, F&& f) const {
        for_each_block(head, 0, size(), std::forward<F>(f));
    }

   protected:
    /// Throws ShapeError unless x has a batch entry of this number.
    static void require_entry(const char* what, const Tensor<Real, 4>& x, Index entry) {
        require<ShapeError>(entry >= 0 && entry < extent(x, 0), what, ": batch entry ", entry, " of ", extent(x, 0));
    }

   private:
    /// Numbers (H, block_entries, D) in one of the formats.
    using Numbers = std::variant<Tensor<Real, 3>, Tensor<BFloat16, 3>, Tensor<detail::StoredHalf, 3>>;

    struct Block {
        Numbers keys, values;
        Tensor<Index, 1> documents;

        Block(Index heads, Index width, Storage storage)
            : keys(numbers_of(heads, width, storage)),
              values(numbers_of(heads, width, storage)),
              documents(empty<Index, 1>({block_entries})) {}
    };

    static Numbers numbers_of(Index heads, Index width, Storage storage) {
        const Shape<3> shape{heads, block_entries, width};
        if (storage == Storage::full) return empty<Real, 3>(shape);
        if (storage == Storage::bfloat16) return empty<BFloat16, 3>(shape);
        return empty<detail::StoredHalf, 3>(shape);
    }
    void read(const Numbers& source, Index head, Index slot, Real* target) const {
        std::visit([&](const auto& numbers) { widen(row(numbers, head, slot), width_, target); }, source);
    }
    void write(const Real* source, Index head, Index slot, Numbers& target) {
        std::visit([&](auto& numbers) { round_numbers(source, width_, row(numbers, head, slot)); }, target);
    }

    void require_head(Index head) const {
        require<ShapeError>(head >= 0 && head < heads_, "KeyValueMemory: head ", head, " of ", heads_);
    }

    struct Place {
        const Block* block;
        Index slot;
    };

    void append_rows(const Real* keys, const Real* values, Index tokens, Index document) {
        require_storable("KeyValueMemory::append: keys", keys, tokens * heads_ * width_);
        require_storable("KeyValueMemory::append: values", values, tokens * heads_ * width_);
        reserve(tokens);
        for (Index end = next_ + tokens, count = 0; next_ < end; next_ += count) {
            Block& block = element(blocks_, next_ / block_entries - first_block_);
            const Index first = next_ % block_entries;
            count = std::min(block_entries - first, end - next_);
            std::visit(
                [&]<class Format>(Format& block_keys) {
                    Format& block_values = std::get<Format>(block.values);
                    for (Index slot = first; slot < first + count; ++slot)
                        for (Index h = 0; h < heads_; ++h, keys += width_, values += width_) {
                            round_numbers(keys, width_, row(block_keys, h, slot));
                            round_numbers(values, width_, row(block_values, h, slot));
                        }
                },
                block.keys);
            std::fill_n(&block.documents(first), count, document);
        }
        if (capacity_ > 0 && size() > capacity_) drop_oldest(size() - capacity_);
    }

    Place locate(Index entry, Index head) const {
        require_head(head);
        return locate(entry);
    }
    /// Blocks are cut at multiples of block_entries in the stream, so a position says block and slot.
    Place locate(Index entry) const {
        require<DataError>(entry >= 0 && entry < size(), "KeyValueMemory: entry ", entry, " of ", size());
        const Index position = oldest_ + entry;
        return {&element(blocks_, position / block_entries - first_block_), position % block_entries};
    }

    Index heads_, width_, capacity_;
    Storage storage_;
    Index oldest_ = 0, next_ = 0;  // positions in the stream: entries oldest_ ... next_ - 1 are held
    Index first_block_ = 0;        // the place in the stream, in blocks, of the oldest block that is held
    std::deque<Block> blocks_;
    detail::Generation generation_;
};

}  // namespace fot
