/// A sum of many things on several ranks, bitwise identical for any number of ranks.
///
/// Additions of floating-point numbers are rounded, so that a sum depends on the order in which it is taken. Here the order is a
/// tree over the things 0 ... n-1, halved again and again:
///
///     sum(first, last) = sum(first, middle) + sum(middle, last),   middle = (first + last) / 2
///
/// Each rank has a block of consecutive things. By itself it can add up the nodes of the tree that lie within its block; their sums
/// are sent, for the rest of the tree. If n and p are powers of two, the block of a rank is one node. The sum is the same only if
/// each thing is, on whatever rank it is computed: with the same binary and kernels on all of them (paper_notes.md, "Several
/// machines").
///
/// Read first: distributed/communicator.hpp.   Read next: distributed/context_exchange.hpp.
#pragma once

#include <compare>
#include <map>
#include <utility>
#include <vector>

#include "fot/distributed/communicator.hpp"

namespace fot {

/// A node of the tree: the things first ... last-1.
struct TreeNode {
    Index first;  ///< number of its first thing
    Index last;   ///< one after its last

    auto operator<=>(const TreeNode&) const = default;  ///< in order
};

namespace detail {

inline void add_nodes_within(const Share& share, TreeNode node, std::vector<TreeNode>& nodes) {
    if (share.last <= node.first || share.first >= node.last) return;
    if (share.first <= node.first && node.last <= share.last) {
        nodes.push_back(node);
        return;
    }
    const Index middle = (node.first + node.last) / 2;
    add_nodes_within(share, {node.first, middle}, nodes);
    add_nodes_within(share, {middle, node.last}, nodes);
}

}  // namespace detail

/// The largest nodes of the tree over `count` things that lie within a share, in order: what a rank can add up alone.
inline std::vector<TreeNode> nodes_within(Index count, const Share& share) {
    std::vector<TreeNode> nodes;
    if (count > 0) detail::add_nodes_within(share, {0, count}, nodes);
    return nodes;
}

/// The value of a node: `leaf(i)` of each thing, added by `add(sum, other)`, which adds to its first argument.
/// Cost: as many values at a time as the tree is deep.
template <class Leaf, class Add>
auto tree_sum(TreeNode node, const Leaf& leaf, const Add& add) {
    if (node.last - node.first == 1) return leaf(node.first);
    const Index middle = (node.first + node.last) / 2;
    auto sum = tree_sum({node.first, middle}, leaf, add);
    add(sum, tree_sum({middle, node.last}, leaf, add));
    return sum;
}

/// The value of a node from those of smaller nodes, `of(node)`: null where it is not known.
template <class Of, class Add>
auto tree_sum_of_nodes(TreeNode node, const Of& of, const Add& add) {
    if (auto* known = of(node)) return *known;
    const Index middle = (node.first + node.last) / 2;
    require<ConfigError>(node.last - node.first > 1, "tree_sum_of_nodes: thing ", node.first, " is missing");
    auto sum = tree_sum_of_nodes({node.first, middle}, of, add);
    add(sum, tree_sum_of_nodes({middle, node.last}, of, add));
    return sum;
}

/// Adds elementwise. An empty list is nothing at all: the sum is then the other.
/// Errors: ShapeError if both have numbers, and not equally many.
template <class Real>
void add_list(std::vector<Real>& sum, const std::vector<Real>& other) {
    require<ShapeError>(sum.empty() || other.empty() || sum.size() == other.size(), "add_list: ", other.size(), " numbers to ",
                        sum.size());
    if (sum.empty())
        sum = other;
    else
        for (std::size_t i = 0; i < other.size(); ++i) sum[i] += other[i];
}

/// A rank's part of a sum of `count` lists of numbers, of which each rank holds those of its share.
template <class Real>
struct PartOfSum {
    Index count;                              ///< of lists on all ranks; 1 or more
    std::vector<std::vector<Real>> of_nodes;  ///< sums of lists of this rank: for each of its nodes (nodes_within), in order
};

/// A sum of lists of numbers, or several such sums added up: on every rank, bitwise identical for any number of ranks.
///
/// Each rank adds up a part of the positions, and then all gather these parts, as in any all-reduce.
/// Shapes: each list of `length` numbers -> one such list.
/// Bytes:  (nodes + 1) (p - 1) / p of a list, `nodes` of this rank in all sums: for one sum 2 (p - 1) / p, if its count and p are
///         powers of two.
/// Errors: ConfigError if there are not as many lists as nodes; ShapeError for a list of another length.
template <class Real>
std::vector<Real> sum_over_ranks(Communicator& ranks, const char* operation, const std::vector<PartOfSum<Real>>& sums,
                                 Index length) {
    const Index p = ranks.size(), rank = ranks.rank();
    const Share positions = share_of(length, rank, p);
    ByRank<Real> sent(static_cast<std::size_t>(p)), received(static_cast<std::size_t>(p));
    for (Index other = 0; other < p; ++other) {
        const Share theirs = share_of(length, other, p);
        std::size_t nodes = 0;
        for (const auto& [count, of_nodes] : sums) {
            for (const std::vector<Real>& list : of_nodes) {
                require<ShapeError>(length_of(list) == length, operation, ": a list of ", list.size(), " numbers, expected ",
                                    length);
                element(sent, other).insert(element(sent, other).end(), list.begin() + theirs.first, list.begin() + theirs.last);
            }
            nodes += nodes_within(count, share_of(count, other, p)).size();
            require<ConfigError>(other != rank || of_nodes.size() == nodes_within(count, share_of(count, rank, p)).size(),
                                 operation, ": sums of ", of_nodes.size(), " nodes for rank ", rank, "'s part of ", count);
        }
        element(received, other).resize(nodes * static_cast<std::size_t>(positions.size()));
    }
    exchange_all(ranks, operation, sent, received);

    std::vector<Real> part(static_cast<std::size_t>(positions.size()), Real(0));
    std::vector<Index> at(static_cast<std::size_t>(p), 0);  // how much of what each rank sent is used
    for (const auto& [count, of_nodes] : sums) {
        std::map<TreeNode, std::vector<Real>> known;
        for (Index other = 0; other < p; ++other)
            for (const TreeNode& node : nodes_within(count, share_of(count, other, p))) {
                const auto begin = element(received, other).begin() + element(at, other);
                known[node].assign(begin, begin + positions.size());
                element(at, other) += positions.size();
            }
        add_list(part, tree_sum_of_nodes(
                           {0, count},
                           [&](const TreeNode& node) {
                               const auto found = known.find(node);
                               return found == known.end() ? nullptr : &found->second;
                           },
                           add_list<Real>));
    }

    std::vector<Index> lengths;
    for (Index other = 0; other < p; ++other) lengths.push_back(share_of(length, other, p).size());
    std::vector<Real> whole;
    for (const std::vector<Real>& of_rank : all_gather(ranks, operation, part, lengths))
        whole.insert(whole.end(), of_rank.begin(), of_rank.end());
    return whole;
}

}  // namespace fot
