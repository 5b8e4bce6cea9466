/// What a rank of crossbatch training computes alone: passes through the model, of one entry or one previous context each.
///
/// Since a pass holds one entry or one context, no product depends on how many of them a rank has. Gradients of passes are added up
/// elsewhere, in the order of a tree (distributed/tree_sum.hpp).
///
/// Read first: distributed/context_exchange.hpp, model/transformer.hpp.   Read next: distributed/crossbatch.hpp.
#pragma once

#include <algorithm>
#include <vector>

#include "fot/distributed/context_exchange.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Keys and values of contexts, or their gradients, by layer: of each context the keys (S,G,D), then the values. Layers that are no
/// memory layers have none.
template <class Real>
using LayerLists = std::vector<ContextLists<Real>>;

/// What a rank has after the passes of its entries.
template <class Real>
struct EntriesPart {
    std::vector<double> losses = {};                 ///< of its entries: parts of the batch's loss
    std::vector<std::vector<Real>> parameters = {};  ///< their gradients, for each of its nodes (BatchShares::nodes_of)
    LayerLists<Real> contexts = {};                  ///< gradients of the contexts that it has, over all entries of all ranks
    Index most_of_others = 0;                        ///< contexts of other ranks that it has held at a time
};

/// The passes of one step. What they are made of must outlive them.
template <class Real>
struct CrossbatchPasses {
    const Transformer<Real>& model;   ///< the same on every rank
    const ContextBatch<Real>& batch;  ///< the whole of it
    const BatchShares& shares;        ///< who has what of it

    /// Keys and values of the previous contexts of a rank's documents.
    LayerLists<Real> contexts_of(Index rank) const {
        LayerLists<Real> lists(static_cast<std::size_t>(model.config().layers));
        for (Index context = 0; context < shares.table.available; ++context) {
            if (!shares.has(rank, context)) continue;
            Tape tape(Tape::inference);
            const std::vector<KeysAndValues<Real>> of_layers = model.keys_and_values(tape, tokens_of_context(context));
            for (const Index layer : memory_layers()) {
                const auto& [k, v] = element(of_layers, layer);
                element(lists, layer)[context] = listed(k.value(), v.value(), 0);
            }
        }
        return lists;
    }

    /// Queries (1,T,H,D) of an entry in a memory layer. Layers below it get further keys from the source.
    Tensor<Real, 4> queries(Index entry, const Source<Real>& source, Index layer) const {
        Tape tape(Tape::inference);
        const Variable<Real, 3> x = model.layers(tape, model.embed(tape, tokens_of_entry(entry)), 0, layer, source);
        return model.layer(layer).view(tape, x, source).q.value();
    }

    /// Runs an entry forwards and backwards: returns its part of the batch's loss, and sets the gradients of the parameters to
    /// those of that part. Memory layers get further keys from the source. Layers below `first` are run without a gradient.
    double run_entry(Index entry, const Source<Real>& source, Index first = 0) const {
        zero_gradients(model.parameters());
        const double share = share_of_loss(entry);
        Tape tape, constant(Tape::inference);
        Tape& lower = first > 0 ? constant : tape;
        Variable<Real, 3> x = model.layers(lower, model.embed(lower, tokens_of_entry(entry)), 0, first, source);
        x = model.layers(tape, x, first, model.config().layers, source);
        const Variable<Real, 1> loss =
            cross_entropy(tape, model.head(tape, x), slice<0>(batch.targets, entry, 1), slice<0>(batch.mask, entry, 1));
        const double part = share * static_cast<double>(loss.value()(0));
        tape.backward(multiply(tape, loss, static_cast<Real>(share)));
        return part;
    }

    /// Gradients of the parameters by way of the previous contexts of a document, whose keys and values have these gradients.
    std::vector<Real> document_gradients(const LayerLists<Real>& gradients_of_contexts, Index document) const {
        zero_gradients(model.parameters());
        for (Index context = document; context < shares.table.available; context += shares.pool) {
            const auto has_it = [&](const ContextLists<Real>& lists) { return lists.contains(context); };
            if (std::ranges::none_of(gradients_of_contexts, has_it)) continue;  // nobody sees it
            Tape tape;
            const std::vector<KeysAndValues<Real>> of_layers = model.keys_and_values(tape, tokens_of_context(context));
            for (const Index layer : memory_layers()) {
                const std::vector<Real>& list = element(gradients_of_contexts, layer).at(context);
                const auto& [k, v] = element(of_layers, layer);
                const auto values = list.begin() + element_count(k.value());
                std::copy(list.begin(), values, k.gradient().begin());
                std::copy(values, list.end(), v.gradient().begin());
            }
            tape.replay();
        }
        return gradients();
    }

    /// The memory layers, from the lowest.
    std::vector<Index> memory_layers() const {
        std::vector<Index> layers = consecutive(0, model.config().layers);
        std::erase_if(layers, [&](Index layer) { return !model.config().is_memory_layer(layer); });
        return layers;
    }

    /// Numbers in the list of a context in a memory layer.
    Index numbers(Index layer) const {
        return 2 * extent(batch.previous, 1) * model.config().key_heads_of(layer) * model.config().head_width_of(layer);
    }

    /// Keys and values (P,S,G,D) of P contexts in a layer, of which gradients are wanted.
    KeysAndValues<Real> leaves(Index layer, const ContextLists<Real>& lists, const std::vector<Index>& contexts) const {
        const TransformerConfig& config = model.config();
        Tensor<Real, 4> k = empty<Real, 4>(
            {length_of(contexts), extent(batch.previous, 1), config.key_heads_of(layer), config.head_width_of(layer)});
        Tensor<Real, 4> v = empty_like(k);
        const Index count = numbers(layer) / 2;
        for (Index i = 0; i < length_of(contexts); ++i) {
            const Real* list = lists.at(element(contexts, i)).data();
            std::copy_n(list, count, row(k, i));
            std::copy_n(list + count, count, row(v, i));
        }
        return {Variable<Real, 4>(std::move(k), true), Variable<Real, 4>(std::move(v), true)};
    }

    /// The list of context i of such keys and values, or of their gradients.
    static std::vector<Real> listed(const Tensor<Real, 4>& k, const Tensor<Real, 4>& v, Index i) {
        const Index count = element_count(k) / extent(k, 0);
        std::vector<Real> list(row(k, i), row(k, i) + count);
        list.insert(list.end(), row(v, i), row(v, i) + count);
        return list;
    }

    /// The gradients of all parameters as one list.
    std::vector<Real> gradients() const {
        std::vector<Real> list;
        for (const Parameter<Real>& p : model.parameters()) list.insert(list.end(), p.gradient().begin(), p.gradient().end());
        return list;
    }

   private:
    Tokens tokens_of_entry(Index entry) const { return slice<0>(batch.current, entry, 1); }
    Tokens tokens_of_context(Index context) const { return slice<0>(batch.previous, context, 1); }

    /// What the mean loss of an entry counts in that of the batch: its share of all tokens that count.
    double share_of_loss(Index entry) const {
        double counted = 0, share = 0;
        for (const Real weight : batch.mask.storage()) counted += static_cast<double>(weight);
        const Tensor<Real, 2> mask = slice<0>(batch.mask, entry, 1);
        for (const Real weight : mask.storage()) share += static_cast<double>(weight) / std::max(counted, 1e-10);
        return share;
    }
};

}  // namespace fot
