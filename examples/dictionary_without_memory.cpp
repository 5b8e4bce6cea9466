/// In how long a dictionary can a standard transformer look words up, if it reads all of it as one context?   (C2, the baseline)
///
/// It has no memory layer, so all its layers have positions. In training it reads documents of 512 tokens whole: definitions, then
/// questions. Then it reads longer dictionaries, up to 16384 tokens of definitions before each window of questions. The models of
/// dictionary_lookup hold their definitions in a memory instead.
///
/// Otherwise it is trained as the model `standard` of dictionary_lookup: a curriculum of shorter documents, then 600 steps on 512
/// tokens. It has two heads in a layer and a rotary base of 1000000 (those models: four and 100): so it learns its curriculum in
/// some hundred steps.
///
/// Source: paper section 5.2, Figure 10 (a standard transformer fails at 16K tokens).
/// Data:    made here.
/// Time:    five minutes on one core that another program shared; --quick: seconds; --full: three seeds.
/// Command: build/release/examples/dictionary_without_memory
/// Expect:  every answer right at 256 tokens of definitions, 65 to 80 % at 1024, and by chance (1 in 61) at 16384.
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/measure/intervals.hpp"
#include "fot/nn/slices.hpp"
#include "support/accuracy_curves.hpp"
#include "support/dictionary_training.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Answer tokens that are right if `tokens` of definitions and a window of questions are one context.
Proportion right_in_one_context(const Transformer<float>& model, const EvaluationDictionary& dictionary, Index tokens, Index asked,
                                std::uint64_t seed) {
    Random random(seed);
    const DictionaryBatch<float> questions = dictionary.questions<float>(dictionary.sample_questions(tokens, asked, random));
    const Tokens definitions = reshaped<2>(dictionary.windows(0, dictionary.windows_for(tokens)), {1, tokens});
    std::vector<Index> answers = answer_positions(dictionary.task());
    const Tokens targets = take_positions(questions.targets, answers);
    for (Index& position : answers) position += tokens;
    Proportion right;
    for (Index i = 0; i < extent(targets, 0); ++i) {
        stop_if_interrupted("the trained model is kept; the same command evaluates again");
        Tape tape(Tape::inference);
        const Tokens context = concatenate<1>(definitions, slice<0>(questions.current, i, 1));
        const Variable<float, 3> logits = model.forward(tape, context, NoSource<float>(), answers);
        right.add_each(correct_predictions(logits.value(), slice<0>(targets, i, 1)));
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "In how long a dictionary can a standard transformer look words up, if it is all one context?");
    DictionaryTraining training{.name = "without_memory", .standard = true, .shape = {.without_memory = true}};
    Index largest = 0, questions = 0;
    example.add_seeds_option();
    example.option("--curriculum-steps", training.curriculum_steps, {40, 2000, 2000}, "most steps of the curriculum", 1);
    example.option("--steps", training.steps, {2, 600, 600}, "training steps after that, on 512 tokens", 1);
    example.option("--largest", largest, {1024, 16384, 16384}, "tokens of the largest dictionary", 256);
    example.option("--questions", questions, {25, 400, 400}, "questions at each size, rounded up to windows of 25", 1);
    example.flag("--unnormalized-heads", training.shape.unnormalized, "queries and keys of any length, without a temperature");
    example.parse();
    if (training.shape.unnormalized) training.name += "_unnormalized";
    const std::vector<Index> sizes = memory_ladder(256, largest);
    for (const Index size : sizes) EvaluationDictionary({}, 0).windows_for(size);  // refused before training, not after

    Measurements<AccuracyCurve> accuracies;
    Table table({"tokens of definitions", "seed", "right answer tokens"}), csv({"seed", "tokens", "accuracy", "low", "high"});
    for (const std::uint64_t seed : example.seeds()) {
        const Transformer<float> model = trained_dictionary_model(example, example.output(), training, seed);
        const EvaluationDictionary dictionary({}, seed + 5000);
        AccuracyCurve curve;
        for (const Index tokens : sizes) {
            curve[tokens] = estimate_of(right_in_one_context(model, dictionary, tokens, questions, seed + 6000),
                                        dictionary.task().value_length);
            table.add(count_text(tokens), seed, estimate_text(curve[tokens], 4));
            csv.add(seed, tokens, curve[tokens]);
        }
        accuracies.add(training.name, curve);
    }
    Plot plot{.name = "accuracy",
              .title = "Dictionary lookup without memory, trained on 512 tokens",
              .x_label = "tokens of definitions, all of them read as local context",
              .y_label = "accuracy of answer tokens",
              .y_range = Interval{0, 1.05}};
    example.show("One context, positions in every layer", table);
    report_accuracy(example, "accuracy", accuracies, training.name, plot);
    example.csv("accuracy_by_seed", csv);
    example.plot(plot);
    return example.finish();
} catch (...) {
    return report_failure();
}
