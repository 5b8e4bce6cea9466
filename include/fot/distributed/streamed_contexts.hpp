/// Crossbatch on several ranks in bounded memory: a rank has few contexts of others at a time, however many its entries see.
///
/// Steps 2 to 4 of distributed/crossbatch.hpp are replaced by
///
///     a  each entry runs up to the memory layer: its queries
///     b  a block of contexts goes to the ranks whose entries see it; these attend to it, and let it go; then the next block
///     c  each entry runs again, with what its queries have found, to its loss and back: the gradient of what they have found
///     d  the blocks once more: gradients of the queries, and of keys and values, which go to the rank that has the context
///     e  each entry runs once more, forwards and backwards, with all that is now known: the gradients of the parameters
///
/// With several memory layers, a and b are done for each of them, from the lowest; then c and d, from the highest.
///
/// **What a rank holds.** Its own contexts: keys, values and their gradients. Its entries: queries, what they have found, and the
/// gradients of both. And one block.
///
/// **The order of contexts.** In ring attention each rank begins with its own block, and gets the others as they go round. So the
/// order, and with it the last bits of each sum, depends on how many ranks there are. Here all ranks see the contexts in one order,
/// whatever the number of ranks: sorted by their indices with the bits read backwards (0, 4, 2, 6, 1, 5, 3, 7 for eight contexts).
/// Contexts that are neighbours in it lie far apart in the batch. So a block comes from all ranks in nearly equal parts, and all of
/// them send at the same time. A query attends to one context after the other (`merge`), so that the bits do not depend on the size
/// of a block either. (The same binary and kernels on all ranks: paper_notes.md, "Several machines".)
///
/// **The price.** Keys and values are sent twice, and a block takes up to 3 (p - 1) messages of a rank. An entry runs the layers
/// below the memory layer three times, and the others twice.
///
/// Source: ours; a running log-sum-exp over blocks is ring attention's (Liu et al. 2023), passes around it are GradCache's (Gao et
/// al. 2021).
/// Read first: distributed/crossbatch.hpp, attention/joining.hpp.   Read next: examples/distributed_distraction.cpp.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "fot/distributed/crossbatch_passes.hpp"

namespace fot {

/// 0 ... count-1 by their bits, read backwards.
inline std::vector<Index> order_of_reversed_bits(Index count) {
    const auto reversed = [&](Index i) {
        Index bits = 0;
        for (Index bit = 1; bit < count; bit *= 2) bits = 2 * bits + i / bit % 2;
        return bits;
    };
    std::vector<Index> order = consecutive(0, count);
    std::ranges::sort(order, {}, reversed);
    return order;
}

/// An entry's attention to contexts, computed between its passes. A pass takes the results from here, as from any source of further
/// keys, and leaves their gradients here. It passes on the gradients of the queries, as far as they are known.
template <class Real>
class AttentionBetweenPasses : public Source<Real> {
   public:
    /// In one memory layer.
    struct OfLayer {
        Tensor<Real, 4> q;                   ///< (1,T,H,D)
        AttentionResult<Real> result;        ///< of the contexts visited so far
        Tensor<Real, 4> d_o = {};            ///< (1,T,H,D) gradient of the result, from the last backward pass
        Tensor<Real, 3> d_log_sum_exp = {};  ///< (1,H,T) likewise
        Tensor<Real, 4> d_q;                 ///< from the contexts visited so far
    };

    /// `keys`: how many the contexts have that the entry sees.
    explicit AttentionBetweenPasses(Index keys) : keys_(keys) {}

    /// Queries (1,T,H,D) that have visited no context.
    void begin(Index layer, Tensor<Real, 4> q) {
        const Shape<4> shape = shape_of(q);
        constexpr Real none = -std::numeric_limits<Real>::infinity();
        of_layers_[layer] = {.q = std::move(q),
                             .result = {zeros<Real, 4>(shape), full<Real, 3>({1, shape[2], shape[1]}, none)},
                             .d_q = zeros<Real, 4>(shape)};
    }
    /// Errors: std::out_of_range if the layer has not begun.
    OfLayer& of_layer(Index layer) { return of_layers_.at(layer); }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        if (keys_ == 0) return {};
        OfLayer& here = of_layers_.at(at.layer);
        const auto backward = [&here, q = at.q](const AttentionOutput<Real>& out, const AttentionOutputGradient<Real>& d_out) {
            here.d_o = d_out.o;
            here.d_log_sum_exp = d_out.log_sum_exp ? *d_out.log_sum_exp : zeros<Real, 3>(shape_of(out.log_sum_exp));
            q.gradient() += here.d_q;
        };
        return detail::record_attention(tape, here.result, backward, at.q);
    }
    Index key_count(Index, Index) const override { return keys_; }

   private:
    Index keys_;
    mutable std::map<Index, OfLayer> of_layers_;  // a pass leaves gradients in it
};

/// Steps a to e for the entries of a rank, with `at_a_time` contexts in a block.
template <class Real>
class StreamedContexts {
   public:
    /// `own`: keys and values of the contexts that the rank has. All must outlive this.   Errors: ConfigError if at_a_time < 1.
    StreamedContexts(Communicator& ranks, const CrossbatchPasses<Real>& passes, const LayerLists<Real>& own, Index at_a_time)
        : ranks_(ranks), passes_(passes), own_(own), at_a_time_(at_a_time) {
        require<ConfigError>(at_a_time >= 1, "StreamedContexts: ", at_a_time, " contexts at a time, expected 1 or more");
        part_.contexts.resize(own.size());
        const Share share = passes.shares.entries_of(ranks.rank());
        for (Index entry = share.first; entry < share.last; ++entry)
            entries_.emplace(entry, length_of(element(passes.shares.table.contexts, entry)) * extent(passes.batch.previous, 1));
    }

    /// Bytes: keys and values twice as much as `fetch` of all contexts, gradients as much as `give_back`.
    EntriesPart<Real> run() {
        const std::vector<Index> layers = passes_.memory_layers();
        for (const Index layer : layers) attend(layer);
        std::for_each(layers.rbegin(), layers.rend(), [&](Index layer) { find_gradients(layer); });
        for (const TreeNode& node : passes_.shares.nodes_of(ranks_.rank()))
            part_.parameters.push_back(tree_sum(
                node,
                [&](Index entry) {
                    part_.losses.push_back(passes_.run_entry(entry, entries_.at(entry)));
                    return passes_.gradients();
                },
                add_list<Real>));
        return std::move(part_);
    }

   private:
    /// Contexts that are exchanged together.
    struct Block {
        std::vector<Index> contexts;  // in the order in which they are visited
        BatchShares shares;           // who sees them
        ContextLists<Real> lists;     // keys and values of those that this rank has, or its entries see
    };

    /// Steps a and b.
    void attend(Index layer) {
        for (auto& [entry, attention] : entries_) attention.begin(layer, passes_.queries(entry, attention, layer));
        for_each_block(layer, [&](const Block& block) {
            for (const Index context : block.contexts) {
                if (!block.lists.contains(context)) continue;
                const auto [k, v] = passes_.leaves(layer, block.lists, {context});
                for (auto& [entry, attention] : entries_) {
                    if (!block.shares.sees(entry, context)) continue;
                    auto& [q, so_far, d_o, d_log_sum_exp, d_q] = attention.of_layer(layer);
                    const AttentionResult<Real> further = context_attention<Real>({q, k.value(), v.value()}, one_context);
                    so_far = merge<Real>(so_far, further);
                }
            }
        });
    }

    /// Steps c and d.
    void find_gradients(Index layer) {
        for (const auto& [entry, attention] : entries_) passes_.run_entry(entry, attention, layer);
        for_each_block(layer, [&](const Block& block) {
            std::vector<ContextLists<Real>> of_nodes;
            for (const TreeNode& node : passes_.shares.nodes_of(ranks_.rank())) {
                ContextLists<Real>& lists = of_nodes.emplace_back();
                for (const Index context : block.contexts)
                    lists[context] = tree_sum(
                        node, [&](Index entry) { return gradients_of(layer, block, context, entry); }, add_list<Real>);
            }
            element(part_.contexts, layer).merge(give_back(ranks_, block.shares, of_nodes, passes_.numbers(layer)));
        });
    }

    /// The gradients that an entry has for a context: nothing if it does not see it. Adds to those of its queries.
    std::vector<Real> gradients_of(Index layer, const Block& block, Index context, Index entry) {
        if (!block.shares.sees(entry, context)) return {};
        auto& [q, result, d_o, d_log_sum_exp, d_q] = entries_.at(entry).of_layer(layer);
        const auto [k, v] = passes_.leaves(layer, block.lists, {context});
        context_attention_vjp<Real>({q, k.value(), v.value()}, one_context, result, {d_o, &d_log_sum_exp},
                                    {.q = &d_q, .k = &k.gradient(), .v = &v.gradient()});
        return passes_.listed(k.gradient(), v.gradient(), 0);
    }

    /// Fetches each block of contexts in turn, and calls f with it.
    template <class F>
    void for_each_block(Index layer, F&& f) {
        const std::vector<Index> order = order_of_reversed_bits(passes_.shares.table.available);
        for (Index first = 0; first < length_of(order); first += at_a_time_) {
            const auto from = order.begin() + first, to = order.begin() + std::min(first + at_a_time_, length_of(order));
            Block block{.contexts = {from, to}, .shares = passes_.shares.of_contexts({from, to}), .lists = {}};
            for (const Index context : block.contexts)
                if (passes_.shares.has(ranks_.rank(), context)) block.lists[context] = element(own_, layer).at(context);
            const Index own = length_of(block.lists);
            block.lists = fetch(ranks_, block.shares, std::move(block.lists), passes_.numbers(layer));
            part_.most_of_others = std::max(part_.most_of_others, length_of(block.lists) - own);
            f(std::as_const(block));
        }
    }

    const ContextTable one_context{1, {{0}}, {0}};
    Communicator& ranks_;
    const CrossbatchPasses<Real>& passes_;
    const LayerLists<Real>& own_;
    Index at_a_time_;
    std::map<Index, AttentionBetweenPasses<Real>> entries_;  // of this rank, by number
    EntriesPart<Real> part_;
};

}  // namespace fot
