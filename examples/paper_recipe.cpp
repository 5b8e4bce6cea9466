/// Does the paper's own training recipe give the same result as ours?   (claim C1 with the paper's optimiser and schedules)
///
/// Two models of one shape learn the same text by crossbatch, in the same number of steps, on batches of one size. They differ in
///
///                    paper_recipe                                        our_recipe
///     optimiser      Adafactor: decay 0.8, momentum 0.9, relative rate   Muon
///     activation     ReLU                                                squared ReLU
///     learning rate  1 / sqrt(step) after a warm-up of 1/5 of the steps  linearly to 2 % over the second half
///     contexts d     2; in the last tenth 64, or the largest power of    1, doubled several times to --contexts
///                    two for which there are documents                   between 3/10 and half of the training
///
/// Both learning rates were tuned in the same way: a first guess (0.03 for Adafactor; Muon's defaults) was multiplied by each of
/// `--factors 0.25 0.5 1 2 4`. The factor 2 was best for both on the validation documents (seed 1, 1000 steps). If it is given
/// several factors, the program makes this choice itself.
///
/// Measured are r_d, the share of a query's attention to previous contexts of d documents that falls on the query's own document,
/// and bits per byte with the document so far in memory. `--memory-layers -2 -1` gives the models a second memory layer, to show
/// what it brings and what a step then costs.
///
/// Source: paper appendix B.1, appendix E and E.1, Table 9.
/// Data:    the libstdc++ headers that come with g++ (--corpus for other text): 49 documents, so d = 32 in the last tenth.
/// Time:    four and a half minutes on one core; --quick: seconds; --full: three seeds.
/// Command: build/release/examples/paper_recipe
/// Expect:  r_d is about equal for both recipes, six to seven times 1/64 at d = 64; ours is better by 0.2 bits per byte with every
///          memory.
#include "fot/measure/document_nats.hpp"
#include "fot/train/adafactor.hpp"
#include "support/memory_reports.hpp"
#include "support/positive_masses.hpp"
#include "support/prediction.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// All in which the two trainings differ, but for the optimiser.
struct Recipe {
    std::string name;
    Activation activation;
    LearningRate rate;  // a factor on the optimiser's rates
    ContextSchedule contexts;
    bool adafactor;
};

std::vector<Recipe> recipes(Index steps, Index contexts, Index most_contexts) {
    return {{"paper_recipe", Activation::relu, LearningRate::inverse_square_root(1, steps / 5),
             ContextSchedule::at_steps({{0, 2}, {9 * steps / 10, most_contexts}}), true},
            {"our_recipe", Activation::squared_relu, LearningRate::linear_decay(1, 40, steps), doubled_contexts(contexts, steps),
             false}};
}

std::unique_ptr<Optimizer<float>> new_optimizer(const Recipe& recipe, const std::vector<Parameter<float>>& parameters) {
    if (!recipe.adafactor) return std::make_unique<Muon<float>>(parameters);
    return std::make_unique<Adafactor<float>>(parameters, AdafactorOptions{.learning_rate = 0.03, .momentum = 0.9});
}

/// Bits per byte of a window at random places of each document, the last `size` bytes before it in memory, for every size.
MemoryCurve measured_windows(Transformer<float>& model, const TextSettings& settings, const std::vector<TokenDocument>& documents,
                             const std::vector<Index>& sizes, const Reading& reading) {
    MemoryCurve curve;
    const Index places = settings.places, length = settings.length, largest = sizes.back();
    for (const Index size : sizes) {
        Random random(2026);  // the same places for every model and size
        for (Index d = 0; d < length_of(documents); ++d) {
            stop_if_interrupted("trained models are kept; the same command measures again");
            const TokenDocument& document = element(documents, d);
            Tokens before = empty<std::int32_t, 2>({places, size}), window = empty<std::int32_t, 2>({places, length + 1});
            for (Index place = 0; place < places; ++place) {
                const std::int32_t* at = document.tokens.data() + largest + random.below(document.length() - largest - length);
                std::copy_n(at - size, size, row(before, place));
                std::copy_n(at, length + 1, row(window, place));
            }
            MemoryState<float> state(model.config(), places);
            remember_document(model, before, length, state, {.top_k = reading.top_k});
            const Tensor<float, 2> nats = document_nats(model, window, length, state, {.top_k = reading.top_k});
            curve[reading.with(size)].add(d, std::accumulate(nats.begin(), nats.end(), 0.0), element_count(nats));
        }
    }
    return curve;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Does the paper's own recipe of training come to the same as ours?");
    TextSettings settings;
    std::vector<Index> memory_layers{-1};
    std::vector<double> factors{2};
    Reading own{MemoryScope::single_document};
    Index largest = 0;
    add_text_options(example, settings, {12, 1000, 1000}, {8, 16, 16});
    add_comparison_options(example, settings);
    example.option("--memory-layers", memory_layers, "layers with a memory, below 0 from the last", -99);
    example.option("--factors", factors, "factors on the learning rates; the best on validation documents is taken");
    example.option("--top-k", own.top_k, "retrieved entries per query and head; 0: the whole memory");
    example.option("--largest", largest, {2048, 8192, 8192}, "largest memory, tokens", 512).within(512, 16384);
    example.parse();

    const CorpusSplit split = load_split(settings);
    const std::vector<TokenDocument> training = byte_documents(split.train), test = byte_documents(split.test);
    for (const TokenDocument& document : test)
        require<ConfigError>(document.length() > largest + settings.length, "--largest ", largest, " --length ", settings.length,
                             ": test document '", document.source, "' has ", document.length(),
                             " bytes, expected more than both together");
    std::vector<Index> sizes = memory_ladder(512, largest);
    sizes.insert(sizes.begin(), 0);
    const Index most = std::min<Index>(64, static_cast<Index>(std::bit_floor(training.size())));
    if (most < 64) example.out() << training.size() << " documents for training: room for d = " << most << ", not for 64\n\n";

    PositiveMasses masses;
    MemoryCurves curves;
    Table table({"recipe", "seed", "factor", "validation, bits/byte", "seconds a step"});
    for (const std::uint64_t seed : example.seeds())
        for (const Recipe& recipe : recipes(settings.steps, settings.contexts, most)) {
            TransformerConfig config = text_model_config(settings);
            config.memory_layers = memory_layers;
            config.activation = recipe.activation;
            std::optional<Transformer<float>> best;
            double least = INFINITY;
            for (const double factor : factors) {
                TextSettings tried = settings;
                tried.learning_rate *= factor;
                Random weights(seed);
                Transformer<float> model(config, weights);
                const std::unique_ptr<Optimizer<float>> optimizer = new_optimizer(recipe, model.parameters());
                const LanguageModelRecipe crossbatch{.name = message(recipe.name, "_rate_", tried.learning_rate),
                                                     .kind = LanguageModelKind::crossbatch,
                                                     .contexts = recipe.contexts};
                TextModelFile file(example, tried, model.config(), seed);
                const double seconds =
                    train_text_model(tried, crossbatch, {settings.steps}, training, file, model, *optimizer, recipe.rate);
                const double bits =
                    measure_predictions(settings, {{}, {}, split.validation, {}}, model).with_previous.bits_per_byte;
                table.add(recipe.name, seed, factor, fixed(bits), fixed(seconds));
                if (bits < least) least = bits, best = std::move(model);
            }
            masses.add(recipe.name, measure_positive_mass(settings, split, *best));
            curves.add(recipe.name, measured_windows(*best, settings, test, sizes, own));
        }
    example.show("Trainings; validation documents with the previous context", table);
    report_positive_mass(example, masses, "Attention that stays with its own document");
    report_curves(example, curves, sizes, own, "The document so far in memory: bits per byte");
    compare_models(example, curves, sizes, {{"paper_recipe", "our_recipe", own}});
    return example.finish();
} catch (...) {
    return report_failure();
}
