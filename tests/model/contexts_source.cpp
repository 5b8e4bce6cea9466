#include "fot/model/contexts_source.hpp"

#include <doctest/doctest.h>

#include "fot/model/transformer.hpp"
#include "support/model_check.hpp"
#include "support/numbered_documents.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

const Tokens current = random_tokens(2, 4, 11, 1), previous = random_tokens(3, 5, 11, 2);
const ContextTable table{3, {{0, 2}, {1}}, {1, 1}};

Transformer<double> small_model() {
    Random random(3);
    return Transformer<double>(small_model_config({1}), random);
}

/// A batch that is made in a function: it owns all its parts.
CrossbatchInput made_batch() {
    Tokens of_function = previous;
    return {.previous = of_function, .current = current, .table = table, .wanted = {1, 3}};
}

}  // namespace

TEST_CASE("contexts count the keys that each entry's list holds") {
    const Transformer<double> model = small_model();
    Tape tape(Tape::inference);
    const Contexts<double> contexts(model.keys_and_values(tape, previous), table);
    CHECK(contexts.key_count(1, 0) == 10);
    CHECK(contexts.key_count(1, 1) == 5);
    CHECK(contexts.table().contexts == table.contexts);
    CHECK(shape_of(contexts.of_layer(1).k.value()) == Shape<4>{3, 5, 2, 4});
    CHECK_FALSE(static_cast<bool>(contexts.of_layer(0).k));
    const PackedContexts<double> packed({2, {{}, {0}}, {0, 1}}, 4);
    CHECK(packed.key_count(1, 0) == 0);
    CHECK(packed.key_count(1, 1) == 4);
    const Contexts<double> none(model.keys_and_values(tape, empty<std::int32_t, 2>({0, 0})), no_contexts(2));
    CHECK(none.key_count(1, 1) == 0);
    CHECK_FALSE(static_cast<bool>(none.attend(tape, {.layer = 1}).o));
}

TEST_CASE("a batch may be returned from a function and read as a temporary") {
    const Transformer<double> model = small_model();
    Tape tape(Tape::inference);
    const Tensor<double, 3> of_temporary = model.crossbatch(tape, made_batch()).value();
    const CrossbatchInput kept = made_batch();
    CHECK(of_temporary.storage() == model.crossbatch(tape, kept).value().storage());
    CHECK(of_temporary.storage() == model.crossbatch(tape, {previous, current, table, {1, 3}}).value().storage());
    CHECK(shape_of(of_temporary) == Shape<3>{2, 2, 11});
}

TEST_CASE("previous contexts may have any length, and any number of entries may share one") {
    const Transformer<double> model = small_model();
    const Tokens one = random_tokens(1, 9, 11, 4);
    Tape tape(Tape::inference);
    const Tensor<double, 3> shared = model.crossbatch(tape, {one, current, {1, {{0}, {0}}, {1, 0}}}).value(),
                            twice = model.crossbatch(tape, {concatenate<0>(one, one), current, {2, {{0}, {1}}, {1, 1}}}).value();
    CHECK(largest_difference(shared, twice) < 1e-13);
}

TEST_CASE("a batch whose parts do not fit is refused by the check alone") {
    CrossbatchInput input = made_batch();
    CHECK_NOTHROW(input.check());
    input.table.available = 2;
    CHECK_THROWS_WITH_AS(input.check(), "crossbatch: the table is made for 2 previous contexts, got 3", ConfigError);
}

TEST_CASE("the table of a batch fits it: a pool larger than the batch, several positives, and no window that is not there") {
    Random random(3);
    const std::vector<TokenDocument> documents = testing::numbered_documents({50, 60, 70, 80});
    const ContextBatch<float> batch =
        sample_contexts<float>(documents, {.entries = 2, .pool = 4, .positives = 3, .length = 5}, random);
    const ContextTable table = contexts_of(batch, 4);
    CHECK(table.available == extent(batch.previous, 0));
    CHECK(table.positives == std::vector<Index>{3, 3});
    CHECK_NOTHROW(require_valid(table, 2));
    for (Index b = 0; b < 2; ++b)
        for (Index i = 0; i < 7; ++i) {
            const std::int32_t first = row(batch.previous, element(element(table.contexts, b), i))[0];
            CHECK((first / 1000 == element(batch.documents, b) + 1) == (i < 3));  // numbered_documents
        }
    CHECK_THROWS_AS(contexts_of(batch, 10), ConfigError);
    CHECK_THROWS_WITH_AS(contexts_of(sample_packed<float>(documents, {.entries = 2, .packing = 2, .length = 5}, random), 0),
                         "contexts_of: a batch of 2 documents has 0 previous windows, expected one or more of each", ConfigError);
}

TEST_CASE("contexts of another model, and packed windows of another length, are refused") {
    Random random(4);
    const Transformer<double> shallow(testing::small_model_config({1}), random), other(testing::small_model_config({2}), random);
    const Tokens windows = testing::random_tokens(3, 5, 11, 1);
    Tape tape;
    const Contexts<double> contexts(shallow.keys_and_values(tape, windows), previous_contexts(3, 1, 0, 3));
    CHECK_THROWS_WITH_AS(other.forward(tape, windows, contexts), doctest::Contains("the contexts have no keys of it"), ShapeError);
    CHECK_THROWS_WITH_AS(contexts.of_layer(3), "Contexts: layer 3 of 3", ShapeError);
    const PackedContexts<double> packed(previous_contexts(3, 1, 0, 3), 6);
    CHECK_THROWS_WITH_AS(shallow.forward(tape, windows, packed), "PackedContexts: windows of 5 tokens, expected 6", ShapeError);
}
