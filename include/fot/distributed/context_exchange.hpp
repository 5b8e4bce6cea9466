/// What ranks send each other in a step of crossbatch training: keys and values of previous contexts, and their gradients back.
///
/// Each rank holds a block of the batch's documents, and the same block of its entries. A rank's entries see contexts of other
/// ranks' documents.
///
///     fetch         each rank gets the contexts that its entries see and other ranks have
///     give_back     each rank gets the gradients of the contexts that it has, added up over all entries that see them
///
/// If every entry sees all contexts, a rank gets those of all other ranks. If every entry sees its own context and the d - 1 that
/// follow, a rank gets the d - 1 contexts that follow its block, or all others if these are fewer. All ranks have the table, from
/// which they know which contexts each rank gets. So no rank asks, and nothing but numbers is sent.
///
/// The gradient of a context is a sum over entries, taken in the order of the tree over entries (distributed/tree_sum.hpp). A rank
/// adds up those nodes of the tree that lie within its block before it sends.
///
/// Read first: distributed/tree_sum.hpp, attention/contexts.hpp.   Read next: distributed/crossbatch_passes.hpp.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "fot/attention/contexts.hpp"
#include "fot/distributed/tree_sum.hpp"

namespace fot {

/// Lists of numbers by context: its keys and values in a memory layer, or the gradients of these.
template <class Real>
using ContextLists = std::map<Index, std::vector<Real>>;

/// Who has what of a batch: documents 0 ... pool-1 with all their previous contexts, and entries 0 ... B-1, both in equal blocks.
struct BatchShares {
    ContextTable table;  ///< who sees which contexts; context w * pool + j is the w-th previous one of document j
    Index pool;          ///< documents that have previous contexts
    Index ranks;         ///< p

    /// The documents of a rank.
    Share documents_of(Index rank) const { return share_of(pool, rank, ranks); }
    /// The entries that a rank trains on.
    Share entries_of(Index rank) const { return share_of(table.entries(), rank, ranks); }
    /// Whether a context is one of a rank's documents.
    bool has(Index rank, Index context) const { return documents_of(rank).contains(context % pool); }
    /// Whether an entry sees a context.
    bool sees(Index entry, Index context) const {
        return std::ranges::find(element(table.contexts, entry), context) != element(table.contexts, entry).end();
    }
    /// What a rank can add up alone of a sum over all entries.
    std::vector<TreeNode> nodes_of(Index rank) const { return nodes_within(table.entries(), entries_of(rank)); }
    /// The contexts that the entries first ... last-1 see and that rank `owner` has, ascending.
    std::vector<Index> seen(Index first, Index last, Index owner) const {
        std::set<Index> contexts;
        for (Index entry = first; entry < last; ++entry)
            for (const Index context : element(table.contexts, entry))
                if (has(owner, context)) contexts.insert(context);
        return {contexts.begin(), contexts.end()};
    }
    /// The same, as if entries saw none but these contexts.
    BatchShares of_contexts(const std::vector<Index>& few) const {
        const std::set<Index> kept(few.begin(), few.end());
        BatchShares shares = *this;
        for (std::vector<Index>& list : shares.table.contexts)
            std::erase_if(list, [&](Index context) { return !kept.contains(context); });
        return shares;
    }
};

/// The contexts that this rank's entries see: those of `own`, and those that others have. `numbers`: in the list of a context.
///
/// Bytes:  with S of all contexts' keys and values and equal shares, (p - 1) / p S if every entry sees every context; (d - 1) / C S
///         if each sees its own and the d - 1 that follow, of C, and other ranks have those.
template <class Real>
ContextLists<Real> fetch(Communicator& ranks, const BatchShares& shares, ContextLists<Real> own, Index numbers) {
    const Index p = ranks.size(), rank = ranks.rank();
    const auto wanted = [&](Index by, Index owner) {
        const Share entries = shares.entries_of(by);
        return by == owner ? std::vector<Index>() : shares.seen(entries.first, entries.last, owner);
    };
    ByRank<Real> sent(static_cast<std::size_t>(p)), received(static_cast<std::size_t>(p));
    for (Index other = 0; other < p; ++other) {
        for (const Index context : wanted(other, rank))
            std::ranges::copy(own.at(context), std::back_inserter(element(sent, other)));
        element(received, other).resize(wanted(rank, other).size() * static_cast<std::size_t>(numbers));
    }
    exchange_all(ranks, "keys and values", sent, received);
    for (Index other = 0; other < p; ++other)
        for (auto at = element(received, other).cbegin(); const Index context : wanted(rank, other)) {
            own[context].assign(at, at + numbers);
            at += numbers;
        }
    return own;
}

/// The gradients of the contexts of this rank's documents, over all entries of all ranks. `of_nodes` holds those that this rank has
/// found, for each of its nodes (nodes_of, in order) the contexts that an entry of the node sees.
///
/// Bytes:  as much as `fetch` for each node of a rank: once if entries and ranks are powers of two.
template <class Real>
ContextLists<Real> give_back(Communicator& ranks, const BatchShares& shares, const std::vector<ContextLists<Real>>& of_nodes,
                             Index numbers) {
    const Index p = ranks.size(), rank = ranks.rank();
    ByRank<Real> sent(static_cast<std::size_t>(p)), received(static_cast<std::size_t>(p));
    const std::vector<TreeNode> own_nodes = shares.nodes_of(rank);
    for (Index other = 0; other < p; ++other) {
        for (std::size_t n = 0; n < own_nodes.size(); ++n)
            for (const Index context : shares.seen(own_nodes[n].first, own_nodes[n].last, other))
                std::ranges::copy(of_nodes[n].at(context), std::back_inserter(element(sent, other)));
        for (const TreeNode& node : shares.nodes_of(other))
            element(received, other)
                .resize(element(received, other).size() +
                        shares.seen(node.first, node.last, rank).size() * static_cast<std::size_t>(numbers));
    }
    exchange_all(ranks, "gradients of keys and values", sent, received);

    std::map<TreeNode, ContextLists<Real>> known;
    for (Index other = 0; other < p; ++other)
        for (auto at = element(received, other).cbegin(); const TreeNode& node : shares.nodes_of(other)) {
            ContextLists<Real>& of_node = known[node];
            for (const Index context : shares.seen(node.first, node.last, rank)) {
                of_node[context].assign(at, at + numbers);
                at += numbers;
            }
        }
    ContextLists<Real> sums;
    const std::vector<Real> nothing;
    for (const Index context : shares.seen(0, shares.table.entries(), rank)) {
        const auto of = [&](const TreeNode& node) -> const std::vector<Real>* {
            const auto at = known.find(node);
            if (at == known.end()) return nullptr;
            const auto list = at->second.find(context);
            return list == at->second.end() ? &nothing : &list->second;
        };
        sums[context] = tree_sum_of_nodes({0, shares.table.entries()}, of, add_list<Real>);
    }
    return sums;
}

}  // namespace fot
