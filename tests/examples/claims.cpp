#include "../../examples/support/claims.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

using namespace fot;
using namespace fot::examples;

namespace {

using Rows = std::vector<std::vector<std::string>>;

/// The cells of the rows below the header.
Rows all_rows_of(const std::string& program, const Results& results, Index seeds) {
    const Rows rows = verdicts(program, results, seeds).rows();
    return {rows.begin() + 1, rows.end()};
}

/// Those of claims that were measured.
Rows rows_of(const std::string& program, const Results& results, Index seeds) {
    Rows rows = all_rows_of(program, results, seeds);
    std::erase_if(rows, [](const auto& row) { return row.back() == "not measured"; });
    return rows;
}

}  // namespace

TEST_CASE("a claim is judged by the result of most contexts and largest memory, and says which one that is") {
    const Results results{{"difference.crossbatch_1-crossbatch_1.512", "5 5 5"},
                          {"difference.crossbatch_8-crossbatch_1.512", "4 4 4"},
                          {"difference.crossbatch_32-crossbatch_1.512", "3 3 3"},
                          {"difference.crossbatch_32-crossbatch_1.8192", "-0.25 -0.3 -0.2"},
                          {"difference.crossbatch_8-crossbatch_1.131072", "2 2 2"}};
    const auto rows = rows_of("distraction_issue", results, 3);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0][0] == "C7");
    CHECK(rows[0][1].ends_with("(crossbatch_32-crossbatch_1.8192)"));
    CHECK(rows[0][3] == "-0.250 [-0.300, -0.200]");
    CHECK(rows[0][4] == "reproduced");
}

TEST_CASE("the interval of a difference of two results is as wide as both together") {
    Results results{{"positive_mass.standard.64", "0.016 0.015 0.017"}, {"positive_mass.crossbatch_1.64", "0.05 0.018 0.06"}};
    const auto rows = rows_of("distraction_issue", results, 1);
    REQUIRE(rows.size() == 3);  // the standard model; one context, which here are the most as well
    CHECK(rows[0][4] == "agrees");
    CHECK(rows[1][3] == "0.0340 [0.0010, 0.0450]");
    CHECK(rows[1][4] == "agrees");
    results["positive_mass.crossbatch_1.64"] = "0.05 0.017 0.06";
    CHECK(rows_of("distraction_issue", results, 1)[1][4] == "not resolved");
}

TEST_CASE("a claim is not measured if one of its results is missing") {
    const auto verdict_of = [](const Results& results) { return all_rows_of("distraction_issue", results, 1)[1].back(); };
    CHECK(verdict_of({}) == "not measured");
    CHECK(verdict_of({{"positive_mass.crossbatch_1.64", "0.05 0.04 0.06"}}) == "not measured");
    CHECK(verdict_of({{"positive_mass.standard.64", "0.016 0.015 0.017"}}) == "not measured");
    CHECK(verdict_of({{"positive_mass.crossbatch_1.64", "0.05 0.04 0.06"}, {"positive_mass.standard.64", "0.016 0.015 0.017"}}) ==
          "agrees");
}

TEST_CASE("every claim is judged by a program of examples/") {
    for (const Claim& claim : claims()) {
        CAPTURE(claim.program);
        CHECK(std::filesystem::exists(message(FOT_TESTS_FOLDER "/../examples/", claim.program, ".cpp")));
    }
}

TEST_CASE("a smaller memory than the paper's reproduces nothing") {
    const std::string accuracy = "0.97 0.96 0.98";
    CHECK(rows_of("dictionary_lookup", {{"accuracy.uniform.1048576", accuracy}}, 3)[0][4] == "agrees up to 1M");
    CHECK(rows_of("dictionary_lookup", {{"accuracy.uniform.16777216", accuracy}}, 3)[0][4] == "reproduced");
    CHECK(rows_of("dictionary_lookup", {{"accuracy.uniform.16777216", accuracy}}, 1)[0][4] == "agrees");
    CHECK(rows_of("dictionary_lookup", {{"accuracy.uniform.1048576", "0.5 0.4 0.6"}}, 3)[0][4] == "disagrees");
}

TEST_CASE("a result without an interval, or that is not a number, has no verdict, and another program's results have no row") {
    CHECK(rows_of("dictionary_lookup", {{"knn_score.uniform.16777216", "0.8"}}, 3)[0][4] == "no interval");
    CHECK(rows_of("dictionary_lookup", {{"knn_score.uniform.16777216", "nan"}}, 3)[0][4] == "no interval");
    CHECK(rows_of("passkey", {{"knn_score.uniform.16777216", "0.8 0.7 0.9"}}, 3).empty());
    const Rows none = rows_of("dictionary_lookup", {{"accuracy.uniform.16777216", "- - -"}}, 3);
    CHECK(none[0][4] == "no interval");
    CHECK(none[0][3].find("0.0") == std::string::npos);
    CHECK(rows_of("dictionary_lookup", {{"accuracy.uniform.16777216", "0.95 -inf inf"}}, 3)[0][4] == "not resolved");
}

TEST_CASE("a baseline that fails altogether has failed") {
    CHECK(rows_of("dictionary_without_memory", {{"accuracy.without_memory.16384", "0 0 0"}}, 3)[0][4] == "reproduced");
    CHECK(rows_of("dictionary_without_memory", {{"accuracy.without_memory.16384", "0.6 0.55 0.7"}}, 3)[0][4] == "not reproduced");
}
