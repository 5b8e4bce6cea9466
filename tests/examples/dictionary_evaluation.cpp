#include "../../examples/support/dictionary_evaluation.hpp"

#include <doctest/doctest.h>

#include "../../examples/support/dictionary_training.hpp"

using namespace fot;
using namespace fot::examples;

TEST_CASE("what is measured at a memory size does not depend on the larger sizes that are measured with it") {
    Random weights(1);
    const DictionaryTraining training{.name = "untrained", .contexts = 1};
    const Transformer<float> model = new_dictionary_model(training, weights);
    const EvaluationDictionary dictionary({.half_length = 50}, 2);
    const auto first_of = [&](const std::vector<Index>& sizes) {
        return DictionaryEvaluation(model, dictionary, sizes, 5, 8, 3).run("evaluate")[0];
    };
    const Lookup alone = first_of({50}), with_others = first_of({50, 100, 200});
    CHECK(with_others.tokens.value() == alone.tokens.value());
    CHECK(with_others.knn_score == alone.knn_score);
    CHECK(with_others.focus_score == alone.focus_score);
    CHECK(alone.focus_score > 0);
}
