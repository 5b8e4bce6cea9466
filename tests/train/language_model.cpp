#include "fot/train/language_model.hpp"

#include <doctest/doctest.h>

#include "fot/train/muon.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;

namespace {

const testing::TemporaryFolder folder;

/// Text in which a document repeats its own words: lines of one of its few words each.
std::vector<TokenDocument> documents(Index count, Index length) {
    Random random(1);
    std::vector<TokenDocument> all;
    for (Index i = 0; i < count; ++i) {
        TokenDocument document;
        std::int32_t word[4];
        for (std::int32_t& letter : word) letter = static_cast<std::int32_t>(random.below(10));
        for (Index t = 0; t < length; ++t) document.tokens.push_back(random.uniform() < 0.1 ? 10 : word[t % 4]);
        all.push_back(document);
    }
    return all;
}

Transformer<float> small_model(Integration integration = Integration::merged) {
    Random random(2);
    return Transformer<float>({.vocabulary = 11,
                               .width = 16,
                               .layers = 2,
                               .memory_layers = {1},
                               .heads = 2,
                               .memory_heads = 1,
                               .feed_forward = 16,
                               .integration = integration},
                              random);
}

std::vector<LanguageModelRecipe> recipes() {
    return {
        {.name = "standard", .kind = LanguageModelKind::standard},
        {.name = "xl", .kind = LanguageModelKind::transformer_xl},
        {.name = "mt", .kind = LanguageModelKind::memorizing, .integration = Integration::gated, .memory_tokens = 30, .top_k = 4},
        {.name = "mt_merged", .kind = LanguageModelKind::memorizing, .memory_tokens = 30, .top_k = 4},
        {.name = "crossbatch_1", .kind = LanguageModelKind::crossbatch},
        {.name = "crossbatch_4_w2", .kind = LanguageModelKind::crossbatch, .positives = 2, .contexts = doubled_contexts(4, 20)},
        {.name = "packed", .kind = LanguageModelKind::crossbatch, .contexts = doubled_contexts(2, 20), .packing = 3},
        {.name = "constant_previous", .kind = LanguageModelKind::crossbatch, .differentiable = false},
        {.name = "mt_unlimited", .kind = LanguageModelKind::memorizing, .memory_tokens = 0, .top_k = 4},
        {.name = "mt_of_3", .kind = LanguageModelKind::memorizing, .memory_tokens = 60, .sharers = 3, .top_k = 4}};
}

std::vector<float> weights(Transformer<float>& model) {
    std::vector<float> all;
    for (const auto& p : model.parameters()) all.insert(all.end(), p.value().begin(), p.value().end());
    return all;
}

/// Trains for `steps` of 20, beginning where the checkpoint stopped; returns the losses and leaves a checkpoint.
std::vector<double> train(Transformer<float>& model, const LanguageModelRecipe& recipe, const std::vector<TokenDocument>& text,
                          Index steps, const std::filesystem::path& checkpoint = {}) {
    LanguageModelTraining<float> training(model, recipe, text, {.entries = 3, .length = 8}, 5);
    Muon<float> optimizer(model.parameters(), {});
    Trainer<float> trainer(optimizer, {.steps = steps, .learning_rate = [](Index) { return 0.5; }, .checkpoint = checkpoint});
    training.keep(trainer);
    trainer.resume();
    std::vector<double> losses;
    trainer.run([&](Index step) {
        const StepResult result = training(step);
        losses.push_back(result.loss);
        CHECK(result.tokens == 24);
        return result;
    });
    return losses;
}

}  // namespace

TEST_CASE("a recipe in words names what matters to its kind, and nothing else") {
    const auto text = [](const LanguageModelRecipe& recipe) { return recipe.text(20); };
    LanguageModelRecipe recipe{.name = "a", .positives = 2, .memory_tokens = 30, .top_k = 4, .walk_windows = 5};
    CHECK(text(recipe) == "a: standard, 20 steps, 2 positives, contexts 1");
    CHECK(text({.name = "a"}) == "a: standard, 20 steps");
    CHECK_FALSE(recipe.walks());
    recipe.kind = LanguageModelKind::transformer_xl;
    CHECK(text(recipe) == "a: transformer_xl, 20 steps, walks of 5");
    CHECK(recipe.walks());
    recipe.kind = LanguageModelKind::memorizing;
    CHECK(text(recipe) == "a: memorizing, 20 steps, memory 30, top 4, walks of 5");
    CHECK(recipe.walks());
    recipe.kind = LanguageModelKind::crossbatch;
    recipe.contexts = doubled_contexts(2, 20);
    CHECK(text(recipe) == "a: crossbatch, 20 steps, 2 positives, contexts 1 until step 6, 2");
    recipe.differentiable = false;
    recipe.local_entries = 3;
    CHECK(text(recipe) == "a: crossbatch, 20 steps, 2 positives, contexts 1 until step 6, 2, not differentiable, 3 entries local");
    CHECK(text({.name = "p", .kind = LanguageModelKind::crossbatch, .packing = 4}) ==
          "p: crossbatch, 20 steps, 1 positives, contexts 1, packed by 4");
    CHECK(text({.name = "s", .kind = LanguageModelKind::crossbatch, .sliding_steps = 9}) ==
          "s: crossbatch, 20 steps, 1 positives, contexts 1, contexts slide for 9 steps");
    CHECK(text({.name = "l", .local_windows = 2}) == "l: standard, 20 steps, local contexts of 2 windows");
    CHECK(text({.name = "b", .contrastive_weight = 0.5}) == "b: standard, 20 steps, 1 positives, contexts 1, InfoNCE 0.5");
}

TEST_CASE("every kind learns, and a model of one kind goes on as any other") {
    const std::vector<TokenDocument> text = documents(6, 200);
    Transformer<float> plain = small_model();
    const std::vector<double> first = train(plain, recipes()[0], text, 60);
    CHECK(first.back() < first.front() - 0.5);
    save_weights(folder / "plain.safetensors", plain.parameters());
    for (const LanguageModelRecipe& recipe : recipes()) {
        CAPTURE(recipe.name);
        if (recipe.integration == Integration::gated) continue;  // has a parameter of its own
        Transformer<float> model = small_model();
        load_weights(folder / "plain.safetensors", model.parameters());
        const std::vector<double> losses = train(model, recipe, text, 40);
        CHECK(losses.front() < first.front() - 0.4);
        CHECK(std::accumulate(losses.end() - 10, losses.end(), 0.0) / 10 < losses.front() + 0.05);  // what was learned is not lost
    }
}

TEST_CASE("an interrupted training of any kind goes on bitwise") {
    const std::vector<TokenDocument> text = documents(6, 100);  // documents end on the way
    for (const LanguageModelRecipe& recipe : recipes()) {
        CAPTURE(recipe.name);
        Transformer<float> through = small_model(recipe.integration), first = small_model(recipe.integration),
                           second = small_model(recipe.integration);
        const std::vector<double> losses = train(through, recipe, text, 20);
        const std::filesystem::path checkpoint = folder / (recipe.name + ".safetensors");
        std::vector<double> in_two = train(first, recipe, text, 9, checkpoint);
        const std::vector<double> rest = train(second, recipe, text, 20, checkpoint);
        in_two.insert(in_two.end(), rest.begin(), rest.end());
        CHECK(in_two == losses);
        CHECK(weights(second) == weights(through));
    }
}

TEST_CASE("a checkpoint of another batch or other documents is refused") {
    const std::vector<TokenDocument> text = documents(6, 100);
    for (const std::size_t kind : {std::size_t{1}, std::size_t{2}}) {
        const LanguageModelRecipe recipe = recipes()[kind];
        const std::filesystem::path checkpoint = folder / (recipe.name + "_refused.safetensors");
        Transformer<float> model = small_model(recipe.integration);
        train(model, recipe, text, 9, checkpoint);
        const auto resume = [&](const std::vector<TokenDocument>& documents, Index entries) {
            LanguageModelTraining<float> training(model, recipe, documents, {.entries = entries, .length = 8}, 5);
            Muon<float> optimizer(model.parameters(), {});
            Trainer<float> trainer(optimizer, {.steps = 20, .learning_rate = [](Index) { return 0.5; }, .checkpoint = checkpoint});
            training.keep(trainer);
            trainer.resume();
        };
        CHECK_THROWS_WITH_AS(resume(text, 4), doctest::Contains("a state of 3 entries, expected 4"), DataError);
        CHECK_THROWS_WITH_AS(resume({text[0], text[0], text[0]}, 3), doctest::Contains("more windows of document"), DataError);
        // A memory or states of another size than the rest of the file says.
        SafetensorsFile file(checkpoint);
        SafetensorsWriter writer;
        writer.metadata = file.metadata();
        std::map<std::string, std::vector<char>> bytes;
        for (const std::string& name : file.names()) {
            std::vector<Index> shape = file.shape(name);
            bytes[name].resize(static_cast<std::size_t>(file.count(name) * dtype_bytes(file.dtype(name))));
            file.read_bytes(name, bytes[name].data());
            if (name.ends_with("states") && !name.ends_with(".sizes")) shape = {shape.at(0) - 1};
            writer.add_bytes(name, file.dtype(name), shape, bytes[name].data());
        }
        writer.write(checkpoint);
        CHECK_THROWS_WITH_AS(resume(text, 3),
                             doctest::Contains(kind == 1 ? "kept states of 3 entries" : "read_memory: 3 kept memories with"),
                             DataError);
    }
}

TEST_CASE("the first loss of a kind is that of the same pass written out") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    const LanguageModelBatch batch{.entries = 3, .length = 8};
    LanguageModelTraining<float> training(model, recipes()[4], text, batch, 5);
    const double loss = training(0).loss;
    Random random(5);
    const auto pieces = sample_contexts<float>(text, {.entries = 3, .positives = 1, .length = 8}, random);
    Tape tape(Tape::inference);
    const ContextTable table = previous_contexts(3, 1, 0);
    const Tensor<float, 2> expected =
        token_nats(model.crossbatch(tape, {pieces.previous, pieces.current, table}).value(), pieces.targets);
    double sum = 0;
    for (const float nats : expected.storage()) sum += static_cast<double>(nats);
    CHECK(loss == doctest::Approx(sum / 24).epsilon(1e-5));
}

TEST_CASE("a packed recipe trains on all windows of its packs, the later ones with those before them as contexts") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    const LanguageModelRecipe recipe{
        .name = "packed", .kind = LanguageModelKind::crossbatch, .contexts = ContextSchedule::constant(3), .packing = 2};
    LanguageModelTraining<float> training(model, recipe, text, {.entries = 4, .length = 8}, 5);
    const double loss = training(0).loss;
    Random random(5);
    const auto packs = sample_packed<float>(text, {.entries = 4, .packing = 2, .length = 8}, random);
    Tape tape(Tape::inference);
    const ContextTable table = packed_contexts(4, 3, 2, true);
    CHECK(table.contexts == std::vector<std::vector<Index>>{{}, {0}, {}, {2, 1, 0}});
    const auto mean = [&](const Variable<float, 3>& logits) {
        const Tensor<float, 2> nats = token_nats(logits.value(), packs.targets);
        return std::accumulate(nats.begin(), nats.end(), 0.0) / 32;
    };
    CHECK(loss == doctest::Approx(mean(model.forward(tape, packs.current, PackedContexts<float>(table, 8)))));
    CHECK(std::abs(loss - mean(model.local(tape, packs.current))) > 1e-4);

    const auto refused = [&](LanguageModelRecipe odd, Index entries) {
        CAPTURE(entries);
        CHECK_THROWS_AS(LanguageModelTraining<float>(model, odd, text, {.entries = entries, .length = 8}, 5), Error);
    };
    refused(recipe, 3);   // no whole packs
    refused(recipe, 14);  // more documents than there are
    LanguageModelRecipe odd = recipe;
    odd.local_entries = 1;
    refused(odd, 4);
    odd = recipe;
    odd.kind = LanguageModelKind::standard;
    refused(odd, 4);
    odd = recipe;
    odd.packing = -1;
    refused(odd, 4);
}

TEST_CASE("a contrastive loss is added with its weight, once there are negatives") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    for (const LanguageModelKind kind : {LanguageModelKind::standard, LanguageModelKind::crossbatch})
        for (const Index contexts : {1, 4}) {
            LanguageModelRecipe recipe{.name = "contrast",
                                       .kind = kind,
                                       .contexts = ContextSchedule::at_steps({{0, contexts}, {1, 4}}),
                                       .contrastive_weight = 0.5};
            const auto first_loss = [&] {
                LanguageModelTraining<float> training(model, recipe, text, {.entries = 4, .length = 8}, 5);
                return training(0).loss;
            };
            const double with = first_loss();
            recipe.contrastive_weight = 0;
            const double without = first_loss();
            if (contexts == 1) {
                CHECK(with == without);
                continue;
            }
            Random random(5);
            const auto pieces = sample_contexts<float>(text, {.entries = 4, .positives = 1, .length = 8}, random);
            const ContextTable table = previous_contexts(4, 1, 3);
            Tape tape(Tape::inference);
            std::vector<LayerView<float>> seen;
            const Contexts<float> source(model.keys_and_values(tape, pieces.previous), table);
            model.forward(tape, pieces.current, ObservedSource<float>(source, seen));
            const float contrast = contrastive_loss(tape, seen[0].q, source.of_layer(1).k, table).value()(0);
            CHECK(with - without == doctest::Approx(0.5 * static_cast<double>(contrast)).epsilon(1e-4));
        }
}

TEST_CASE("entries without contexts are trained as the standard model") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    LanguageModelRecipe recipe = recipes()[4];
    recipe.local_entries = 2;
    LanguageModelTraining<float> training(model, recipe, text, {.entries = 3, .length = 8}, 5);
    const double loss = training(0).loss;
    Random random(5);
    const auto pieces = sample_contexts<float>(text, {.entries = 3, .positives = 1, .length = 8}, random);
    Tape tape(Tape::inference);
    const Tensor<float, 2> local = token_nats(model.local(tape, pieces.current).value(), pieces.targets),
                           remembering = token_nats(
                               model.crossbatch(tape, {pieces.previous, pieces.current, previous_contexts(3, 1, 0)}).value(),
                               pieces.targets);
    double sum = 0;
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 8; ++t) sum += static_cast<double>(b < 2 ? local(b, t) : remembering(b, t));
    CHECK(loss == doctest::Approx(sum / 24).epsilon(1e-5));
}

TEST_CASE("contexts that slide are the current windows in the first step, and from the last sliding step on those before") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    LanguageModelRecipe recipe = recipes()[4];
    recipe.sliding_steps = 2;
    LanguageModelTraining<float> training(model, recipe, text, {.entries = 3, .length = 8}, 5);
    Random random(5);
    for (const Index overlap : {8, 4, 0, 0}) {
        const auto pieces = sample_contexts<float>(text, {.entries = 3, .positives = 1, .length = 8, .overlap = overlap}, random);
        Tape tape(Tape::inference);
        const Tensor<float, 2> nats = token_nats(
            model.crossbatch(tape, {pieces.previous, pieces.current, previous_contexts(3, 1, 0)}).value(), pieces.targets);
        const Index step = overlap == 8 ? 0 : overlap == 4 ? 1 : 2;
        CHECK(training(step).loss == doctest::Approx(std::accumulate(nats.begin(), nats.end(), 0.0) / 24).epsilon(1e-5));
    }
}

TEST_CASE("a longer local context is trained on the text that crossbatch sees as previous and current context") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    LanguageModelTraining<float> training(model, {.name = "long", .local_windows = 2}, text, {.entries = 3, .length = 8}, 5);
    const StepResult result = training(0);
    CHECK(result.tokens == 48);
    Random random(5);
    const auto pieces = sample_contexts<float>(text, {.entries = 3, .positives = 1, .length = 8}, random);
    Tokens both = empty<std::int32_t, 2>({3, 16}), targets = both;
    for (Index b = 0; b < 3; ++b)
        for (Index t = 0; t < 16; ++t) {
            both(b, t) = t < 8 ? pieces.previous(b, t) : pieces.current(b, t - 8);
            if (t > 0) targets(b, t - 1) = both(b, t);
            if (t == 15) targets(b, t) = pieces.targets(b, 7);
        }
    Tape tape(Tape::inference);
    const Tensor<float, 2> nats = token_nats(model.local(tape, both).value(), targets);
    CHECK(result.loss == doctest::Approx(std::accumulate(nats.begin(), nats.end(), 0.0) / 48).epsilon(1e-5));
}

TEST_CASE("a walk stays for its windows, then goes on at another place with nothing remembered") {
    // One long document for each entry: the first window of a stay has the loss of the local context alone.
    const std::vector<TokenDocument> text = documents(3, 500);
    LanguageModelRecipe recipe{.name = "xl", .kind = LanguageModelKind::transformer_xl, .walk_windows = 1};
    Transformer<float> model = small_model(), same = small_model();
    const auto no_update = [&](Transformer<float>& of, const LanguageModelRecipe& with, Index steps) {
        LanguageModelTraining<float> training(of, with, text, {.entries = 3, .length = 8}, 5);
        std::vector<double> losses;
        for (Index step = 0; step < steps; ++step) losses.push_back(training(step).loss);
        return losses;
    };
    const std::vector<double> always_new = no_update(model, recipe, 6);
    recipe.kind = LanguageModelKind::memorizing;
    const std::vector<double> with_empty_memory = no_update(same, recipe, 6);
    for (std::size_t i = 0; i < 6; ++i) CHECK(always_new[i] == doctest::Approx(with_empty_memory[i]).epsilon(1e-6));
    recipe.walk_windows = 3;
    const std::vector<double> remembered = no_update(same, recipe, 6);
    recipe.kind = LanguageModelKind::transformer_xl;
    CHECK(no_update(model, recipe, 6) != remembered);
}

TEST_CASE("documents that share a memory go on with it when one of them ends") {
    const std::vector<TokenDocument> text = documents(3, 500);
    const auto losses = [&](Index sharers) {
        Transformer<float> model = small_model();
        LanguageModelTraining<float> training(
            model, {.name = "mt", .kind = LanguageModelKind::memorizing, .memory_tokens = 0, .sharers = sharers, .walk_windows = 1},
            text, {.entries = 3, .length = 8}, 5);
        return std::pair{training(0).loss, training(1).loss};
    };
    CHECK(losses(1).first == losses(3).first);  // nothing is remembered yet
    CHECK(losses(1).second != losses(3).second);
}

TEST_CASE("a recipe for another integration and too little text are refused") {
    Transformer<float> merged = small_model();
    const std::vector<TokenDocument> text = documents(3, 100), few = documents(2, 100);
    CHECK_THROWS_WITH_AS(LanguageModelTraining<float>(merged, recipes()[2], text, {.entries = 3, .length = 8}, 1),
                         "LanguageModelTraining: recipe 'mt' is not for a model that is merged", ConfigError);
    const auto refused = [&](const LanguageModelRecipe& recipe, const std::vector<TokenDocument>& documents, const char* why) {
        CHECK_THROWS_WITH(LanguageModelTraining<float>(merged, recipe, documents, {.entries = 3, .length = 8}, 1),
                          doctest::Contains(why));
    };
    refused(recipes()[4], few, "recipe 'crossbatch_1' needs 3 documents of 17 tokens or more at a time, there are 2");
    refused(recipes()[5], text, "recipe 'crossbatch_4_w2' needs 4 documents of 25 tokens or more at a time, there are 3");
    refused(recipes()[1], few, "RandomWalk: 2 of 2 documents have two tokens, expected 3 or more");
    LanguageModelRecipe odd = recipes()[4];
    odd.local_entries = 3;
    refused(odd, text, "recipe 'crossbatch_1' has 3 of 3 entries without contexts");
    odd = recipes()[4];
    odd.local_windows = 2;
    refused(odd, text, "has local contexts of 2 windows, expected 1, or more in standard training without a contrastive loss");
    refused({.name = "long", .local_windows = 3}, documents(3, 24),
            "needs 3 documents of 25 tokens or more at a time, there are 0");
    for (const double weight : {-1.0, std::nan("")}) {
        odd = recipes()[4];
        odd.contrastive_weight = weight;
        refused(odd, text, message("contrastive weight ", weight).c_str());
    }
    odd = recipes()[4];
    odd.contrastive_weight = 1;
    refused(odd, text, "has a contrastive loss of weight 1 and never more than one document: there is nothing to contrast");
    odd = recipes()[3];
    odd.contrastive_weight = 1;
    refused(odd, text, "a contrastive loss in standard and crossbatch training only");
    odd = recipes()[4];
    odd.sliding_steps = 4;
    CHECK_THROWS_WITH_AS(train_language_model(merged, odd, text, {.entries = 3, .length = 8}, 4),
                         "train_language_model: contexts slide for 4 steps, expected fewer than 4", ConfigError);
    odd = recipes()[0];
    odd.sliding_steps = 4;
    refused(odd, text, "has contexts that slide for 4 steps, expected 0 or more, in crossbatch that is not packed");
    odd = recipes()[6];
    odd.contexts = ContextSchedule::constant(4);
    refused(odd, text, "sees up to 4 windows before its own, of a batch of 3");
    odd = recipes()[4];
    odd.positives = -1;
    refused(odd, text, "has -1 positives");
    odd.positives = 0;
    odd.kind = LanguageModelKind::crossbatch;
    refused(odd, text, "has no positives, expected 1 or more");
    Random random(1);
    Transformer<float> without_memory({.vocabulary = 11, .width = 16, .layers = 2, .memory_layers = {}, .heads = 2}, random);
    CHECK_THROWS_WITH_AS(LanguageModelTraining<float>(without_memory, recipes()[4], text, {.entries = 3, .length = 8}, 1),
                         "LanguageModelTraining: recipe 'crossbatch_1' is of no use to a model without memory layers", ConfigError);
}

TEST_CASE("a memorizing recipe reads with its top_k, and keeps as many tokens as it says") {
    const std::vector<TokenDocument> text = documents(3, 500);
    Transformer<float> model = small_model();
    const auto fourth_loss = [&](Index memory_tokens, Index top_k) {
        LanguageModelTraining<float> training(
            model, {.name = "mt", .kind = LanguageModelKind::memorizing, .memory_tokens = memory_tokens, .top_k = top_k}, text,
            {.entries = 3, .length = 8}, 5);
        for (Index step = 0; step < 3; ++step) training(step);
        return training(3).loss;
    };
    CHECK(fourth_loss(0, 2) != fourth_loss(0, 1000));
    CHECK(fourth_loss(8, 1000) != fourth_loss(0, 1000));
}

TEST_CASE("constant previous contexts give other gradients") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    const auto gradients = [&](bool differentiable) {
        LanguageModelRecipe recipe = recipes()[4];
        recipe.differentiable = differentiable;
        zero_gradients(model.parameters());
        LanguageModelTraining<float>(model, recipe, text, {.entries = 3, .length = 8}, 5)(0);
        std::vector<float> all;
        for (const auto& p : model.parameters()) all.insert(all.end(), p.gradient().begin(), p.gradient().end());
        return all;
    };
    CHECK(gradients(true) != gradients(false));
}

TEST_CASE("with w = 2 and d = 2 an entry sees two positives and two negatives") {
    const std::vector<TokenDocument> text = documents(6, 100);
    Transformer<float> model = small_model();
    const LanguageModelRecipe recipe{
        .name = "w2", .kind = LanguageModelKind::crossbatch, .positives = 2, .contexts = ContextSchedule::constant(2)};
    const double loss = LanguageModelTraining<float>(model, recipe, text, {.entries = 3, .length = 8}, 5)(0).loss;
    Random random(5);
    const auto pieces = sample_contexts<float>(text, {.entries = 3, .pool = 3, .positives = 2, .length = 8}, random);
    Tape tape(Tape::inference);
    const Tensor<float, 2> nats =
        token_nats(model.crossbatch(tape, {pieces.previous, pieces.current, previous_contexts(3, 2, 2)}).value(), pieces.targets);
    CHECK(loss == doctest::Approx(std::accumulate(nats.begin(), nats.end(), 0.0) / 24).epsilon(1e-5));
}

TEST_CASE("every kind gives gradients") {
    const std::vector<TokenDocument> text = documents(6, 200);
    for (const LanguageModelRecipe& recipe : recipes()) {
        CAPTURE(recipe.name);
        Transformer<float> model = small_model(recipe.integration);
        zero_gradients(model.parameters());
        LanguageModelTraining<float>(model, recipe, text, {.entries = 3, .length = 8}, 5)(0);
        CHECK(global_norm(model.parameters()) > 0);
    }
}

TEST_CASE("train_language_model is the loop written out") {
    const std::vector<TokenDocument> text = documents(6, 200);
    Transformer<float> model = small_model(), by_hand = small_model();
    train_language_model(model, recipes()[4], text, {.entries = 3, .length = 8}, 6, 5);
    LanguageModelTraining<float> training(by_hand, recipes()[4], text, {.entries = 3, .length = 8}, 5);
    Muon<float> optimizer(by_hand.parameters());
    for (Index step = 0; step < 6; ++step) {
        zero_gradients(by_hand.parameters());
        training(step);
        optimizer.step(LearningRate::linear_decay(1, 3, 6).at(step));
    }
    CHECK(weights(model) == weights(by_hand));
}
