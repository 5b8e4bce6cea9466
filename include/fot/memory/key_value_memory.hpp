/// The external memory of one attention layer: keys and values of earlier text, looked up by exact search.
///
/// The layer appends the (key, value) pairs that it computed, in order, each window after its own attention. A query then
/// finds the k entries of its head with the largest inner product. One memory serves one stream of text (one batch entry).
/// Cleared at each document it gives the paper's single-document setting, kept across documents the multi-document one.
///
/// A capacity bounds the memory: the oldest entries leave first (memory/stored_entries.hpp).
///
/// Source: paper sections 3.1 and 5.1, appendix B.2. Capacity and 16-bit storage are ours.
/// Read first: memory/stored_entries.hpp, memory/exact_search.hpp.   Read next: attention/memory_attention.hpp.
#pragma once

#include "fot/memory/parallel_search.hpp"
#include "fot/memory/stored_entries.hpp"

namespace fot {

/// Best entries of a memory per token and query head, as a SearchResult has them per query: scores descending, equal scores by
/// ascending index. K = min(k, size).
template <class Real>
struct FoundEntries {
    Tensor<Real, 3> scores;    ///< (T, H, K) inner products with the stored keys
    Tensor<Index, 3> indices;  ///< (T, H, K) 0 is the oldest entry
};

/// The same with copies of what was stored, for gradients and for inspection.
template <class Real>
struct RetrievedEntries {
    FoundEntries<Real> found;    ///< where they lie, and their scores
    Tensor<Real, 4> keys;        ///< (T, H, K, D)
    Tensor<Real, 4> values;      ///< (T, H, K, D)
    Tensor<Index, 3> documents;  ///< (T, H, K) the document that each entry came from
};

/// Stored entries, and the search among them.
///
/// Source: paper section 3.1. No departures.
/// Cost:   a search T H M D multiply-adds, M entries; retrieve copies 2 T H K D numbers besides.
/// Errors: as StoredEntries; ShapeError if queries do not have the width of the keys, or a number of heads that is no multiple of
///         theirs; ConfigError if k is negative.
template <class Real>
class KeyValueMemory : public StoredEntries<Real> {
   public:
    using StoredEntries<Real>::StoredEntries;  // heads, width, storage, capacity
    using StoredEntries<Real>::heads, StoredEntries<Real>::width, StoredEntries<Real>::size;

    /// The k entries of largest inner product with each query; query head h looks into memory head h / g, g = query heads / heads.
    ///
    /// Shapes: queries (T,H,D) with H any multiple of heads() -> (T,H,K), K = min(k, size()): 0 for an empty memory.
    /// Same as: exact_search over the stored keys of the head.
    FoundEntries<Real> search(const Tensor<Real, 3>& queries, Index k) const {
        return search_rows(queries.data(), shape_of(queries), k);
    }
    /// The same for batch entry `entry` of the queries (B,T,H,D).
    FoundEntries<Real> search(const Tensor<Real, 4>& queries, Index entry, Index k) const {
        this->require_entry("KeyValueMemory::search", queries, entry);
        return search_rows(row(queries, entry), {extent(queries, 1), extent(queries, 2), extent(queries, 3)}, k);
    }

    /// The same with the keys, values and documents of what was found: queries (T,H,D).
    RetrievedEntries<Real> retrieve(const Tensor<Real, 3>& queries, Index k) const { return with_contents(search(queries, k)); }
    /// The same for batch entry `entry` of the queries (B,T,H,D).
    RetrievedEntries<Real> retrieve(const Tensor<Real, 4>& queries, Index entry, Index k) const {
        return with_contents(search(queries, entry, k));
    }

   private:
    FoundEntries<Real> search_rows(const Real* queries, const Shape<3>& shape, Index k) const {
        const auto [tokens, query_heads, columns] = shape;
        require<ShapeError>(columns == width() && query_heads % heads() == 0, "KeyValueMemory::search: queries ", shape_text(shape),
                            ", expected heads a multiple of ", heads(), " and width ", width());
        require<ConfigError>(k >= 0, "KeyValueMemory::search: k = ", k, " is negative");
        const Index group = query_heads / heads(), found = std::min(k, size());
        FoundEntries<Real> result{empty<Real, 3>({tokens, query_heads, found}), empty<Index, 3>({tokens, query_heads, found})};
        std::vector<Tensor<Real, 2>> grouped;  // the queries of a group of heads are rows of one search
        std::vector<MatrixView<const Real>> sets;
        for (Index h = 0; h < heads(); ++h) {
            grouped.push_back(empty<Real, 2>({tokens * group, width()}));
            for (Index t = 0; t < tokens; ++t)
                std::copy_n(queries + (t * heads() + h) * group * width(), group * width(), row(grouped.back(), t * group));
            sets.push_back(as_matrix(std::as_const(grouped.back())));
        }
        const auto add_keys = [&](StreamingSearch<Real>& search, Index h, Index first, Index last) {
            this->for_each_stored_block(h, first, last,
                                        [&](const auto& keys, const auto&, Index entry) { search.add(keys, entry); });
        };
        const std::vector<SearchResult<Real>> best = exact_search_in_parts<Real>(size(), sets, found, add_keys);
        for (Index h = 0; h < heads(); ++h)
            for (Index t = 0; t < tokens; ++t) {
                std::copy_n(row(element(best, h).scores, t * group), group * found, row(result.scores, t, h * group));
                std::copy_n(row(element(best, h).indices, t * group), group * found, row(result.indices, t, h * group));
            }
        return result;
    }

    /// Gathers what was found, by index.
    RetrievedEntries<Real> with_contents(FoundEntries<Real> found) const {
        const Index tokens = extent(found.indices, 0), query_heads = extent(found.indices, 1), count = extent(found.indices, 2);
        RetrievedEntries<Real> result{std::move(found), empty<Real, 4>({tokens, query_heads, count, width()}),
                                      empty<Real, 4>({tokens, query_heads, count, width()}),
                                      empty<Index, 3>({tokens, query_heads, count})};
        const Index group = query_heads / heads();
        parallel_slices(tokens, 4, [&](Index first, Index last) {
            for (Index t = first; t < last; ++t)
                for (Index h = 0; h < query_heads; ++h)
                    for (Index j = 0; j < count; ++j) {
                        const Index entry = result.found.indices(t, h, j);
                        this->copy_key(entry, h / group, row(result.keys, t, h, j));
                        this->copy_value(entry, h / group, row(result.values, t, h, j));
                        result.documents(t, h, j) = this->document(entry);
                    }
        });
        return result;
    }
};

}  // namespace fot
