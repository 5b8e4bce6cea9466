/// A memory as it stands at one moment, and windows that are predicted with it: ways to search it are compared on these.
///
/// Nothing is appended while it is measured. So an index is built once, all ways answer the same queries, and what differs between
/// two of them is the search's doing.
///
///     text         the beginnings of all test documents and, before them, other documents; the windows that follow are predicted
///     dictionary   definitions; the answers to questions about some of them are predicted
///
/// Read first: support/memory_models.hpp, fot/model/memory_source.hpp.   Read next: support/search_measures.hpp.
#pragma once

#include "example.hpp"
#include "fot/data/evaluation_dictionary.hpp"
#include "fot/measure/perplexity.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot::examples {

/// A window that is predicted.
struct SnapshotWindow {
    Index document;        ///< it belongs to this one, and intervals are over documents
    Variable<float, 3> x;  ///< (1,T,E) what comes into the memory layer
    Variable<float, 4> q;  ///< (1,T',H,D) what the memory layer asks, with the temperature in it
    Tokens targets;        ///< (1,T')
};

/// A model, its memory and what is asked of it. The model must outlive the snapshot.
struct MemorySnapshot {
    const Transformer<float>& model;
    Index layer = model.config().last_memory_layer();
    std::vector<Index> wanted = {};  ///< places in a window that are predicted; none: all
    MemoryState<float> state{model.config(), 1};
    std::vector<SnapshotWindow> windows = {};

    const KeyValueMemory<float>& memory() const { return state.memory(layer, 0); }

    /// Adds windows (W,T) to the memory.
    void remember(const Tokens& tokens, Index document) {
        Tape tape(Tape::inference);
        const KeysAndValues<float> seen = element(model.keys_and_values(tape, tokens), layer);
        for (Index i = 0; i < extent(tokens, 0); ++i) state.memory(layer, 0).append(seen.k.value(), seen.v.value(), i, document);
    }

    /// Adds a window (1,T) that is predicted.
    void ask(const Tokens& tokens, Tokens targets, Index document) {
        Tape tape(Tape::inference);
        const NoSource<float> none;
        const Variable<float, 3> x = model.layers(tape, model.embed(tape, tokens), 0, layer, none);
        windows.push_back({document, x, model.layer(layer).view(tape, x, none, wanted).q, std::move(targets)});
    }

    /// Logits of a window with a source of further keys.
    Tensor<float, 3> logits(const SnapshotWindow& window, const Source<float>& source) const {
        Tape tape(Tape::inference);
        return model.head(tape, model.layers(tape, window.x, layer, model.config().layers, source, wanted)).value();
    }
};

/// How a memory of text is filled and asked.
struct TextSnapshotOptions {
    Index tokens = 131072;  ///< M
    Index own = 8192;       ///< of each test document that are remembered, the beginning
    Index places = 8;       ///< windows that are predicted after that
    Index window = 128;

    /// A document to be measured: something is left to predict after what is remembered.
    bool is_long_enough(const TokenDocument& document) const { return document.length() > own + places * window; }
};

/// The tokens of other documents that a memory of text holds, M less the beginnings of the test documents that are long enough.
/// Errors: DataError if no test document is long enough, the others are too short to fill the memory, or the beginnings do not fit.
inline Index tokens_of_others(const std::vector<TokenDocument>& test, const std::vector<TokenDocument>& others,
                              const TextSnapshotOptions& options) {
    const Index tokens = options.tokens, own = options.own, places = options.places, window = options.window;
    const Index measured = std::ranges::count_if(test, [&](const TokenDocument& each) { return options.is_long_enough(each); });
    require<DataError>(measured > 0, "text_snapshot: none of ", test.size(), " test documents has more than ",
                       own + places * window, " bytes");
    require<DataError>(own % window == 0, "text_snapshot: ", own,
                       " bytes of each document are remembered, expected whole windows of ", window);
    const Index left = tokens - measured * own;
    require<DataError>(left >= 0, "text_snapshot: the beginnings of ", measured, " documents, ", own,
                       " tokens each, do not fit into a memory of ", tokens, " tokens");
    Index missing = left;
    for (const TokenDocument& document : others) missing -= std::min(missing, document.length()) / window * window;
    require<DataError>(missing < window, "text_snapshot: ", missing, " tokens of ", tokens,
                       " are missing: the other documents are too short");
    return left;
}

/// A memory of text: M tokens, of which the last are the beginnings of the test documents.   Errors: as tokens_of_others.
inline MemorySnapshot text_snapshot(const Transformer<float>& model, const std::vector<TokenDocument>& test,
                                    const std::vector<TokenDocument>& others, const TextSnapshotOptions& options) {
    const Index own = options.own, places = options.places, window = options.window;
    Index left = tokens_of_others(test, others, options);
    const auto part = [&](const TokenDocument& document, Index first, Index count, Index width) {
        return reshaped<2>(
            token_row(std::span(document.tokens).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count * width))),
            {count, width});
    };
    MemorySnapshot snapshot{model};
    const auto remember = [&](const TokenDocument& document, Index length, Index number) {
        for (Index first = 0, count = 0; first + window <= length; first += count * window) {
            count = std::min<Index>((length - first) / window, 16);
            snapshot.remember(part(document, first, count, window), number);
        }
    };
    for (const TokenDocument& document : others) {
        const Index length = std::min(left, document.length()) / window * window;
        remember(document, length, -1);
        left -= length;
    }
    for (Index i = 0; i < length_of(test); ++i) {
        const TokenDocument& document = element(test, i);
        if (!options.is_long_enough(document)) continue;
        remember(document, own, i);
        for (Index first = own; first < own + places * window; first += window)
            snapshot.ask(part(document, first, 1, window), part(document, first + 1, 1, window), i);
    }
    return snapshot;
}

/// A memory of `tokens` definitions, and about `asked` questions.   Errors: as EvaluationDictionary.
inline MemorySnapshot dictionary_snapshot(const Transformer<float>& model, const EvaluationDictionary& dictionary, Index tokens,
                                          Index asked, std::uint64_t seed) {
    MemorySnapshot snapshot{.model = model, .wanted = answer_positions(dictionary.task())};
    const Index windows = dictionary.windows_for(tokens), group = 16;
    for (Index first = 0; first < windows; first += group)
        snapshot.remember(dictionary.windows(first, std::min(group, windows - first)), 0);
    Random random(seed);
    const DictionaryBatch<float> batch = dictionary.questions<float>(dictionary.sample_questions(tokens, asked, random));
    const Tokens targets = take_positions(batch.targets, snapshot.wanted);
    for (Index i = 0; i < extent(batch.current, 0); ++i) snapshot.ask(slice<0>(batch.current, i, 1), slice<0>(targets, i, 1), i);
    return snapshot;
}

/// The keys of head h of a snapshot's memory, (M,D).
inline Tensor<float, 2> keys_of(const MemorySnapshot& snapshot, Index h) {
    Tensor<float, 2> keys = empty<float, 2>({snapshot.memory().size(), snapshot.memory().width()});
    snapshot.memory().for_each_block(h, [&](const auto& block, const auto&, Index entry) {
        std::copy_n(block.data, block.rows * block.columns, row(keys, entry));
    });
    return keys;
}

/// Bits per byte of all windows with a source.
inline PerplexityMeter prediction(const MemorySnapshot& snapshot, const Source<float>& source) {
    PerplexityMeter meter;
    for (const SnapshotWindow& window : snapshot.windows) {
        stop_if_interrupted("trained models are kept; the same command measures again");
        const Tensor<float, 2> nats = token_nats(snapshot.logits(window, source), window.targets);
        meter.add(window.document, std::accumulate(nats.begin(), nats.end(), 0.0), extent(nats, 1));
    }
    return meter;
}

/// The share of right answers of all windows with a source.
inline Proportion right_answers(const MemorySnapshot& snapshot, const Source<float>& source) {
    Proportion right;
    for (const SnapshotWindow& window : snapshot.windows) {
        stop_if_interrupted("trained models are kept; the same command measures again");
        right.add_each(correct_predictions(snapshot.logits(window, source), window.targets));
    }
    return right;
}

}  // namespace fot::examples
