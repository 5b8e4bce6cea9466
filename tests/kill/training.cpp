// A training that keeps a checkpoint every few steps and writes a result at its end, to be killed at any moment (kill.sh).
//
//     killed_training FOLDER            trains on from what FOLDER holds; leaves model.safetensors and losses.csv
//     killed_training FOLDER --rewrite  only writes, weights.safetensors and results.csv again and again, until it is killed
//     killed_training FOLDER --check    reads all of these that are there, and fails unless they are whole
#include <cstdio>
#include <fot/fot.hpp>
#include <fstream>
#include <string>

#include "support/table.hpp"

using namespace fot;

namespace {

constexpr Index steps = 1500, measured_every = 50;

/// Documents that repeat a few words of their own.
std::vector<TokenDocument> documents() {
    Random random(1);
    std::vector<TokenDocument> all(12);
    for (TokenDocument& document : all) {
        std::int32_t word[4];
        for (std::int32_t& letter : word) letter = static_cast<std::int32_t>(random.below(10));
        for (Index t = 0; t < 2000; ++t) document.tokens.push_back(random.uniform() < 0.1 ? 10 : word[t % 4]);
    }
    return all;
}

/// A megabyte of weights and some rows of results, all of which say how often they were written before.
constexpr Index rewritten_weights = 1 << 18, rewritten_rows = 2000;

[[noreturn]] void rewrite(const std::filesystem::path& folder) {
    for (Index round = 0;; ++round) {
        const Tensor<float, 1> weights = full<float, 1>({rewritten_weights}, static_cast<float>(round));
        SafetensorsWriter writer;
        writer.add("weights", weights);
        writer.write(folder / "weights.safetensors");
        examples::Table results({"row", "round"});
        for (Index row = 0; row < rewritten_rows; ++row) results.add(row, round);
        write_text_file(folder / "results.csv", results.csv());
    }
}

void check_rewritten(const std::filesystem::path& folder) {
    if (std::filesystem::exists(folder / "weights.safetensors")) {
        const SafetensorsFile file(folder / "weights.safetensors");
        Tensor<float, 1> weights = empty<float, 1>({rewritten_weights});
        file.read_into("weights", weights.data(), rewritten_weights);
        for (const float weight : weights.storage())
            require<FileError>(weight == weights(0), "weights.safetensors holds numbers of two rounds");
    }
    std::ifstream file(folder / "results.csv");
    if (!file) return;
    std::string line, first_round;
    std::getline(file, line);
    require<FileError>(line == "row,round", "results.csv begins with '", line, "'");
    Index rows = 0;
    for (; std::getline(file, line); ++rows) {
        const std::size_t comma = std::min(line.find(','), line.size());
        if (rows == 0) first_round = line.substr(comma);
        require<FileError>(line == message(rows, first_round), "results.csv has '", line, "' in row ", rows);
    }
    require<FileError>(rows == rewritten_rows, "results.csv has ", rows, " rows");
}

int check(const std::filesystem::path& folder) {
    check_rewritten(folder);
    if (std::filesystem::exists(folder / "model.safetensors")) read_metadata(folder / "model.safetensors");
    std::ifstream file(folder / "losses.csv");
    if (!file) return 0;
    Index lines = 0;
    std::string line, last;
    while (std::getline(file, line)) {
        ++lines;
        last = line;
    }
    require<FileError>(lines == 2 + steps / measured_every && last == "end", "losses.csv has ", lines, " lines, the last is '",
                       last, "'");
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    require<ConfigError>(argc >= 2, "usage: killed_training FOLDER [--rewrite | --check]");
    const std::filesystem::path folder = argv[1];
    const std::string mode = argc > 2 ? argv[2] : "";
    if (mode == "--check") return check(folder);
    if (mode == "--rewrite") rewrite(folder);
    require<ConfigError>(mode.empty(), "unknown option ", mode);
    set_threads(1);
    Random random(2);
    Transformer<float> model(
        {.vocabulary = 11, .width = 32, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 1, .feed_forward = 64},
        random);
    Muon<float> optimizer(model.parameters(), {});
    const std::vector<TokenDocument> text = documents();
    // A memory, places in the text, a schedule: all that a checkpoint can hold.
    LanguageModelTraining<float> training(model,
                                          {.name = "mt", .kind = LanguageModelKind::memorizing, .memory_tokens = 100, .top_k = 4},
                                          text, {.entries = 4, .length = 16}, 3);
    std::vector<double> losses(steps / measured_every, 0.0);
    Trainer<float> trainer(optimizer,
                           {.steps = steps,
                            .learning_rate = [](Index step) { return LearningRate::linear_decay(1, 20, steps).at(step); },
                            .checkpoint = folder / "model.safetensors",
                            .checkpoint_every_seconds = 0.02,
                            .metadata = {{"program", "killed_training"}},
                            .progress =
                                [&](const TrainingProgress& at) {
                                    losses[static_cast<std::size_t>((at.steps_done - 1) / measured_every)] += at.loss;
                                }});
    training.keep(trainer);
    for (std::size_t i = 0; i < losses.size(); ++i) trainer.keep(message("losses.", i), losses[i]);
    trainer.resume();
    trainer.run(training);
    std::string csv = "steps,loss\n";
    for (std::size_t i = 0; i < losses.size(); ++i)
        csv += message((static_cast<Index>(i) + 1) * measured_every, ",", losses[i] / measured_every, "\n");
    write_text_file(folder / "losses.csv", csv + "end\n");
    return 0;
} catch (const std::exception& problem) {
    std::fprintf(stderr, "error: %s\n", problem.what());
    return 1;
}
