/// Models that learn to answer questions about stories: windows of text in which facts are hidden, and questions about them.
///
///     one_layer    one memory layer; asked where persons are and where things are
///     two_layers   the same with two memory layers
///     in_writing   one memory layer; the answer of where a thing is says first with whom it is
///
/// Half of the windows hold moves, the other half the things that are with the same persons. So no window holds both facts of a
/// question about a thing: if one did, the layers below the memory layer could join them in reading, and two hops would be one.
/// Every person moves once, because a memory without positions cannot learn which of several moves is the last.
///
/// While windows are shortest (a fact and five bytes of text), a question sees up to four of them, so that it pays from the first
/// step on to tell names apart.
///
/// Read first: fot/data/stories.hpp, support/lookup_training.hpp.   Read next: two_hops.cpp.
#pragma once

#include "fot/data/stories.hpp"
#include "lookup_training.hpp"
#include "passkey_documents.hpp"

namespace fot::examples {

/// A new model: its last layer, or the last two of one more, are memory layers. The memory is small, since the four heads share
/// their keys and values: an entry has 64 numbers.
inline Transformer<float> new_story_model(Index memory_layers, Random& random) {
    return Transformer<float>({.vocabulary = byte_vocabulary,
                               .width = 128,
                               .layers = 2 + memory_layers,
                               .memory_layers = consecutive(2, memory_layers),
                               .heads = 4,
                               .memory_heads = 4,
                               .key_heads = 1,
                               .feed_forward = 256},
                              random);
}

/// A piece of text for each window. Every window of a batch hides the same number of facts, drawn between one and as many as fit.
/// About `questions` of one kind are asked; each sees the windows with its facts, and others of them up to `contexts`. `hard`: as
/// in named_key_batch.
inline LookupBatch story_batch(const std::vector<TokenDocument>& text, const LengthAndBatch& windows, Index questions,
                               Index contexts, StoryQuestion kind, bool hard, Random& random) {
    const Index pairs = windows.batch / 2, facts = 1 + random.below(windows.length / fact_bytes),
                asked = std::clamp<Index>(questions / pairs, 1, facts);
    Index letters = hard ? 6 : 26;
    while (letters * letters * letters < pairs * facts) ++letters;
    const std::vector<Mover> persons = movers(std::vector<Index>(static_cast<std::size_t>(pairs * facts), 1), random, letters);

    const FormToFill any = question_about(persons[0], kind);
    const Index length = length_of(any.text) - 1, blanks = length_of(any.blanks);
    LookupBatch batch{{.previous = empty<std::int32_t, 2>({2 * pairs, windows.length}),
                       .current = empty<std::int32_t, 2>({pairs * asked, length}),
                       .table = {2 * pairs, {}, {}}},
                      empty<std::int32_t, 2>({pairs * asked, blanks})};
    for (const Index blank : any.blanks) batch.input.wanted.push_back(blank - 1);
    for (Index pair = 0; pair < pairs; ++pair) {
        std::vector<Mover> of_pair(persons.begin() + pair * facts, persons.begin() + (pair + 1) * facts);
        for (const bool moves : {true, false}) {
            std::vector<std::string> sentences;
            random.shuffle(of_pair);
            for (const Mover& person : of_pair) sentences.push_back(moves ? person.move(0) : person.possession());
            std::string bytes = text_of(piece_of_text(text, windows.length, random).tokens);
            hide_sentences(sentences, bytes, random);
            std::ranges::copy(byte_tokens(bytes), row(batch.input.previous, moves ? pair : pairs + pair));
        }
        std::vector<Index> seen{pair};
        if (kind != StoryQuestion::person) seen.push_back(pairs + pair);
        batch.input.table.positives.insert(batch.input.table.positives.end(), static_cast<std::size_t>(asked), length_of(seen));
        for (Index i = 1; i < 2 * pairs && length_of(seen) < contexts; ++i)
            if (const Index other = (pair + i) % (2 * pairs); std::ranges::count(seen, other) == 0) seen.push_back(other);
        batch.input.table.contexts.insert(batch.input.table.contexts.end(), static_cast<std::size_t>(asked), seen);
        for (Index i = 0; i < asked; ++i) {
            const FormToFill form = question_about(element(of_pair, i), kind);
            std::copy_n(byte_tokens(form.text).begin(), length, row(batch.input.current, pair * asked + i));
            for (Index j = 0; j < blanks; ++j)
                batch.targets(pair * asked + i, j) = static_cast<unsigned char>(element(form.text, element(form.blanks, j)));
        }
    }
    return batch;
}

/// A model trained under one of the names above, and its curriculum. It is kept in --output.
/// Errors: as train_lookup.
inline std::pair<Transformer<float>, Curriculum> trained_story_model(Example& example, const LookupTraining& settings,
                                                                     const std::string& name,
                                                                     const std::vector<TokenDocument>& text, std::uint64_t seed) {
    Random weights(seed);
    Transformer<float> model = new_story_model(name == "two_layers" ? 2 : 1, weights);
    const StoryQuestion two_hops = name == "in_writing" ? StoryQuestion::thing_in_writing : StoryQuestion::thing;
    constexpr Index shortest = fact_bytes + 5;
    const auto make_batch = [&](const LengthAndBatch& windows, bool late, Random& random) {
        const StoryQuestion kind = random.below(2) == 0 ? StoryQuestion::person : two_hops;
        const Index contexts = late ? windows.batch : windows.length == shortest ? Index(1) << random.below(3) : 1;
        LookupBatch batch = story_batch(text, windows, 128, contexts, kind, late && random.below(2) == 0, random);
        batch.awaited = name != "one_layer" || kind == StoryQuestion::person;  // two hops it will not learn
        return batch;
    };
    const Curriculum curriculum = train_lookup(example, settings, name, model, text, shortest, seed, make_batch);
    return {std::move(model), curriculum};
}

}  // namespace fot::examples
