/// Models that learn to look up keys that have names: windows of text in which keys are hidden, and questions about them.
///
///     fot           crossbatch: a question sees the window that holds its key, in the end other windows too
///     one_context   the same without the other windows: no negatives
///     base          window and question are one local context; it never meets a memory
///
/// How they learn it is told in support/lookup_training.hpp.
///
/// Read first: fot/data/named_passkeys.hpp, support/lookup_training.hpp.   Read next: passkey_in_text.cpp.
#pragma once

#include "fot/data/named_passkeys.hpp"
#include "lookup_training.hpp"
#include "passkey_documents.hpp"

namespace fot::examples {

/// A new model: its last layer is the memory layer.
inline Transformer<float> new_named_passkey_model(Random& random) {
    return Transformer<float>(
        {.vocabulary = byte_vocabulary, .width = 128, .layers = 4, .heads = 4, .memory_heads = 2, .feed_forward = 352}, random);
}

/// A piece of text for each window. Every window of a batch hides the same number of keys, drawn between one and as many as fit.
/// About `questions` are asked; each sees `contexts` windows, the one with its key first. `hard`: names are spelled with as few
/// letters as suffice, but six or more; other keys are then hard negatives by construction.
inline LookupBatch named_key_batch(const std::vector<TokenDocument>& text, const LengthAndBatch& windows, Index questions,
                                   Index contexts, bool hard, Random& random) {
    const Index keys = 1 + random.below(windows.length / named_key_bytes()),
                asked = std::clamp<Index>(questions / windows.batch, 1, keys);
    Index letters = hard ? 6 : 26;
    while (letters * letters * letters < windows.batch * keys) ++letters;
    std::vector<NamedKey> hidden = named_keys(windows.batch * keys, random, letters);

    const Index question = length_of(hidden[0].question()), answer = length_of(hidden[0].answer());
    LookupBatch batch{{.previous = empty<std::int32_t, 2>({windows.batch, windows.length}),
                       .current = empty<std::int32_t, 2>({windows.batch * asked, question + answer - 1}),
                       .table = {windows.batch, {}, {}}},
                      empty<std::int32_t, 2>({windows.batch * asked, answer})};
    for (Index i = 0; i < answer; ++i) batch.input.wanted.push_back(question - 1 + i);
    const ContextTable seen = previous_contexts(windows.batch, 1, contexts - 1);
    for (Index window = 0; window < windows.batch; ++window) {
        std::span<NamedKey> of_window(&element(hidden, window * keys), static_cast<std::size_t>(keys));
        std::string bytes = text_of(piece_of_text(text, windows.length, random).tokens);
        hide_keys(of_window, bytes, random);
        std::ranges::copy(byte_tokens(bytes), row(batch.input.previous, window));
        random.shuffle(of_window);
        for (Index i = 0; i < asked; ++i) {
            const NamedKey& key = element(of_window, i);
            const std::vector<std::int32_t> tokens = byte_tokens(key.question() + key.answer());
            std::copy_n(tokens.begin(), question + answer - 1, row(batch.input.current, window * asked + i));
            std::copy_n(tokens.begin() + question, answer, row(batch.targets, window * asked + i));
            batch.input.table.contexts.push_back(element(seen.contexts, window));
            batch.input.table.positives.push_back(1);
        }
    }
    return batch;
}

/// The same as local contexts: each question after the window with its key.
inline LookupBatch in_one_piece(const LookupBatch& batch) {
    const auto& [previous, current, table, wanted, differentiable] = batch.input;
    const Index entries = extent(current, 0), before = extent(previous, 1);
    LookupBatch whole{{.previous = empty<std::int32_t, 2>({0, before}),
                       .current = empty<std::int32_t, 2>({entries, before + extent(current, 1)}),
                       .table = no_contexts(entries),
                       .wanted = wanted},
                      batch.targets};
    for (Index& position : whole.input.wanted) position += before;
    for (Index i = 0; i < entries; ++i) {
        std::copy_n(row(previous, element(table.contexts, i)[0]), before, row(whole.input.current, i));
        std::copy_n(row(current, i), extent(current, 1), row(whole.input.current, i) + before);
    }
    return whole;
}

/// A model trained under one of the names above, and its curriculum. It is kept in --output.
/// Errors: as train_lookup.
inline std::pair<Transformer<float>, Curriculum> trained_named_passkey_model(Example& example, const LookupTraining& settings,
                                                                             const std::string& name,
                                                                             const std::vector<TokenDocument>& text,
                                                                             std::uint64_t seed) {
    Random weights(seed);
    Transformer<float> model = new_named_passkey_model(weights);
    const auto make_batch = [&](const LengthAndBatch& windows, bool late, Random& random) {
        const bool hard = late && random.below(2) == 0;
        const Index questions = name == "base" ? 32 : 64,  // then steps cost about the same
            contexts = late && name == "fot" ? windows.batch : 1;
        const LookupBatch batch = named_key_batch(text, windows, questions, contexts, hard, random);
        return name == "base" ? in_one_piece(batch) : batch;
    };
    const Curriculum curriculum = train_lookup(example, settings, name, model, text, 40, seed, make_batch);
    return {std::move(model), curriculum};
}

}  // namespace fot::examples
