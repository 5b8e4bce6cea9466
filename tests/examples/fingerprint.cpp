#include "../../examples/support/fingerprint.hpp"

#include <doctest/doctest.h>

using namespace fot;
using fot::examples::fingerprint;

TEST_CASE("a fingerprint is FNV-1a of names, tokens and their lengths") {
    CHECK(fingerprint({}) == "cbf29ce484222325");
    CHECK(fingerprint({{"a", {}}}) == "29099ddd133b47cd");
    CHECK(fingerprint({{"ab", {1, 258}}}) == "8ca29ec854bbab42");
}

TEST_CASE("other names, tokens, orders and borders have other fingerprints") {
    const std::vector<TokenDocument> documents{{"ab", {1, 2}}, {"c", {3}}};
    CHECK(fingerprint(documents) == fingerprint({{"ab", {1, 2}, {0.5f, 1}}, {"c", {3}}}));
    const std::vector<TokenDocument> others[] = {{{"ab", {1, 2}}, {"d", {3}}}, {{"ab", {1, 4}}, {"c", {3}}},
                                                 {{"c", {3}}, {"ab", {1, 2}}}, {{"ab", {1}}, {"c", {2, 3}}},
                                                 {{"a", {1, 2}}, {"bc", {3}}}, {{"ab", {1, 2}}}};
    for (const std::vector<TokenDocument>& other : others) CHECK(fingerprint(other) != fingerprint(documents));
}
