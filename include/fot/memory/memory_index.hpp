/// A memory and, beside it, a search for the keys of each of its heads, through which entries are found approximately.
///
///     MemoryIndex<float> index([](MatrixView<const float> keys) {
///         return std::make_unique<InvertedLists<float>>(keys, InvertedListsOptions{.lists = 512, .probes = 8});
///     });
///     index.update(memory);                                  // whenever entries were appended
///     FoundThrough<float> found = index.search(q, 0, 128);   // for batch entry 0 of queries (B,T,H,D)
///
/// The memory itself stays as it is: values are read from it, and its own search stays exact. An index would pay off for single
/// queries on a large memory (paper_notes.md, "Reasons"). It needs a memory without a capacity, since a search cannot forget keys,
/// and holds a second copy of all keys.
///
/// Read first: memory/key_value_memory.hpp, memory/key_search.hpp.
/// Read next: attention/estimated_tail.hpp, model/index_source.hpp.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "fot/memory/key_search.hpp"
#include "fot/memory/key_value_memory.hpp"

namespace fot {

/// Entries that a search found, and what it took.
template <class Real>
struct FoundThrough {
    FoundEntries<Real> entries;  ///< (T, H, K). Where fewer than K were found: score -infinity, index -1
    Index scored = 0;            ///< inner products, of all queries and heads together
};

/// Searches for the heads of one memory.
///
/// Cost:   a second copy of all keys, and what the searches hold besides.
/// Errors: ConfigError for a memory with a capacity: searches cannot forget.
template <class Real>
class MemoryIndex {
   public:
    /// `make` is called for each head at the first update that finds entries, with their keys.
    explicit MemoryIndex(MakeKeySearch<Real> make) : make_(std::move(make)) {}

    /// Adds what the memory has got since the last time. If it has changed otherwise, or is another one, all of it is searched
    /// anew.
    void update(const KeyValueMemory<Real>& memory) {
        require<ConfigError>(memory.capacity() == 0, "MemoryIndex: a memory with a capacity of ", memory.capacity(),
                             ", expected one that keeps all entries");
        if (!knows(memory)) searches_.clear();
        generation_ = memory.generation();
        heads_ = memory.heads();
        width_ = memory.width();
        if (memory.size() == size()) return;
        for (Index h = 0; h < heads_; ++h) {
            const Index first = size_of_head(h), count = memory.size() - first;
            Tensor<Real, 2> keys = empty<Real, 2>({count, width_});
            memory.for_each_block(h, first, memory.size(), [&](const auto& block, const auto&, Index entry) {
                std::copy_n(block.data, block.rows * block.columns, row(keys, entry - first));
            });
            if (length_of(searches_) == h) searches_.push_back(make_(as_matrix(std::as_const(keys))));
            element(searches_, h)->add(as_matrix(std::as_const(keys)));
        }
    }

    /// Are all entries that the searches know still those of this memory? It may have got more.
    bool knows(const KeyValueMemory<Real>& memory) const { return memory.generation() == generation_; }

    /// Entries that searches know.
    Index size() const { return searches_.empty() ? 0 : searches_.back()->size(); }

    /// The search for the keys of a head.   Errors: ShapeError if there is none.
    KeySearch<Real>& of_head(Index h) const {
        require<ShapeError>(h >= 0 && h < length_of(searches_), "MemoryIndex: head ", h, " of ", searches_.size());
        return *element(searches_, h);
    }

    /// What the searches find for batch entry `entry` of queries (B,T,H,D), H a multiple of the memory's heads. Nothing, before
    /// the first update.
    /// Same as: KeyValueMemory::search, with exact searches.
    /// Errors: ShapeError if the queries do not fit; ConfigError if k is negative.
    FoundThrough<Real> search(const Tensor<Real, 4>& queries, Index entry, Index k) const {
        const auto [entries, tokens, query_heads, width] = shape_of(queries);
        require<ShapeError>(entry >= 0 && entry < entries, "MemoryIndex::search: entry ", entry, " of ", entries);
        require<ShapeError>(size() == 0 || (width == width_ && query_heads % heads_ == 0), "MemoryIndex::search: queries ",
                            shape_text(shape_of(queries)), ", expected ", heads_, " heads or a multiple of them, of width ",
                            width_);
        require<ConfigError>(k >= 0, "MemoryIndex::search: k = ", k, " is negative");
        const Index found = std::min(k, size());
        FoundThrough<Real> result{{empty<Real, 3>({tokens, query_heads, found}), empty<Index, 3>({tokens, query_heads, found})}};
        for (Index h = 0; h < query_heads && found > 0; ++h) {
            const KeysFound<Real> keys = of_head(h * heads_ / query_heads).find(head(queries, entry, h), found);
            result.scored += keys.scored;
            for (Index t = 0; t < tokens; ++t) {
                std::copy_n(row(keys.best.scores, t), found, row(result.entries.scores, t, h));
                std::copy_n(row(keys.best.indices, t), found, row(result.entries.indices, t, h));
            }
        }
        return result;
    }

   private:
    Index size_of_head(Index h) const { return h < length_of(searches_) ? element(searches_, h)->size() : 0; }

    MakeKeySearch<Real> make_;
    std::uint64_t generation_ = 0;  // of the memory at the last update
    Index heads_ = 0, width_ = 0;
    std::vector<std::unique_ptr<KeySearch<Real>>> searches_;  // one per head of the memory
};

}  // namespace fot
