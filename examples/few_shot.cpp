/// Do more demonstrations help, beyond the length a model was trained on?   (claim C11)
#include "fot/data/few_shot.hpp"

#include "fot/model/generation.hpp"
#include "support/staged_training.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

struct FewShotSettings {
    Index classes = 50, length = 256, batch = 16, contexts = 4, seeds = 0, draws = 0, questions = 20, most_shown = 0, top_k = 32;
    Index steps = 0, further_steps = 0;
    double accuracy = 0.9;
    Index memory_layer = 2, own_stages = 1;
};

/// Classes of each stage of training, few first.
std::vector<Index> classes_of_stages(const FewShotSettings& settings) {
    return {3, 6, std::min<Index>(12, settings.classes), std::min<Index>(25, settings.classes), settings.classes};
}

StagedTraining training_of(bool crossbatch, const FewShotSettings& settings) {
    const Index batch = settings.batch;
    StagedTraining training{.name = crossbatch ? "fot" : "base",
                            .windows = crossbatch ? 2 : 1,
                            .stages = {{64, 2 * batch}, {96, 2 * batch}, {128, 2 * batch}, {settings.length, batch}, {settings.length, batch}},
                            .curriculum_steps = (crossbatch ? settings.further_steps : settings.steps) * 3 / 4,
                            .steps = crossbatch ? settings.further_steps : settings.steps,
                            .settings = {{"classes", message(settings.classes)}}};
    if (crossbatch) training.settings.insert({{"contexts", message(settings.contexts)}, {"steps before", message(settings.steps)}});
    return training;
}

/// Demonstrations of an episode, from any byte of the first one on. Labels of classes that were shown before are asked for.
TokenDocument demonstrations(Index classes, Index bytes, Random& random) {
    const FewShotEpisode episode = word_episode(classes, random);
    TokenDocument document{"episode", {}};
    std::vector<bool> shown(static_cast<std::size_t>(classes));
    while (document.length() < bytes) {
        const Demonstration next = episode.draw(random);
        const auto kind = static_cast<std::size_t>(next.kind);
        std::string text = next.text();
        const bool whole = document.length() > 0;
        if (!whole) text = text.substr(static_cast<std::size_t>(random.below(static_cast<Index>(text.size()))));
        const std::vector<std::int32_t> tokens = byte_tokens(text);
        document.tokens.insert(document.tokens.end(), tokens.begin(), tokens.end());
        document.loss_mask.resize(document.tokens.size(), 0.1f);
        if (!whole) continue;
        if (shown[kind]) std::fill_n(document.loss_mask.end() - 1 - static_cast<std::ptrdiff_t>(next.label.size()), next.label.size(), 1.0f);
        shown[kind] = true;
    }
    document.tokens.resize(static_cast<std::size_t>(bytes));
    document.loss_mask.resize(static_cast<std::size_t>(bytes));
    return document;
}

void train(Example& example, const FewShotSettings& settings, bool crossbatch, std::uint64_t seed, Transformer<float>& model) {
    const StagedTraining training = training_of(crossbatch, settings);
    train_in_stages(example, training, settings.accuracy, seed, model, [&](Index stage, const LengthAndBatch& at, Random& random) {
        StagedBatch batch{{}, previous_contexts(at.batch, 1, stage < settings.own_stages ? 0 : settings.contexts - 1)};
        for (Index b = 0; b < at.batch; ++b)
            batch.documents.push_back(demonstrations(classes_of_stages(settings)[static_cast<std::size_t>(stage)],
                                                     training.windows * at.length + 1, random));
        return batch;
    });
}

/// The share of questions answered right after `shown` demonstrations, over random episodes.
Proportion answered(Transformer<float>& model, const FewShotSettings& settings, Index shown, bool remembers, std::uint64_t seed) {
    Proportion right;
    for (Index draw = 0; draw < settings.draws; ++draw) {
        Random random(seed * 1000003 + static_cast<std::uint64_t>(draw));  // the same episodes for every model
        const FewShotEpisode episode = word_episode(settings.classes, random);
        std::string text;
        for (Index i = 0; i < shown; ++i) text += episode.draw(random).text();
        const Demonstration longest = episode.draw(random);
        const Index size = static_cast<Index>(text.size()), room = settings.length - static_cast<Index>(longest.text().size()),
                    local = std::min(size, remembers ? small_llama(settings.length).last_context : room);
        const std::string near = text.substr(static_cast<std::size_t>(size - local));
        MemoryState<float> memory(model.config(), 1);
        if (remembers && size > local)
            read_document(model, token_row(byte_tokens(text.substr(0, static_cast<std::size_t>(size - local)))), settings.length, memory);
        for (Index question = 0; question < settings.questions; ++question) {
            const Demonstration asked = episode.draw(random);
            Random unused(0);
            const std::vector<std::int32_t> written =
                generate(model, byte_tokens(near + asked.question()), static_cast<Index>(asked.label.size()), settings.length, memory,
                         {.temperature = 0}, unused, {.top_k = settings.top_k});
            right.add(text_of(written) == asked.label);
        }
    }
    return right;
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "Do more demonstrations help, beyond the length a model was trained on?", [](Example& example) {
        FewShotSettings settings;
        example.option("--steps", settings.steps, Scaled<Index>{12, 600, 600}, "steps of pre-training", 4);
        example.option("--further-steps", settings.further_steps, Scaled<Index>{8, 400, 400}, "steps of crossbatch", 4);
        example.option("--seeds", settings.seeds, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed", 1);
        example.option("--draws", settings.draws, Scaled<Index>{2, 20, 20}, "episodes of each number of demonstrations", 1);
        example.option("--most", settings.most_shown, Scaled<Index>{64, 1024, 4096}, "most demonstrations", 8);
        example.option("--accuracy", settings.accuracy, "ends stage");
        example.option("--memory-layer", settings.memory_layer, "layer");
        example.option("--own-stages", settings.own_stages, "layer");
        example.parse();
        for (Index s = 0; s < settings.seeds; ++s) {
            const std::uint64_t seed = example.seed() + static_cast<std::uint64_t>(s);
            Random random(seed);
            LongLlamaConfig config = small_llama(settings.length);
            config.memory_layers = {settings.memory_layer};
            Transformer<float> model(llama_config(config), random);
            for (const std::string name : {"base", "base_memory", "fot"}) {
                if (name != "base_memory") train(example, settings, name == "fot", seed, model);
                for (Index shown = 8; shown <= settings.most_shown; shown *= 2) {
                    const Proportion right = answered(model, settings, shown, name != "base", seed);
                    std::cout << name << " " << shown << " " << estimate_text(right.value(), right.interval()) << std::endl;
                }
            }
        }
    });
}
