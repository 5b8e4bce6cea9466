#include "../../examples/support/remedy_models.hpp"

#include <doctest/doctest.h>

#include "../../examples/support/positive_masses.hpp"
#include "fot/remedies/adaptive_temperature.hpp"
#include "fot/remedies/entmax_sources.hpp"
#include "fot/remedies/learned_sink.hpp"
#include "fot/remedies/length_temperature.hpp"
#include "small_text.hpp"

using namespace fot;
using namespace fot::examples;
using namespace fot::testing;

namespace {

const std::vector<TokenDocument> training_documents = byte_documents(two_documents);

TextSettings settings_of_two() {
    TextSettings settings = small_settings();
    settings.contexts = 2;
    return settings;
}
const TextSettings two_contexts = settings_of_two();
const LanguageModelRecipe crossbatch{
    .name = "crossbatch_2", .kind = LanguageModelKind::crossbatch, .contexts = ContextSchedule::constant(2)};

/// All numbers of a model.
std::vector<float> numbers(const Transformer<float>& model) {
    std::vector<float> list;
    for (const auto& each : model.parameters()) list.insert(list.end(), each.value().begin(), each.value().end());
    return list;
}

/// What a plan trains to in a new folder.
std::vector<float> trained_numbers(const RemedyPlan& plan) {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    return numbers(RemediedModel(in.example, two_contexts, plan, 4, training_documents, 1).model);
}

/// Windows of two documents, and the first one's next.
CrossbatchInput two_windows() {
    Tokens previous = empty<std::int32_t, 2>({2, 8}), current = empty<std::int32_t, 2>({1, 8});
    for (Index c = 0; c < 2; ++c) std::copy_n(element(training_documents, c).tokens.begin(), 8, row(previous, c));
    std::copy_n(training_documents[0].tokens.begin() + 8, 8, row(current, 0));
    return {previous, current, previous_contexts(1, 1, 1, 2)};
}

}  // namespace

TEST_CASE("without a remedy a model is that of the other text programs, bit for bit, and is kept in the same file") {
    for (const LanguageModelRecipe& recipe : {standard, crossbatch}) {
        const TemporaryFolder folder, other;
        const std::vector<float> expected = numbers(trained(folder, recipe, two_documents, two_contexts));
        CHECK(trained_numbers({recipe.name, recipe}) == expected);
        ExampleIn in(folder);  // what is there is read and not trained
        const RemedyPlan plan{recipe.name, recipe};
        const RemediedModel again(in.example, two_contexts, plan, 4, training_documents, 1);
        CHECK(numbers(again.model) == expected);
        CHECK(std::isnan(again.seconds_per_step));
    }
}

TEST_CASE("a remedy changes the model before it is trained, or after") {
    Remedy sink{.name = "sink", .change = [](const RemedyView& at) { at.layer.joining = std::make_unique<LearnedSink<float>>(1); }};
    CHECK(trained_numbers({"sink", standard, sink}).size() == trained_numbers({"standard", standard}).size() + 1);
    CHECK(trained_numbers({"sink", standard, sink}).size() == trained_numbers({"sink", crossbatch, sink}).size());
    const Remedy late{.name = "late", .inference_only = true, .change = [](const RemedyView& at) {
                          at.layer.scoring = std::make_unique<LogLength<float>>(std::move(at.layer.scoring), at.keys);
                      }};
    CHECK(trained_numbers({"late", crossbatch, late}) == trained_numbers({"crossbatch_2", crossbatch}));
}

TEST_CASE("a remedy's sources and losses take part in the training") {
    const std::vector<float> plain = trained_numbers({"crossbatch_2", crossbatch});
    Remedy none{.name = "none", .contexts = [](const auto&, const auto&) { return std::make_unique<NoSource<float>>(); }};
    CHECK(trained_numbers({"none", crossbatch, none}) == trained_numbers({"standard", standard}));
    for (const LanguageModelRecipe& recipe : {standard, crossbatch}) {
        Remedy contrast{.name = "contrast", .loss_weights = [](Index, Index) { return LossWeights{1, 0}; }};
        CHECK(trained_numbers({"contrast", recipe, contrast}) == trained_numbers({recipe.name, recipe}));
        contrast.loss_weights = [](Index step, Index steps) { return LossWeights{1, step + 1 == steps ? 0.5 : 0}; };
        CHECK(trained_numbers({"contrast", recipe, contrast}) != trained_numbers({recipe.name, recipe}));
    }
}

TEST_CASE("a query knows how many keys training has shown") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    const RemedyPlan alone{"standard", standard}, together{"crossbatch_2", crossbatch};
    CHECK(RemediedModel(in.example, two_contexts, alone, 4, training_documents, 1).at.keys == 4);
    CHECK(RemediedModel(in.example, two_contexts, together, 4, training_documents, 1).at.keys == 20);
}

TEST_CASE("of one softmax r_d is the same from the weights of contexts and from the scores") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    const RemedyPlan plain{"standard", standard};
    const RemediedModel model(in.example, two_contexts, plain, 4, training_documents, 1);
    TextSettings places = two_contexts;
    places.places = 2;
    CorpusSplit split;
    split.test = two_documents;
    split.validation = {{"third", "another one that nobody asks about"}};
    const PositiveMass from_scores = measure_positive_mass(places, split, model.model),
                       from_weights =
                           measure_positive_mass(places, split, model.model, [&](const auto&of, const CrossbatchInput&input) {
                               CHECK(&of == &model.model);
                               return log_context_weights(model, input);
                           });
    for (std::size_t i = 0; i < from_scores.contexts().size(); ++i)
        CHECK(from_weights.mean(i) == doctest::Approx(from_scores.mean(i)).epsilon(1e-4));
    CHECK(from_scores.mean(1) != doctest::Approx(0.5).epsilon(1e-3));
}

TEST_CASE("weights of contexts are their log masses but for a number of each query, and sum to one for any attention to contexts alone") {
    const TemporaryFolder folder;
    ExampleIn in(folder);
    const CrossbatchInput input = two_windows();
    const RemedyPlan plain{"standard", standard};
    const RemediedModel model(in.example, two_contexts, plain, 4, training_documents, 1);
    const Tensor<float, 4> weights = log_context_weights(model, input), mass = context_log_mass(model.model, input);
    for (Index t = 0; t < 8; ++t)
        CHECK(weights(0, t, 0, 0) - weights(0, t, 0, 1) == doctest::Approx(mass(0, t, 0, 0) - mass(0, t, 0, 1)).epsilon(1e-4));

    const RemedyPlan sparse{
        "entmax",
        standard,
        {.name = "entmax",
         .change = [](const RemedyView& at) { at.layer.joining = std::make_unique<HeadGate<float>>(1); },
         .contexts = [](const auto&, const auto& seen) { return std::make_unique<EntmaxContexts<float>>(seen); }}};
    TextSettings again = two_contexts;
    again.models = (folder / "entmax").string();
    const RemediedModel other(in.example, again, sparse, 4, training_documents, 1);
    const Tensor<float, 4> of_entmax = log_context_weights(other, input);
    for (Index t = 0; t < 8; ++t)
        CHECK(std::exp(of_entmax(0, t, 0, 0)) + std::exp(of_entmax(0, t, 0, 1)) == doctest::Approx(1).epsilon(1e-5));

    const RemedyPlan adaptive{"adaptive", standard, {.name = "adaptive", .contexts = [](const RemedyView& at, const auto& seen) {
                                                         return std::make_unique<AdaptiveTemperature<float>>(
                                                             std::make_unique<Contexts<float>>(seen), *at.layer.joining);
                                                     }}};
    again.models = (folder / "adaptive").string();
    const RemediedModel third(in.example, again, adaptive, 4, training_documents, 1);
    const Tensor<float, 4> of_adaptive = log_context_weights(third, input);
    for (Index t = 0; t < 8; ++t) {  // t + 1 of t + 17 keys are local, and have a part in the softmax
        const float contexts = std::exp(of_adaptive(0, t, 0, 0)) + std::exp(of_adaptive(0, t, 0, 1));
        CHECK(contexts < 1);
        CHECK(contexts > 0.1F);
    }
}
