/// A memory that is too large for one machine: its entries are spread over ranks, each of which holds a KeyValueMemory.
///
/// The stream of entries is cut into blocks of 1024, and these are dealt out to the p ranks in turn:
///
///     block       0   1   2   3   4   5   6 ...        entry n of the stream lies in block n / 1024,
///     of 3 ranks  0   1   2   0   1   2   0 ...        which rank (n / 1024) % p holds
///
/// So every rank knows who holds what without asking. Blocks are dealt out in turn because nobody knows how long a stream will
/// become: at any time the ranks hold the same amount to within one block, even as the oldest entries leave. One contiguous part
/// per rank would need the length beforehand. The price is that only the first ranks hold a memory of a few thousand entries.
///
/// All ranks may append a window that all have computed; each then keeps what is its own. Or a rank computes only what it will
/// hold, so that p ranks fill a memory p times as fast. That is possible with one memory layer, since what it remembers does not
/// depend on what it remembered before.
///
/// Read first: memory/key_value_memory.hpp, distributed/communicator.hpp.   Read next: distributed/sharded_search.hpp.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>

#include "fot/distributed/communicator.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Which entries of a stream each of p ranks holds: blocks of 1024, dealt out in turn.
struct DealtBlocks {
    static constexpr Index entries = 1024;  ///< of a block

    Index ranks;  ///< p

    /// The rank that holds entry n of the stream.
    Index rank_of(Index n) const { return n / entries % ranks; }
    /// How many of the first n entries of the stream a rank holds.
    Index before(Index n, Index rank) const {
        const Index blocks = n / entries;  // whole ones
        return (blocks + ranks - 1 - rank) / ranks * entries + (blocks % ranks == rank ? n % entries : 0);
    }
    /// The place in the stream of the i-th entry that a rank has held, from 0.
    Index place_of(Index i, Index rank) const { return (i / entries * ranks + rank) * entries + i % entries; }
};

/// Keys and values of H heads, each of width D, in the order they were appended, on p ranks. Entries are numbered as in one memory:
/// 0 is the oldest that is still there, wherever it lies.
///
/// Source: ours. The paper names memories beyond 16M entries, on several machines, as future work.
/// Cost:   a rank holds 2 H D numbers for each of size() / p entries, give or take 1024.
///
/// Errors: ConfigError on every rank if ranks differ in heads, width, storage or capacity, or these are impossible; ShapeError if
///         keys or values do not have the memory's heads and width; DataError if an entry is not below size().
///
/// Same as: KeyValueMemory on one rank.
template <class Real>
class ShardedMemory {
   public:
    /// `ranks` must outlive the memory. `capacity`, of all ranks together: as in KeyValueMemory.
    ShardedMemory(Communicator& ranks, Index heads, Index width, Storage storage = Storage::full, Index capacity = 0)
        : ranks_(&ranks),
          blocks_{ranks.size()},
          capacity_(capacity),
          shard_((require_same(ranks, "ShardedMemory: the memory",  // before a rank finds its own arguments impossible
                               message(heads, " heads of width ", width, ", storage ", static_cast<int>(storage), " of numbers of ",
                                       sizeof(Real), " bytes, capacity ", capacity)),
                  heads),
                 width, storage) {
        require<ConfigError>(capacity >= 0, "ShardedMemory: capacity ", capacity, " is negative");
    }

    /// The ranks that hold it.
    Communicator& ranks() const { return *ranks_; }
    /// What this rank holds.
    const KeyValueMemory<Real>& shard() const { return shard_; }
    /// H
    Index heads() const { return shard_.heads(); }
    /// D
    Index width() const { return shard_.width(); }
    /// Most entries that are kept; 0: unlimited.
    Index capacity() const { return capacity_; }
    /// As of KeyValueMemory.
    void require_storable(const char* what, const Real* numbers, Index count) const {
        shard_.require_storable(what, numbers, count);
    }
    /// Entries that are there now, on all ranks.
    Index size() const { return next_ - oldest_; }
    /// Those of them that one rank holds.
    Index size_of(Index rank) const { return blocks_.before(next_, rank) - blocks_.before(oldest_, rank); }

    /// The rank that holds an entry.
    Index rank_of(Index entry) const { return blocks_.rank_of(position(entry)); }
    /// The number of an entry of this rank's shard among all entries. Numbers in a shard and among all are in the same order.
    Index entry_of(Index in_shard) const {
        return blocks_.place_of(blocks_.before(oldest_, ranks_->rank()) + in_shard, ranks_->rank()) - oldest_;
    }
    /// The place of an entry in the stream, as in KeyValueMemory.
    Index position(Index entry) const {
        require<DataError>(entry >= 0 && entry < size(), "ShardedMemory: entry ", entry, " of ", size());
        return oldest_ + entry;
    }
    /// The document that an entry came from. Every rank knows it.
    Index document(Index entry) const { return std::prev(documents_.upper_bound(position(entry)))->second; }

    /// Calls f(first, last, document) for the entries first ... last - 1 of each document, oldest first.
    template <class F>
    void for_each_document(F&& f) const {
        for (auto at = documents_.begin(); at != documents_.end(); ++at) {
            const Index end = std::next(at) == documents_.end() ? next_ : std::next(at)->first;
            f(std::max(at->first, oldest_) - oldest_, end - oldest_, at->second);
        }
    }

    /// Forgets everything. All ranks do it.
    void clear() {
        shard_.clear();
        documents_.clear();
        oldest_ = next_ = 0;
    }

    /// Appends T entries of one document that all ranks have computed: keys and values (T,H,D). Each rank keeps its own of them.
    /// Errors: as KeyValueMemory::append, on all ranks; none of the entries is appended then.
    void append(const Tensor<Real, 3>& keys, const Tensor<Real, 3>& values, Index document) {
        require_shape("ShardedMemory::append: keys", keys, Shape<3>{-1, heads(), width()});
        require_shape("ShardedMemory::append: values", values, shape_of(keys));
        require_storable("ShardedMemory::append: keys", keys.data(), element_count(keys));
        require_storable("ShardedMemory::append: values", values.data(), element_count(values));
        append_own(extent(keys, 0), document, [&](KeyValueMemory<Real>& shard, Index first, Index last) {
            shard.append(slice<0>(keys, first, last - first), slice<0>(values, first, last - first), document);
        });
    }

    /// Appends `count` entries of one document, each rank its own: `append_part(shard, first, last)` appends the entries
    /// first ... last - 1 of the count to the shard. It is called for the parts that this rank holds, in order.
    ///
    /// All ranks call this with the same count and document, and need not have come equally far.
    /// Errors: ConfigError if the count is negative; DataError if the shard then has not grown by as many entries; those of
    ///         `append_part`. This rank's part is then what it was.
    template <class AppendPart>
    void append_own(Index count, Index document, const AppendPart& append_part) {
        require<ConfigError>(count >= 0, "ShardedMemory::append_own: ", count, " entries, expected 0 or more");
        const Index end = next_ + count, rank = ranks_->rank();
        const auto at_first = shard_.mark();
        try {
            for (Index first = next_, last; first < end; first = last) {
                last = std::min(end, (first / DealtBlocks::entries + 1) * DealtBlocks::entries);
                if (blocks_.rank_of(first) != rank) continue;
                const Index before = shard_.size();
                append_part(shard_, first - next_, last - next_);
                require<DataError>(shard_.size() - before == last - first, "ShardedMemory::append_own: ", shard_.size() - before,
                                   " entries were appended, expected ", last - first);
            }
        } catch (...) {
            shard_.go_back(at_first);
            throw;
        }
        if (count > 0 && (documents_.empty() || documents_.rbegin()->second != document)) documents_[next_] = document;
        next_ = end;
        if (capacity_ > 0 && size() > capacity_) drop_oldest(size() - capacity_);
    }

    /// Forgets the oldest entries. All ranks do it.   Errors: DataError unless there are as many.
    void drop_oldest(Index count) {
        require<DataError>(count >= 0 && count <= size(), "ShardedMemory::drop_oldest: ", count, " entries of ", size());
        const Index before = size_of(ranks_->rank());
        oldest_ += count;
        shard_.drop_oldest(before - size_of(ranks_->rank()));
        documents_.erase(documents_.begin(), size() == 0 ? documents_.end() : std::prev(documents_.upper_bound(oldest_)));
    }

   private:
    Communicator* ranks_;
    DealtBlocks blocks_;
    Index capacity_;
    KeyValueMemory<Real> shard_;
    Index oldest_ = 0, next_ = 0;       // positions in the stream: entries oldest_ ... next_ - 1 are held
    std::map<Index, Index> documents_;  // by the position in the stream at which each begins
};

}  // namespace fot
