/// Documents to batches: what is current, what is previous, and where a document ends.
///
/// Crossbatch training needs to know which text belongs to one document: an entry's previous context is of the entry's own
/// document, those of all other entries are of other documents. So the paper keeps one document at each batch index.
/// `sample_contexts` cuts random pieces of documents that way.
///
/// The released code has no previous contexts: consecutive windows of a document are consecutive entries of one batch.
/// `sample_packed` cuts random pieces for this form.
///
/// Source: paper section 3.2, appendix B.3 (previous contexts); appendix A.2 and the released code (packed).
/// Read first: data/text.hpp.   Read next: attention/contexts.hpp (who sees whom), data/random_walk.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"
#include "fot/data/text.hpp"

namespace fot {

/// How many windows a batch of the paper's form has.
struct WindowShape {
    Index entries = 16;   ///< B, documents with a current context
    Index pool = 0;       ///< P, documents with previous contexts: the entries, then others; 0: as many as entries
    Index positives = 1;  ///< w, previous contexts of a document; 0: none, local context only
    Index length = 128;   ///< T, tokens of a window
    Index overlap = 0;    ///< tokens at the beginning of the current window that the last previous one ends with

    /// Documents that are in use at a time.
    Index documents() const { return pool == 0 ? entries : pool; }
};

/// The overlap of a step while previous contexts slide: at first a context is the current window itself, so that what a query needs
/// stands in it; from `steps` on it is the window before. A model that is to learn to look things up finds out sooner how that is
/// done.
inline Index sliding_overlap(Index step, Index steps, Index length) { return step >= steps ? 0 : length - length * step / steps; }

/// Documents are drawn in proportion to length to this power: long ones come more often, but do not fill every batch.
inline constexpr double length_power = 0.75;

/// A batch. Row window * P + j of `previous` is window number `window` of document j counted backwards: window
/// 0 ends where the current one begins, or `overlap` tokens later. attention/contexts.hpp numbers contexts in the same way.
template <class Real>
struct ContextBatch {
    Tokens previous;               ///< (w P, T)
    Tokens current;                ///< (B,T)
    Tokens targets;                ///< (B,T) the token after each of `current`; 0 after the end of the document
    Tensor<Real, 2> mask;          ///< (B,T) what the target counts in the loss; 0 after the end of the document
    std::vector<Index> documents;  ///< (P) which document each entry holds
};

namespace detail {

/// Throws ConfigError for an impossible shape.
inline void require_valid(const char* who, const WindowShape& shape) {
    require<ConfigError>(shape.entries >= 1 && shape.length >= 1 && shape.positives >= 0, who, ": ", shape.entries, " entries of ",
                         shape.length, " tokens with ", shape.positives,
                         " previous windows, expected 1 or more of the first two and 0 or more of the last");
    require<ConfigError>(shape.overlap >= 0 && shape.overlap <= shape.length, who, ": an overlap of ", shape.overlap,
                         " tokens of windows of ", shape.length, ", expected 0 ... ", shape.length);
    require<ConfigError>(shape.documents() >= shape.entries, who, ": a pool of ", shape.pool, " documents is smaller than the ",
                         shape.entries, " entries");
}

/// A batch of the shape with nothing in it yet.   Errors: as require_valid.
template <class Real>
ContextBatch<Real> empty_context_batch(const char* who, const WindowShape& shape) {
    require_valid(who, shape);
    return {.previous = zeros<std::int32_t, 2>({shape.positives * shape.documents(), shape.length}),
            .current = zeros<std::int32_t, 2>({shape.entries, shape.length}),
            .targets = zeros<std::int32_t, 2>({shape.entries, shape.length}),
            .mask = zeros<Real, 2>({shape.entries, shape.length}),
            .documents = {}};
}

/// Writes entry j: its current window begins at token `start`, its previous ones end there, or `overlap` tokens later.
template <class Real>
void write_entry(const WindowShape& shape, Index j, const TokenDocument& document, Index start, ContextBatch<Real>& batch) {
    const std::int32_t* tokens = document.tokens.data() + start;
    for (Index window = 0; window < shape.positives; ++window)
        std::copy_n(tokens + shape.overlap - (window + 1) * shape.length, shape.length,
                    row(batch.previous, window * shape.documents() + j));
    if (j >= shape.entries) return;
    const Index left = document.length() - start, with_target = std::min(shape.length, left - 1);
    std::copy_n(tokens, std::min(shape.length, left), row(batch.current, j));
    std::copy_n(tokens + 1, with_target, row(batch.targets, j));
    for (Index t = 0; t < with_target; ++t) batch.mask(j, t) = static_cast<Real>(document.mask_at(start + 1 + t));
}

/// `count` different documents of `needed` tokens or more, drawn in proportion to length^length_power: their numbers.
inline std::vector<Index> draw_documents(const char* who, const std::vector<TokenDocument>& documents, Index needed, Index count,
                                         Random& random) {
    // Waiting times with rate length^length_power: the first are a draw without replacement.
    std::vector<std::pair<double, Index>> order;
    for (Index i = 0; i < length_of(documents); ++i) {
        const TokenDocument& document = element(documents, i);
        if (document.length() < needed) continue;
        fot::require_valid(document);
        order.emplace_back(-std::log1p(-random.uniform()) / std::pow(static_cast<double>(document.length()), length_power), i);
    }
    require<DataError>(length_of(order) >= count, who, ": ", order.size(), " of ", documents.size(), " documents have the ", needed,
                       " tokens needed, expected ", count, " or more");
    std::partial_sort(order.begin(), order.begin() + count, order.end());
    std::vector<Index> drawn;
    for (Index j = 0; j < count; ++j) drawn.push_back(element(order, j).second);
    return drawn;
}

}  // namespace detail

/// A training batch of random pieces: P different documents, drawn in proportion to length^length_power, a random place in each.
///
/// Every entry has all of its w previous windows: documents shorter than (w + 1) T + 1 tokens are not drawn.
/// Shapes: as ContextBatch. Which batch comes depends on the state of `random` alone, which is as before if anything fails.
/// Errors: ConfigError for an impossible shape; DataError if fewer than P documents are long enough, or a loss mask is not as long
///         as its document.
template <class Real>
ContextBatch<Real> sample_contexts(const std::vector<TokenDocument>& documents, const WindowShape& shape, Random& random) {
    ContextBatch<Real> batch = detail::empty_context_batch<Real>("sample_contexts", shape);
    const Index needed = (shape.positives + 1) * shape.length + 1;
    Random drawn = random;
    batch.documents = detail::draw_documents("sample_contexts", documents, needed, shape.documents(), drawn);
    for (Index j = 0; j < shape.documents(); ++j) {
        const TokenDocument& document = element(documents, element(batch.documents, j));
        const Index start = shape.positives * shape.length + drawn.below(document.length() - needed + 1);
        detail::write_entry(shape, j, document, start, batch);
    }
    random = drawn;
    return batch;
}

/// How a batch of the packed form is cut.
struct PackedShape {
    Index entries = 16;  ///< B, rows of the batch
    Index packing = 2;   ///< rows of a pack: consecutive windows of one document
    Index length = 128;  ///< T, tokens of a window
};

/// A training batch of the packed form, of random pieces: B / packing different documents, drawn in proportion to
/// length^length_power, and from a random place in each `packing` consecutive windows in consecutive rows. Its table is
/// packed_contexts(B, ..., packing, ...) (attention/contexts.hpp).
///
/// If anything fails, `random` is as before.
/// Shapes: as ContextBatch with P = B and w = 0: `previous` is (0,T), `documents` has the document of each row.
/// Errors: ConfigError for counts below 1, or entries that are not a multiple of the packing; DataError if too few documents have
///         packing * T + 1 tokens, or a loss mask is not as long as its document.
template <class Real>
ContextBatch<Real> sample_packed(const std::vector<TokenDocument>& documents, const PackedShape& shape, Random& random) {
    const auto [entries, packing, length] = shape;
    require<ConfigError>(entries >= 1 && packing >= 1 && length >= 1 && entries % packing == 0, "sample_packed: ", entries,
                         " entries of ", length, " tokens with packing ", packing, ", expected 1 or more of each, and whole packs");
    const WindowShape rows{.entries = entries, .positives = 0, .length = length};
    const Index needed = packing * length + 1;
    ContextBatch<Real> batch = detail::empty_context_batch<Real>("sample_packed", rows);
    Random drawn = random;
    for (const Index number : detail::draw_documents("sample_packed", documents, needed, entries / packing, drawn)) {
        const TokenDocument& document = element(documents, number);
        const Index start = drawn.below(document.length() - needed + 1);
        for (Index j = 0; j < packing; ++j) {
            detail::write_entry(rows, length_of(batch.documents), document, start + j * length, batch);
            batch.documents.push_back(number);
        }
    }
    random = drawn;
    return batch;
}

/// A batch of given documents, number j in entry j: the current window follows its w previous ones, and what lies before those is
/// not seen. A shorter document ends within the current window.
///
/// Shapes: as ContextBatch.
/// Errors: ConfigError for an impossible shape; DataError unless there are P documents, each of w T + 2 tokens or more, or if a
///         loss mask is not as long as its document.
template <class Real>
ContextBatch<Real> document_contexts(const std::vector<TokenDocument>& documents, const WindowShape& shape) {
    ContextBatch<Real> batch = detail::empty_context_batch<Real>("document_contexts", shape);
    require<ConfigError>(shape.overlap == 0, "document_contexts: an overlap of ", shape.overlap, ", expected 0");
    const Index count = shape.documents(), start = shape.positives * shape.length;
    require<DataError>(length_of(documents) == count, "document_contexts: ", documents.size(), " documents, expected ", count);
    for (Index j = 0; j < count; ++j) {
        const TokenDocument& document = element(documents, j);
        require_valid(document);
        require<DataError>(document.length() >= start + 2, "document_contexts: document ", j, " has ", document.length(),
                           " tokens, expected ", start + 2, " or more");
        batch.documents.push_back(j);
        detail::write_entry(shape, j, document, start, batch);
    }
    return batch;
}

}  // namespace fot
