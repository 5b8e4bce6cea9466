#include "../../examples/support/staged_training.hpp"

#include <doctest/doctest.h>

#include "example_in.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::ExampleIn;
using fot::testing::TemporaryFolder;

namespace {

/// What was drawn in a training in a folder, as a program started anew each time: stage, length and documents of every step.
std::vector<std::vector<Index>> drawn(const TemporaryFolder& folder, const StagedTraining& training, double accuracy) {
    ExampleIn in(folder);
    Random random(1);
    Transformer<float> model(small_llama(16).model, random);
    std::vector<std::vector<Index>> steps;
    train_in_stages(in.example, training, accuracy, 1, model, [&](Index stage, const LengthAndBatch& at, Random&) {
        steps.push_back({stage, at.length, at.batch});
        const TokenDocument document{"", std::vector<std::int32_t>(static_cast<std::size_t>(2 * at.length + 1), 7)};
        return StagedBatch{std::vector<TokenDocument>(static_cast<std::size_t>(at.batch), document),
                           previous_contexts(at.batch, 1, 0)};
    });
    return steps;
}

const StagedTraining three_stages{
    .name = "three", .windows = 2, .stages = {{4, 3}, {6, 2}, {8, 1}}, .curriculum_steps = 3, .steps = 5};

}  // namespace

TEST_CASE("stages end by the share predicted, or together at a step; the last one stays") {
    const TemporaryFolder one, other;
    CHECK(drawn(one, three_stages, 0) == std::vector<std::vector<Index>>{{0, 4, 3}, {1, 6, 2}, {2, 8, 1}, {2, 8, 1}, {2, 8, 1}});
    // No share reaches 2: each stage lasts as long as it may.
    CHECK(drawn(other, three_stages, 2) == std::vector<std::vector<Index>>{{0, 4, 3}, {0, 4, 3}, {1, 6, 2}, {2, 8, 1}, {2, 8, 1}});
}

TEST_CASE("what is kept is not trained again, nor taken for another training") {
    const TemporaryFolder folder;
    drawn(folder, three_stages, 0);
    CHECK(drawn(folder, three_stages, 0).empty());
    StagedTraining longer = three_stages, after = three_stages;
    longer.steps = 6;  // has a file of its own
    CHECK(drawn(folder, longer, 0).size() == 6);
    after.steps_before = 7;  // and so has this
    CHECK(drawn(folder, after, 0).size() == 5);
    for (const char* name :
         {"three_5steps_seed1.safetensors", "three_6steps_seed1.safetensors", "three_5steps_after_7_seed1.safetensors"})
        CHECK(std::filesystem::exists(folder / name));
    CHECK_THROWS_WITH_AS(drawn(folder, three_stages, 0.5),
                         doctest::Contains("'stages' is '3 x 4, 2 x 6, 1 x 8, 3 of 5 steps, accuracy 0', expected '3 x 4, 2 x 6, "
                                           "1 x 8, 3 of 5 steps, accuracy 0.5' (another --output, or --models, keeps both)"),
                         ConfigError);
    StagedTraining one = three_stages;
    one.stages.resize(1);
    CHECK_THROWS_WITH_AS(drawn(folder, one, 0), doctest::Contains("train_in_stages: 1 stages, all but the last within 3 steps"),
                         ConfigError);
}

TEST_CASE("only what is asked for counts as predicted") {
    const std::vector<TokenDocument> documents{{"", {1, 2, 3, 4, 5}, {0, 1, 0.5f, 1, 1}}};
    const ContextBatch<float> batch = document_contexts<float>(documents, {.entries = 1, .positives = 0, .length = 4});
    Tensor<float, 3> logits = zeros<float, 3>({1, 4, 8});
    logits(0, 0, 2) = logits(0, 1, 7) = logits(0, 2, 7) = logits(0, 3, 5) = 1;
    CHECK(share_predicted(batch, logits) == doctest::Approx(2.0 / 3));
}
