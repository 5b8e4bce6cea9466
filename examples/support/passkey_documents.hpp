/// What `passkey` trains on: prompts that hide keys, their filler, and text; and which of them see each other.
///
/// In the mixture every second entry is a prompt. Of the entries between, every other one is filler of such prompts, the rest are
/// text.
///
/// Read first: fot/data/passkey.hpp, fot/attention/contexts.hpp.   Read next: support/passkey_training.hpp.
#pragma once

#include "fot/attention/contexts.hpp"
#include "fot/data/passkey.hpp"
#include "fot/data/text.hpp"

namespace fot::examples {

/// What an entry of the mixture is; otherwise text.
inline bool is_prompt(Index entry) { return entry % 2 == 0; }
inline bool is_filler(Index entry) { return entry % 4 == 1; }

/// Bytes that are learned, but not counted as answers. The loss is a mean within each row, so only the ratios of the weights in a
/// row matter.
inline TokenDocument unasked(TokenDocument document) {
    document.loss_mask.assign(document.tokens.size(), 0.5f);
    return document;
}

/// A prompt of any length that ends in the last window. If it is too long, its front is cut off, but not its key. Where there are
/// previous windows, the sentences with the key lie across two windows in a third of the prompts: in a long prompt they often do.
/// What is asked for is the answer, and the key where it stands a second time.
inline TokenDocument prompt_document(Index length, Index windows, Random& random) {
    const Index most = windows * length - 7, least = std::max(shortest_passkey_prompt(), (windows - 1) * length + 48);
    const bool across = windows > 1 && random.below(3) == 0;
    for (;;) {
        const PasskeyPrompt prompt = passkey_prompt(least + random.below(std::max<Index>(most - least, length / 2)), random);
        const Index size = length_of(prompt.text), cut = std::clamp<Index>(size - most, 0, prompt.key_at),
                    begin = prompt.key_at - cut, end = begin + prompt.key_size - 1;
        if (size - cut > most || (across && begin / length == end / length)) continue;
        TokenDocument document{"prompt", byte_tokens(prompt.text.substr(static_cast<std::size_t>(cut)) + prompt.answer + ".")};
        document.loss_mask.assign(document.tokens.size(), 1);
        std::fill_n(document.loss_mask.begin(), size - cut, 0.02f);
        std::fill_n(document.loss_mask.begin() + prompt.again_at - cut, prompt.answer.size(), 1.0f);
        return document;
    }
}

/// The filler of a prompt from a random place on.
inline TokenDocument filler_document(Index bytes, Random& random) {
    const std::string prompt = passkey_prompt(4 * bytes + 1000, random).text;
    for (;;) {
        const Index first = 100 + random.below(3 * bytes);
        const std::string text(prompt.begin() + first, prompt.begin() + first + bytes);
        if (text.find("key") == std::string::npos) return unasked({"filler", byte_tokens(text)});
    }
}

/// A piece of a document from a random place on.
inline TokenDocument piece_of_text(const std::vector<TokenDocument>& text, Index bytes, Random& random) {
    const TokenDocument& whole = element(text, random.below(length_of(text)));
    const auto first = whole.tokens.begin() + random.below(whole.length() - bytes + 1);
    return unasked({whole.source, {first, first + bytes}});
}

/// Documents of `windows` windows and a byte, one an entry. `only_prompts`: no text, no filler.
inline std::vector<TokenDocument> passkey_documents(const std::vector<TokenDocument>& text, Index entries, Index length,
                                                    Index windows, bool only_prompts, Random& random) {
    std::vector<TokenDocument> documents;
    for (Index b = 0; b < entries; ++b)
        documents.push_back(only_prompts || is_prompt(b) ? prompt_document(length, windows, random)
                            : is_filler(b)               ? filler_document(windows * length + 1, random)
                                                         : piece_of_text(text, windows * length + 1, random));
    return documents;
}

/// The windows of documents, one after another: each with the byte that follows it, which it predicts.
inline std::vector<TokenDocument> windows_of(const std::vector<TokenDocument>& documents, Index length) {
    std::vector<TokenDocument> windows;
    for (const TokenDocument& whole : documents)
        for (Index first = 0; first + 1 < whole.length(); first += length) {
            const Index last = std::min(first + length + 1, whole.length());
            windows.push_back({whole.source,
                               {whole.tokens.begin() + first, whole.tokens.begin() + last},
                               {whole.loss_mask.begin() + first, whole.loss_mask.begin() + last}});
        }
    return windows;
}

/// Every entry sees its own `previous` windows. In the mixture a prompt sees the last one of the next entries without a key too, so
/// that it sees `contexts` documents: more filler, as in a longer prompt, but no other key, which it could not tell from its own.
/// An entry of filler or text sees as many documents of any kind. Every second entry of text sees none, so that the model stays
/// good without a memory.
inline ContextTable passkey_contexts(Index entries, Index previous, Index contexts) {
    ContextTable table = previous_contexts(entries, previous, 0);
    for (Index b = 0; b < entries; ++b) {
        std::vector<Index>& list = element(table.contexts, b);
        for (Index i = 1; length_of(list) < previous - 1 + contexts; ++i)
            if (const Index other = (b + i) % entries; !is_prompt(b) || !is_prompt(other)) list.push_back(other);
        if (b % 8 != 7) continue;
        list.clear();
        element(table.positives, b) = 0;
    }
    return table;
}

}  // namespace fot::examples
