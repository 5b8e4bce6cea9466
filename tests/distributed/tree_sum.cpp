#include "fot/distributed/tree_sum.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"
#include "fot/distributed/thread_communicator.hpp"

using namespace fot;

namespace {

std::vector<double> list_of(Index i) {
    Random random(static_cast<std::uint64_t>(i));
    std::vector<double> list(5);
    for (double& number : list) number = random.normal();
    return list;
}

}  // namespace

TEST_CASE("a tree adds halves of halves") {
    std::string order;
    const auto leaf = [](Index i) { return std::to_string(i); };
    const std::string text =
        tree_sum({0, 5}, leaf, [](std::string& sum, const std::string& other) { sum = "(" + sum + "+" + other + ")"; });
    CHECK(text == "((0+1)+(2+(3+4)))");
}

TEST_CASE("the nodes of a share cover it, and none can be larger") {
    CHECK(nodes_within(8, {0, 8}) == std::vector<TreeNode>{{0, 8}});
    CHECK(nodes_within(8, {2, 8}) == std::vector<TreeNode>{{2, 4}, {4, 8}});
    CHECK(nodes_within(8, {1, 4}) == std::vector<TreeNode>{{1, 2}, {2, 4}});
    CHECK(nodes_within(5, {3, 3}).empty());
    CHECK(nodes_within(0, {0, 0}).empty());
}

TEST_CASE("a sum over ranks has the bits of the tree, whatever the number of ranks") {
    for (const Index count : {1, 2, 7, 16}) {
        const std::vector<double> expected = tree_sum({0, count}, list_of, add_list<double>);
        for (Index p = 1; p <= std::min<Index>(count, 5); ++p)
            run_as_ranks(p, [&](Communicator& ranks) {
                std::vector<std::vector<double>> own;
                for (const TreeNode& node : nodes_within(count, share_of(count, ranks.rank(), p)))
                    own.push_back(tree_sum(node, list_of, add_list<double>));
                const auto whole = sum_over_ranks<double>(ranks, "sum", {{count, own}}, 5);
                require<NumericError>(whole == expected, "other bits with ", p, " ranks");
            });
    }
}

TEST_CASE("a sum without the lists of a node is an error") {
    SingleProcess alone;
    CHECK_THROWS_AS(sum_over_ranks<double>(alone, "sum", {{3, {}}}, 5), ConfigError);
}

TEST_CASE("lists of another length are refused") {
    SingleProcess alone;
    CHECK_THROWS_WITH_AS(sum_over_ranks<double>(alone, "sum", {{1, {{1, 2}}}}, 1000), "sum: a list of 2 numbers, expected 1000",
                         ShapeError);
    std::vector<double> one{1};
    CHECK_THROWS_WITH_AS(add_list(one, {1, 2, 3}), "add_list: 3 numbers to 1", ShapeError);
}
