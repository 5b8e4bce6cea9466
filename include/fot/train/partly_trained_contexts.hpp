/// Crossbatch with thousands of contexts of which few are trained on: keys and values of the others are constants.
///
///     trained   the first contexts: gradients flow into their keys and values
///     others    encoded once, a few at a time, and kept as constants: they only compete for attention
///
/// Queries and the trained contexts have the gradient that they have in plain crossbatch. What is left out is the part of the
/// weights' gradient that would flow through keys and values of the other contexts. So contexts that must learn come first, those
/// of the queries' own documents above all.
///
/// One of the others costs a forward pass in place of a forward and a backward one, and 5 products of attention in place of 7: the
/// gradients of its keys and values fall away. Activations are kept of the trained contexts alone; of the others keys and values.
///
/// Read first: model/contexts_source.hpp, train/recomputed_contexts.hpp.   Read next: examples/more_negatives.cpp.
#pragma once

#include "fot/train/recomputed_contexts.hpp"

namespace fot {

/// A source of previous contexts, the first few of which are trained on.
template <class Real>
class PartlyTrainedContexts : public Source<Real> {
   public:
    /// Contexts 0 ... trained-1 of `previous` (P,S) are trained on; of the others `together` are encoded at a time.
    ///
    /// The table says who sees which of the P contexts.
    /// Errors: ConfigError unless the table is valid and made for P contexts, and 1 <= trained <= P; as
    ///         recomputed_keys_and_values.
    PartlyTrainedContexts(Tape& tape, const Transformer<Real>& model, const Tokens& previous, const ContextTable& table,
                          Index trained, Index together = 64)
        : trained_({}, {}), others_({}, {}) {
        const Index contexts = extent(previous, 0);
        require<ConfigError>(table.available == contexts, "PartlyTrainedContexts: the table is made for ", table.available,
                             " contexts, got ", contexts);
        require_valid(table, table.entries());
        require<ConfigError>(trained >= 1 && trained <= contexts, "PartlyTrainedContexts: ", trained, " of ", contexts,
                             " contexts are trained on, expected 1 ... ", contexts);
        Tape constant(Tape::inference);
        trained_ = {model.keys_and_values(tape, slice<0>(previous, 0, trained)), part_of(table, 0, trained)};
        others_ = {recomputed_keys_and_values(constant, model, slice<0>(previous, trained, contexts - trained), together),
                   part_of(table, trained, contexts)};
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        const Attention<Real> trained = trained_.attend(tape, at), others = others_.attend(tape, at);
        if (!others.o) return trained;
        return trained.o ? merge(tape, trained, others) : others;
    }
    Index key_count(Index layer, Index b) const override { return trained_.key_count(layer, b) + others_.key_count(layer, b); }

   private:
    /// The table of the contexts first ... last-1 alone, numbered from 0.
    static ContextTable part_of(const ContextTable& table, Index first, Index last) {
        ContextTable part = no_contexts(table.entries());
        part.available = last - first;
        for (Index b = 0; b < table.entries(); ++b)
            for (Index i = 0; i < length_of(element(table.contexts, b)); ++i) {
                const Index context = element(element(table.contexts, b), i);
                if (context < first || context >= last) continue;
                element(part.contexts, b).push_back(context - first);
                if (i < element(table.positives, b)) ++element(part.positives, b);
            }
        return part;
    }

    Contexts<Real> trained_, others_;
};

}  // namespace fot
