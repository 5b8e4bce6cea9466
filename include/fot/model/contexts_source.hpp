/// Further keys in training: contexts of the batch, differentiably. This is crossbatch.
///
///     Contexts         previous contexts, of the query's own document and of others, from a pass of their own: the paper
///     PackedContexts   other entries of the same pass: the released code, which packs several windows of a document into one batch
///
/// Who sees which contexts is a table (attention/contexts.hpp). Why a pass of their own: previous contexts only have to give keys
/// and values, so this pass ends below the last memory layer and has no logits and no loss. The packed form trains on every window
/// instead; the first window of each document has no positive. It is here so that a model can be trained further in the way
/// LongLLaMA was. In lower memory layers previous contexts see no contexts themselves (paper_notes.md, "Reasons", says what
/// follows).
///
/// Source: paper section 3.2, appendix B.3; appendix A.2 and the released code (packed).
/// Read first: model/source.hpp, attention/crossbatch_attention.hpp.   Read next: model/transformer.hpp.
#pragma once

#include <utility>
#include <vector>

#include "fot/attention/crossbatch_attention.hpp"
#include "fot/data/documents.hpp"
#include "fot/model/source.hpp"

namespace fot {

namespace detail {

/// Keys that entry b sees in the contexts that the table gives it, `length` each.
inline Index keys_in_contexts(const ContextTable& table, Index b, Index length) {
    return b < table.entries() ? length_of(element(table.contexts, b)) * length : 0;
}

}  // namespace detail

/// The table that fits a batch of sample_contexts: every entry sees all previous windows of its own document, then `negatives` of
/// others.
/// Errors: ConfigError if the batch has no previous windows (the table of sample_packed is packed_contexts), or there are fewer
///         negatives.
template <class Real>
ContextTable contexts_of(const ContextBatch<Real>& batch, Index negatives) {
    const Index pool = length_of(batch.documents), windows = extent(batch.previous, 0);
    require<ConfigError>(pool >= 1 && windows >= pool && windows % pool == 0, "contexts_of: a batch of ", pool, " documents has ",
                         windows, " previous windows, expected one or more of each");
    return previous_contexts(extent(batch.current, 0), windows / pool, negatives, pool);
}

/// Previous contexts.
template <class Real>
class Contexts : public Source<Real> {
   public:
    /// Keys and values by layer, as Transformer::keys_and_values gives them for the previous contexts (P,S), numbered as in the
    /// table.
    Contexts(std::vector<KeysAndValues<Real>> of_layers, ContextTable table)
        : of_layers_(std::move(of_layers)), table_(std::move(table)) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        if (table_.most_contexts() == 0) return {};
        const KeysAndValues<Real>& of_contexts = of_layer(at.layer);
        require<ShapeError>(static_cast<bool>(of_contexts.k), "Contexts: layer ", at.layer,
                            " asks, and the contexts have no keys of it");
        return context_attention(tape, at.q, of_contexts.k, of_contexts.v, table_);
    }
    Index key_count(Index layer, Index b) const override {
        const Variable<Real, 4>& k = of_layer(layer).k;
        return k ? detail::keys_in_contexts(table_, b, extent(k.value(), 1)) : 0;
    }

    /// What a memory layer gets from here: (P,S,G,D).   Errors: ShapeError if there is no such layer.
    const KeysAndValues<Real>& of_layer(Index layer) const {
        require<ShapeError>(layer >= 0 && layer < length_of(of_layers_), "Contexts: layer ", layer, " of ", of_layers_.size());
        return element(of_layers_, layer);
    }
    /// Who sees what.
    const ContextTable& table() const { return table_; }

   private:
    std::vector<KeysAndValues<Real>> of_layers_;
    ContextTable table_;
};

/// Other entries of the pass itself: `model.forward(tape, tokens, PackedContexts<float>(table, length))`.
template <class Real>
class PackedContexts : public Source<Real> {
   public:
    /// The table's contexts are batch entries; `length` tokens each.
    PackedContexts(ContextTable table, Index length) : table_(std::move(table)), length_(length) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        if (table_.most_contexts() == 0) return {};
        require<ShapeError>(extent(at.k.value(), 1) == length_, "PackedContexts: windows of ", extent(at.k.value(), 1),
                            " tokens, expected ", length_);
        return context_attention(tape, at.q, at.k, at.v, table_);
    }
    Index key_count(Index, Index b) const override { return detail::keys_in_contexts(table_, b, length_); }

   private:
    ContextTable table_;
    Index length_;
};

/// A batch for crossbatch training.
struct CrossbatchInput {
    Tokens previous = {};                 ///< (P,S) previous contexts, numbered as in the table; none: left out
    Tokens current;                       ///< (B,T)
    ContextTable table;                   ///< who sees which previous contexts
    std::vector<Index> wanted = {};       ///< positions whose logits are wanted; empty: all
    bool differentiable_previous = true;  ///< false: previous keys and values are constants, as in the Memorizing Transformer

    /// Throws ConfigError unless the table is made for these previous contexts.
    void check() const {
        require<ConfigError>(table.available == extent(previous, 0), "crossbatch: the table is made for ", table.available,
                             " previous contexts, got ", extent(previous, 0));
    }
};

}  // namespace fot
