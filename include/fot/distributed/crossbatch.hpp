/// Crossbatch training with the documents of a batch spread over ranks: negatives from other machines, with gradients into them.
///
/// Within a pass only memory layers exchange anything: keys and values of previous contexts, and their gradients on the way back.
/// At the end of a step the gradients of all parameters are added up. A step is
///
///     1  keys and values of the previous contexts of one's own documents          (distributed/crossbatch_passes.hpp)
///     2  get those that one's own entries see and others have                     (distributed/context_exchange.hpp)
///     3  each entry: its loss, gradients of the parameters and of the contexts that it sees
///     4  give the gradients of contexts back to the ranks that have them
///     5  each previous context once more, now recorded: its gradients go down to the parameters
///     6  add up the gradients of the parameters, on every rank
///
/// With d = 1000 a rank would have nearly all contexts of the batch in steps 2 to 4. These steps can therefore be done for a few
/// contexts at a time, at the price of more passes of the entries (distributed/streamed_contexts.hpp).
///
/// Each entry and each previous context is a pass of its own. So no product depends on how many of them a rank has, and all
/// gradients are added up in the order of a tree over entries (distributed/tree_sum.hpp): loss and gradients are bitwise identical
/// for any number of ranks. That needs the same binary, and processors for which the same kernels are chosen (paper_notes.md,
/// "Several machines"). A run that continues with a different number of ranks is then the same run, and a fault in an exchange
/// shows at once. Step 5 computes the contexts again, as GradCache does, so that a rank holds the record of one pass at a time.
///
/// Source: paper section 3.2 (crossbatch), on one machine; the distribution is ours.
/// Read first: distributed/crossbatch_passes.hpp, model/contexts_source.hpp.   Read next: distributed/streamed_contexts.hpp.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fot/distributed/streamed_contexts.hpp"

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
    /// Both must outlive this. `at_a_time`: contexts that ranks exchange together, the most that a rank has of others; 0: all.
    /// Errors: ConfigError, on every rank, if the models or these numbers differ, or the number is below 0.
    DistributedCrossbatch(Communicator& ranks, const Transformer<Real>& model, Index at_a_time = 0)
        : ranks_(ranks), model_(model), at_a_time_(at_a_time) {
        std::uint64_t hash = 14695981039346656037u;  // FNV-1a over the bytes of all weights
        for (const Parameter<Real>& p : model.parameters())
            for (const std::byte byte : std::as_bytes(p.value())) hash = (hash ^ static_cast<std::uint64_t>(byte)) * 1099511628211u;
        require_same(ranks, "DistributedCrossbatch: the hash of the weights", std::to_string(hash));
        require_same(ranks, "DistributedCrossbatch: the number of contexts at a time", std::to_string(at_a_time));
        require<ConfigError>(at_a_time >= 0, "DistributedCrossbatch: ", at_a_time, " contexts at a time, expected 0 (all) or more");
    }

    /// Loss of the whole batch, in nats per token. The gradients of the model's parameters are set to its gradients, on every rank.
    ///
    /// The bits of both depend neither on the number of ranks nor on `at_a_time`, if that is not 0. With 0 they are others, equal
    /// up to rounding.
    ///
    /// Bytes:  keys, values and their gradients: as `fetch` and `give_back`; with `at_a_time` keys and values twice. Parameters: as
    ///         sum_over_ranks of two sums, one over entries and one over documents.
    /// Cost:   the forward pass of previous contexts twice; with `at_a_time` also more passes of the entries (StreamedContexts).
    /// Errors: ConfigError if the table does not fit the batch, or there are fewer entries than ranks; those of the forward pass.
    /// Same as: Transformer::crossbatch, cross_entropy and Tape::backward, but for the order of sums.
    double step(const ContextBatch<Real>& batch, const ContextTable& table) {
        const Index pool = length_of(batch.documents), entries = extent(batch.current, 0);
        require_fit(batch, table);
        const BatchShares shares{table, pool, ranks_.size()};
        const CrossbatchPasses<Real> passes{model_, batch, shares};

        LayerLists<Real> own = passes.contexts_of(ranks_.rank());
        const EntriesPart<Real> part =
            at_a_time_ == 0 ? all_at_once(passes, std::move(own)) : StreamedContexts<Real>(ranks_, passes, own, at_a_time_).run();
        most_of_others_ = std::max(most_of_others_, part.most_of_others);
        std::vector<std::vector<Real>> of_documents;  // gradients of the parameters, by node of the tree
        for (const TreeNode& node : nodes_within(pool, shares.documents_of(ranks_.rank())))
            of_documents.push_back(tree_sum(
                node, [&](Index document) { return passes.document_gradients(part.contexts, document); }, add_list<Real>));
        set_gradients(sum_over_ranks<Real>(ranks_, "parameters", {{entries, part.parameters}, {pool, of_documents}},
                                           parameter_count(model_.parameters())));
        return total(shares, part.losses);
    }

    /// The most contexts of other ranks that this rank has had keys and values of at a time.
    Index most_of_others() const { return most_of_others_; }

   private:
    /// Gradients of some entries.
    struct EntryGradients {
        std::vector<Real> parameters;
        LayerLists<Real> contexts;  // those that one of the entries sees

        void add(const EntryGradients& other) {
            add_list(parameters, other.parameters);
            for (std::size_t layer = 0; layer < contexts.size(); ++layer)
                for (const auto& [context, list] : other.contexts[layer]) add_list(contexts[layer][context], list);
        }
    };

    /// Steps 2 to 4 with all contexts that this rank's entries see. `contexts`: those that it has.
    EntriesPart<Real> all_at_once(const CrossbatchPasses<Real>& passes, LayerLists<Real> contexts) const {
        EntriesPart<Real> part{.contexts = LayerLists<Real>(contexts.size())};
        for (const Index layer : passes.memory_layers()) {
            ContextLists<Real>& of_layer = element(contexts, layer);
            const Index own = length_of(of_layer);
            of_layer = fetch(ranks_, passes.shares, std::move(of_layer), passes.numbers(layer));
            part.most_of_others = std::max(part.most_of_others, length_of(of_layer) - own);
        }
        std::vector<std::vector<ContextLists<Real>>> of_nodes(contexts.size());  // gradients of contexts, by layer and node
        for (const TreeNode& node : passes.shares.nodes_of(ranks_.rank())) {
            EntryGradients sum = tree_sum(
                node, [&](Index entry) { return entry_gradients(passes, contexts, entry, part.losses); },
                [](EntryGradients& to, const EntryGradients& other) { to.add(other); });
            part.parameters.push_back(std::move(sum.parameters));
            for (std::size_t layer = 0; layer < of_nodes.size(); ++layer) of_nodes[layer].push_back(std::move(sum.contexts[layer]));
        }
        for (const Index layer : passes.memory_layers())
            element(part.contexts, layer) = give_back(ranks_, passes.shares, element(of_nodes, layer), passes.numbers(layer));
        return part;
    }

    /// Step 3 for one entry.
    static EntryGradients entry_gradients(const CrossbatchPasses<Real>& passes, const LayerLists<Real>& contexts, Index entry,
                                          std::vector<double>& losses) {
        const std::vector<Index>& seen = element(passes.shares.table.contexts, entry);
        const ContextTable of_one{
            length_of(seen), {consecutive(0, length_of(seen))}, {element(passes.shares.table.positives, entry)}};
        std::vector<KeysAndValues<Real>> of_layers(contexts.size());
        if (!seen.empty())
            for (const Index layer : passes.memory_layers())
                element(of_layers, layer) = passes.leaves(layer, element(contexts, layer), seen);
        losses.push_back(passes.run_entry(entry, Contexts<Real>(of_layers, of_one)));
        EntryGradients result{passes.gradients(), LayerLists<Real>(contexts.size())};
        for (const Index layer : passes.memory_layers())
            for (Index i = 0; i < length_of(seen); ++i)
                element(result.contexts, layer)[element(seen, i)] =
                    passes.listed(element(of_layers, layer).k.gradient(), element(of_layers, layer).v.gradient(), i);
        return result;
    }

    void require_fit(const ContextBatch<Real>& batch, const ContextTable& table) const {
        const Index pool = length_of(batch.documents), entries = extent(batch.current, 0);
        require_valid(table, entries);
        require<ConfigError>(pool >= entries && table.available == extent(batch.previous, 0) && table.available % pool == 0,
                             "DistributedCrossbatch: a table of ", table.available, " contexts for a batch with ",
                             extent(batch.previous, 0), " of ", pool, " documents");
        require<ConfigError>(entries >= ranks_.size(), "DistributedCrossbatch: ", entries, " entries on ", ranks_.size(),
                             " ranks, expected one or more for each");
    }

    void set_gradients(const std::vector<Real>& list) const {
        for (auto at = list.begin(); const Parameter<Real>& p : model_.parameters()) {
            std::copy_n(at, p.gradient().size(), p.gradient().begin());
            at += length_of(p.gradient());
        }
    }

    /// The losses of all entries, added up in their order.
    double total(const BatchShares& shares, const std::vector<double>& losses) const {
        std::vector<Index> counts;
        for (Index r = 0; r < ranks_.size(); ++r) counts.push_back(shares.entries_of(r).size());
        double sum = 0;
        for (const std::vector<double>& of_rank : all_gather(ranks_, "losses", losses, counts))
            for (const double loss : of_rank) sum += loss;
        return sum;
    }

    Communicator& ranks_;
    const Transformer<Real>& model_;
    Index at_a_time_, most_of_others_ = 0;
};

}  // namespace fot
