/// Crossbatch training with the documents of a batch spread over ranks: negatives from other machines, with gradients into them.
///
/// Within a pass only memory layers exchange anything: keys and values of previous contexts, and their gradients on the way back.
/// At the end of a step the gradients of all parameters are added up. A step is
///
///     1  keys and values of the previous contexts of one's own documents
///     2  get those that one's own entries see and others have                     (distributed/context_exchange.hpp)
///     3  each entry: its loss, gradients of the parameters and of the contexts that it sees
///     4  give the gradients of contexts back to the ranks that have them
///     5  each previous context once more, now recorded: its gradients go down to the parameters
///     6  add up the gradients of the parameters, on every rank
///
/// Each entry and each previous context is a pass of its own. So no product depends on how many of them a rank has, and all
/// gradients are added up in the order of a tree over entries (distributed/tree_sum.hpp): loss and gradients are bitwise identical
/// for any number of ranks. A run that continues with a different number of ranks is then the same run, and a fault in an exchange
/// shows at once. Step 5 computes the contexts again, as GradCache does, so that a rank holds the record of one pass at a time.
///
/// Source: paper section 3.2 (crossbatch), on one machine; the distribution is ours.
/// Read first: distributed/context_exchange.hpp, model/contexts_source.hpp.   Read next: examples/distributed_distraction.cpp.
#pragma once

#include <utility>
#include <vector>

#include "fot/distributed/context_exchange.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// One rank's part of crossbatch training. The model is the same on every rank, and stays so if all take the same optimiser's
/// steps.
///
///     DistributedCrossbatch<float> crossbatch(ranks, model);
///     const ContextBatch<float> batch = sample_contexts<float>(documents, shape, random);   // the same on every rank
///     const double loss = crossbatch.step(batch, contexts_of(batch, negatives));
///     optimizer.step();
///
/// Every rank draws the whole batch, from the same seed, and computes its part of it: so no text is sent.
template <class Real>
class DistributedCrossbatch {
   public:
    /// Both must outlive this.   Errors: ConfigError, on every rank, if the models differ.
    DistributedCrossbatch(Communicator& ranks, const Transformer<Real>& model) : ranks_(ranks), model_(model) {
        std::uint64_t hash = 14695981039346656037u;  // FNV-1a over the bytes of all weights
        for (const Parameter<Real>& p : model.parameters())
            for (const std::byte byte : std::as_bytes(p.value())) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 1099511628211u;
        require_same(ranks, "DistributedCrossbatch: the hash of the weights", std::to_string(hash));
    }

    /// Loss of the whole batch, in nats per token. The gradients of the model's parameters are set to its gradients, on every rank.
    ///
    /// Bytes:  keys, values and their gradients: as `fetch` and `give_back`. Parameters: as sum_over_ranks of two sums, one over
    ///         entries and one over documents.
    /// Cost:   the forward pass of previous contexts twice.
    /// Errors: ConfigError if the table does not fit the batch, or there are fewer entries than ranks; those of the forward pass.
    /// Same as: Transformer::crossbatch, cross_entropy and Tape::backward, but for the order of sums.
    double step(const ContextBatch<Real>& batch, const ContextTable& table) {
        const Index rank = ranks_.rank(), pool = length_of(batch.documents), entries = extent(batch.current, 0);
        require_valid(table, entries);
        require<ConfigError>(pool >= entries && table.sources == extent(batch.previous, 0) && table.sources % pool == 0,
                             "DistributedCrossbatch: a table of ", table.sources, " contexts for a batch with ",
                             extent(batch.previous, 0), " of ", pool, " documents");
        require<ConfigError>(entries >= ranks_.size(), "DistributedCrossbatch: ", entries, " entries on ", ranks_.size(),
                             " ranks, expected one or more for each");
        const BatchShares shares{table, pool, ranks_.size()};
        const Index numbers = numbers_of_context(extent(batch.previous, 1));

        const Lists contexts = fetch(ranks_, shares, own_contexts(shares, batch), numbers);
        std::vector<std::vector<Real>> of_entries, of_documents;  // gradients of the parameters, by node of the tree
        std::vector<Lists> of_contexts;
        double counted = 0;
        for (const Real weight : batch.mask.storage()) counted += static_cast<double>(weight);
        std::vector<double> losses;
        for (const TreeNode& node : shares.nodes_of(rank)) {
            EntryGradients sum = tree_sum(
                node, [&](Index entry) { return entry_gradients(batch, table, contexts, entry, counted, losses); },
                [](EntryGradients& to, const EntryGradients& other) { to.add(other); });
            of_entries.push_back(std::move(sum.parameters));
            of_contexts.push_back(std::move(sum.contexts));
        }
        const Lists context_gradients = give_back(ranks_, shares, of_contexts, numbers);
        for (const TreeNode& node : nodes_within(pool, shares.documents_of(rank)))
            of_documents.push_back(tree_sum(
                node, [&](Index document) { return document_gradients(batch, context_gradients, document); }, add_list<Real>));
        set_gradients(sum_over_ranks<Real>(ranks_, "parameters", {{entries, of_entries}, {pool, of_documents}},
                                           parameter_count(model_.parameters())));
        return total(shares, losses);
    }

   private:
    using Lists = ContextLists<Real>;

    /// Gradients of some entries.
    struct EntryGradients {
        std::vector<Real> parameters;
        Lists contexts;  // those that one of the entries sees

        void add(const EntryGradients& other) {
            add_list(parameters, other.parameters);
            for (const auto& [context, list] : other.contexts) add_list(contexts[context], list);
        }
    };

    /// Step 1.
    Lists own_contexts(const BatchShares& shares, const ContextBatch<Real>& batch) const {
        Lists lists;
        for (Index context = 0; context < shares.table.sources; ++context) {
            if (!shares.documents_of(ranks_.rank()).contains(context % shares.pool)) continue;
            Tape tape(Tape::inference);
            const std::vector<KeysAndValues<Real>> of_layers = model_.keys_and_values(tape, slice<0>(batch.previous, context, 1));
            for_each_tensor(of_layers, [&](const Variable<Real, 4>& each) {
                lists[context].insert(lists[context].end(), each.value().begin(), each.value().end());
            });
        }
        return lists;
    }

    /// Step 3 for one entry, whose loss counts by its share of all tokens that count.
    EntryGradients entry_gradients(const ContextBatch<Real>& batch, const ContextTable& table, const Lists& contexts, Index entry,
                                   double counted, std::vector<double>& losses) const {
        const std::vector<Index>& seen = element(table.contexts, entry);
        const std::vector<KeysAndValues<Real>> of_layers = as_leaves(contexts, seen, extent(batch.previous, 1));
        const ContextTable of_one{length_of(seen), {consecutive(0, length_of(seen))}, {element(table.positives, entry)}};
        const Tensor<Real, 2> mask = slice<0>(batch.mask, entry, 1);
        double share = 0;
        for (const Real weight : mask.storage()) share += static_cast<double>(weight) / std::max(counted, 1e-10);

        zero_gradients(model_.parameters());
        Tape tape;
        const Variable<Real, 3> logits = model_.forward(tape, slice<0>(batch.current, entry, 1), Contexts<Real>(of_layers, of_one));
        const Variable<Real, 1> loss = cross_entropy(tape, logits, slice<0>(batch.targets, entry, 1), mask);
        losses.push_back(share * static_cast<double>(loss.value()(0)));
        tape.backward(multiply(tape, loss, static_cast<Real>(share)));

        EntryGradients result{gradients(), {}};
        for_each_tensor(of_layers, [&](const Variable<Real, 4>& each) {
            const Index count = element_count(each.value()) / length_of(seen);
            for (Index i = 0; i < length_of(seen); ++i) {
                std::vector<Real>& list = result.contexts[element(seen, i)];
                list.insert(list.end(), row(each.gradient(), i), row(each.gradient(), i) + count);
            }
        });
        return result;
    }

    /// Step 5 for one document.
    std::vector<Real> document_gradients(const ContextBatch<Real>& batch, const Lists& context_gradients, Index document) const {
        const Index pool = length_of(batch.documents);
        zero_gradients(model_.parameters());
        for (Index context = document; context < extent(batch.previous, 0); context += pool) {
            const auto list = context_gradients.find(context);
            if (list == context_gradients.end()) continue;  // nobody sees it
            Tape tape;
            const std::vector<KeysAndValues<Real>> of_layers = model_.keys_and_values(tape, slice<0>(batch.previous, context, 1));
            for_each_tensor(of_layers, [at = list->second.begin()](const Variable<Real, 4>& each) mutable {
                std::copy_n(at, element_count(each.value()), each.gradient().begin());
                at += element_count(each.value());
            });
            tape.replay();
        }
        return gradients();
    }

    /// Calls f for the keys and for the values of each memory layer, in order.
    template <class F>
    static void for_each_tensor(const std::vector<KeysAndValues<Real>>& of_layers, F&& f) {
        for (const KeysAndValues<Real>& of_layer : of_layers) {
            if (of_layer.k) f(of_layer.k);
            if (of_layer.v) f(of_layer.v);
        }
    }

    /// Numbers in the list of a context of so many tokens.
    Index numbers_of_context(Index length) const {
        const TransformerConfig& config = model_.config();
        Index numbers = 0;
        for (Index layer = 0; layer < config.layers; ++layer)
            if (config.is_memory_layer(layer)) numbers += 2 * length * config.key_heads_of(layer) * config.head_width_of(layer);
        return numbers;
    }

    /// Keys and values of these contexts by layer, (contexts,S,G,D), of which gradients are wanted.
    std::vector<KeysAndValues<Real>> as_leaves(const Lists& contexts, const std::vector<Index>& seen, Index length) const {
        const TransformerConfig& config = model_.config();
        std::vector<KeysAndValues<Real>> of_layers(static_cast<std::size_t>(config.layers));
        Index at = 0;  // in the list of each context
        for (Index layer = 0; layer < config.layers && !seen.empty(); ++layer) {
            if (!config.is_memory_layer(layer)) continue;
            for (Variable<Real, 4>* each : {&element(of_layers, layer).k, &element(of_layers, layer).v}) {
                Tensor<Real, 4> rows =
                    empty<Real, 4>({length_of(seen), length, config.key_heads_of(layer), config.head_width_of(layer)});
                const Index count = element_count(rows) / length_of(seen);
                for (Index i = 0; i < length_of(seen); ++i)
                    std::copy_n(contexts.at(element(seen, i)).begin() + at, count, row(rows, i));
                *each = Variable<Real, 4>(std::move(rows), true);
                at += count;
            }
        }
        return of_layers;
    }

    /// The gradients of all parameters as one list, and the other way round.
    std::vector<Real> gradients() const {
        std::vector<Real> list;
        for (const Parameter<Real>& p : model_.parameters()) list.insert(list.end(), p.gradient().begin(), p.gradient().end());
        return list;
    }
    void set_gradients(const std::vector<Real>& list) const {
        for (auto at = list.begin(); const Parameter<Real>& p : model_.parameters()) {
            std::copy_n(at, p.gradient().size(), p.gradient().begin());
            at += length_of(p.gradient());
        }
    }

    /// The losses of all entries, added up in their order.
    double total(const BatchShares& shares, const std::vector<double>& losses) {
        std::vector<Index> counts;
        for (Index r = 0; r < ranks_.size(); ++r) counts.push_back(shares.entries_of(r).size());
        double sum = 0;
        for (const std::vector<double>& of_rank : all_gather(ranks_, "losses", losses, counts))
            for (const double loss : of_rank) sum += loss;
        return sum;
    }

    Communicator& ranks_;
    const Transformer<Real>& model_;
};

}  // namespace fot
