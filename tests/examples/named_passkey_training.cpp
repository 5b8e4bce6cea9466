#include "../../examples/support/named_passkey_training.hpp"

#include <doctest/doctest.h>

#include <set>

using namespace fot;
using namespace fot::examples;

namespace {

const std::vector<TokenDocument> text{{"text", byte_tokens(std::string(2000, 'x'))}};

std::string row_text(const Tokens& tokens, Index i) { return text_of({row(tokens, i), row(tokens, i) + extent(tokens, 1)}); }

/// The name that a question asks for, the part of the answer that follows it, and the answer.
struct Asked {
    std::string name, begun, answer;
};
Asked asked(const LookupBatch& batch, Index i) {
    const std::string question = row_text(batch.input.current, i);
    const std::size_t is = question.rfind(" is");
    return {question.substr(is - 3, 3), question.substr(is + 3), row_text(batch.targets, i)};
}

/// A small batch for each draw.
template <class Check>
void for_batches(const LengthAndBatch& windows, Index questions, Index contexts, bool hard, Check check) {
    Random random(1);
    for (int draw = 0; draw < 20; ++draw) check(named_key_batch(text, windows, questions, contexts, hard, random));
}

}  // namespace

TEST_CASE("a question sees the window with its key first, then others, and what is wanted of it is the answer") {
    std::set<Index> questions;
    for_batches({160, 8}, 16, 3, false, [&](const LookupBatch& batch) {
        const CrossbatchInput& input = batch.input;
        questions.insert(extent(input.current, 0));
        REQUIRE(input.table.entries() == extent(input.current, 0));
        CHECK_NOTHROW(require_valid(input.table, extent(input.current, 0)));
        CHECK_NOTHROW(input.check());
        for (Index i = 0; i < extent(input.current, 0); ++i) {
            const auto [name, begun, answer] = asked(batch, i);
            const std::string hidden = " The pass key of " + name + " is" + answer;
            const std::vector<Index>& seen = element(input.table.contexts, i);
            REQUIRE(seen.size() == 3);
            CHECK(row_text(input.previous, seen[0]).find(hidden) != std::string::npos);
            CHECK(row_text(input.previous, seen[1]).find(" " + name + " ") == std::string::npos);
            CHECK(begun == answer.substr(0, 6));
            CHECK((answer.front() == ' ' && answer.back() == '.' && answer.size() == 7));
            for (Index j = 0; j < 6; ++j) CHECK(input.current(i, element(input.wanted, j) + 1) == batch.targets(i, j));
            CHECK(input.wanted.back() == extent(input.current, 1) - 1);
        }
    });
    CHECK(questions == std::set<Index>{8, 16});  // windows have one to five keys, of which one or two are asked for
}

TEST_CASE("hard batches spell their names with as few letters as suffice, and no name comes twice in a batch") {
    for (const bool hard : {false, true}) {
        Index most_letters = 0;
        for_batches({256, 32}, 64, 32, hard, [&](const LookupBatch& batch) {
            std::set<char> letters;
            std::set<std::string> names;
            for (Index i = 0; i < extent(batch.input.current, 0); ++i) {
                const std::string name = asked(batch, i).name;
                letters.insert(name.begin(), name.end());
                names.insert(name);
            }
            CHECK(length_of(names) == extent(batch.input.current, 0));
            most_letters = std::max(most_letters, length_of(letters));
        });
        CHECK((hard ? most_letters <= 7 : most_letters > 20));
    }
}

TEST_CASE("in one piece a question follows the window with its key, and sees no other") {
    for_batches({80, 8}, 16, 4, false, [&](const LookupBatch& batch) {
        const LookupBatch whole = in_one_piece(batch);
        CHECK(whole.targets == batch.targets);
        CHECK(whole.input.table.most_contexts() == 0);
        CHECK_NOTHROW(whole.input.check());
        for (Index i = 0; i < extent(batch.input.current, 0); ++i)
            CHECK(row_text(whole.input.current, i) ==
                  row_text(batch.input.previous, element(batch.input.table.contexts, i)[0]) + row_text(batch.input.current, i));
        for (Index j = 0; j < 7; ++j) CHECK(element(whole.input.wanted, j) == element(batch.input.wanted, j) + 80);
    });
}
