/// The options of the programs that train on text.
///
/// Read first: support/example.hpp.   Read next: support/held_out_text.hpp, support/text_models.hpp.
#pragma once

#include "example.hpp"

namespace fot::examples {

/// Bytes of the shortest document that the text programs train or measure on.
inline constexpr Index shortest_document = 20000;

/// What the text programs have in common.
struct TextSettings {
    std::string corpus = "libstdcxx";
    Index split_from = shortest_document;  // bytes of the shortest document that is split: other documents, another split
    std::string models = {};               // folder of trained models; empty: --output
    Index steps = 0, batch = 16, length = 128, contexts = 0, width = 128, layers = 3, heads = 4, memory_heads = 1;
    Index places = 0;        // of each held-out document, a window each, that are measured
    Index walk_windows = 4;  // of a document that mt and xl read in order in training
    double learning_rate = 1;
    bool unnormalized_heads = false;  // scores <q, k> / sqrt(D), as in LLaMA, in place of cosines over a temperature
};

/// Declares the options of every program that trains on text; `steps` differ from program to program.
inline void add_text_options(Example& example, TextSettings& settings, const Scaled<Index>& steps, const Scaled<Index>& contexts) {
    example.option("--corpus", settings.corpus, "libstdcxx, boost, books, latex, proofs, or DIR[:GLOB], one file one document");
    example.option("--models", settings.models, "folder of trained models, which programs can share; empty: --output");
    example.option("--steps", settings.steps, steps, "training steps of each model", 1);
    example.option("--contexts", settings.contexts, contexts, "contexts at the end of crossbatch training", 1);
    example.option("--batch", settings.batch, "documents in a batch", 1);
    example.option("--length", settings.length, "local context, bytes").within(1, shortest_document / 2 - 1);
    example.option("--width", settings.width, "model width", 1);
    example.option("--layers", settings.layers, "layers; the last one is the memory layer", 1);
    example.option("--memory-heads", settings.memory_heads, "heads of the memory layer", 1);
    example.option("--learning-rate", settings.learning_rate, "factor on the learning rates of the optimiser");
    example.flag("--unnormalized-heads", settings.unnormalized_heads, "queries and keys of any length, without a temperature");
}

/// Those of them, and of programs that add to them, that only a training asks for.
inline std::vector<std::string> training_options() {
    return {"--models",
            "--steps",
            "--contexts",
            "--batch",
            "--length",
            "--width",
            "--layers",
            "--memory-heads",
            "--learning-rate",
            "--walk-windows",
            "--unnormalized-heads",
            "--contrastive-weight",
            "--sliding-steps"};
}

/// Those of programs that compare models.
inline void add_comparison_options(Example& example, TextSettings& settings, Scaled<Index> places = {1, 16, 32}) {
    example.add_seeds_option();
    example.option("--places,--queries", settings.places, places, "places measured in each test document", 1);
}

/// That of programs with models that read documents in order.
inline void add_walk_option(Example& example, TextSettings& settings) {
    example.option("--walk-windows", settings.walk_windows, "windows that mt and xl read of a document before they move on", 1);
}

/// What the intervals of a comparison are over.
inline const char* intervals_over(const Example& example) {
    return example.seeds().size() >= 3 ? "median, and 95 % interval of the mean over seeds" : "95 % interval over documents";
}

}  // namespace fot::examples
