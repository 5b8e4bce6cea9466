/// What the text programs train on, and what of a corpus a model has not seen and may be measured on.
///
/// A kept model says in its file on which corpus it was trained, how that was split, and a fingerprint of the documents. Nothing is
/// measured that a model, or one that it was continued from, may have been trained on.
///
/// Read first: support/text_options.hpp, fot/data/split.hpp.   Read next: support/text_models.hpp.
#pragma once

#include <charconv>
#include <iomanip>
#include <sstream>

#include "fot/data/split.hpp"
#include "fot/train/checkpoint.hpp"
#include "named_corpus.hpp"
#include "text_options.hpp"

namespace fot::examples {

/// Documents in 16 hexadecimal digits: the same for the same names and tokens in the same order, another for others (by chance the
/// same once in 2^64). It is FNV-1a over the bytes of each name, its length, the four bytes of each token, lowest first, and their
/// number. What a token counts in the loss is not part of it.
inline std::string fingerprint(const std::vector<TokenDocument>& documents) {
    std::uint64_t hash = 0xcbf29ce484222325;
    const auto add = [&](std::uint64_t number, int bytes) {
        for (int i = 0; i < bytes; ++i) hash = (hash ^ (number >> (8 * i) & 0xff)) * 0x100000001b3;
    };
    for (const TokenDocument& document : documents) {
        for (const char letter : document.source) add(static_cast<unsigned char>(letter), 1);
        add(document.source.size(), 8);
        for (const std::int32_t token : document.tokens) add(static_cast<std::uint32_t>(token), 4);
        add(document.tokens.size(), 8);
    }
    std::ostringstream text;
    text << std::hex << std::setw(16) << std::setfill('0') << hash;
    return text.str();
}

/// The documents of shortest_document bytes or more.
inline std::vector<Document> long_documents(std::vector<Document> documents) {
    std::erase_if(documents, [](const Document& each) { return length_of(each.text) < shortest_document; });
    return documents;
}
/// The other documents.
inline std::vector<Document> short_documents(std::vector<Document> documents) {
    std::erase_if(documents, [](const Document& each) { return length_of(each.text) >= shortest_document; });
    return documents;
}

/// The corpus, split by document; the split is the same for every seed. Documents below `split_from` bytes are in no part.
inline CorpusSplit split_corpus(const TextSettings& settings) {
    return split_documents(load_corpus(settings.corpus), settings.split_from, 0.15, 0.15, 7);
}

/// The same without what is too short to be trained or measured on.   Errors: DataError if no test document is left.
inline CorpusSplit without_short_documents(CorpusSplit split) {
    for (std::vector<Document>* part : {&split.train, &split.validation, &split.test}) *part = long_documents(*part);
    require<DataError>(!split.test.empty(), "none of the test documents has ", shortest_document, " bytes or more");
    return split;
}

/// What the text programs train and measure on.
inline CorpusSplit load_split(const TextSettings& settings) { return without_short_documents(split_corpus(settings)); }

/// A number that a file says of itself under this name.   Errors: FileError if it does not, or if it is none.
inline Index metadata_number(const std::filesystem::path& path, const Metadata& metadata, const std::string& name) {
    const auto found = metadata.find(name);
    const std::string text = found == metadata.end() ? "" : found->second;
    Index value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    require<FileError>(failure == std::errc() && end == text.data() + text.size(), "'", path.string(), "': its ", name, " is '",
                       text, "', expected a number, as a program of examples/ writes it that trains on text");
    return value;
}

/// Text that a stored model has been trained on.
struct TrainedOn {
    std::string corpus;
    Index split_from = shortest_document;
    std::string text = {};  ///< fingerprint of the documents of its last training; empty: the file does not say
};

/// All that a stored model has been trained on: that of its file, and after it, in the same file under names that begin with
/// "before.", that of the model that it was continued from, and so on.   Errors: FileError if the file is malformed.
inline std::vector<TrainedOn> trained_on(const std::filesystem::path& path) {
    Metadata metadata = read_metadata(path);
    std::vector<TrainedOn> list;
    for (std::string before; metadata.contains(before + "corpus"); before += "before.") {
        list.push_back({.corpus = metadata[before + "corpus"], .text = metadata[before + "text"]});
        if (metadata.contains(before + "split_from"))
            list.back().split_from = metadata_number(path, metadata, before + "split_from");
    }
    return list;
}

/// Makes sure that a stored model has seen no validation or test document of this split, which is that of the settings.
/// Errors: ConfigError if it was trained on the same corpus split otherwise, or with other documents in it.
inline void require_unseen(const std::filesystem::path& path, const TextSettings& settings, const CorpusSplit& split) {
    const std::string of_long = fingerprint(byte_documents(long_documents(split.train))),
                      of_short = fingerprint(byte_documents(short_documents(split.train)));  // programs train on either
    for (const TrainedOn& before : trained_on(path)) {
        if (before.corpus != settings.corpus) continue;
        require<ConfigError>(before.split_from == settings.split_from, path.string(), ": was trained on ", before.corpus,
                             " split from documents of ", before.split_from, " bytes on, here it is split from those of ",
                             settings.split_from,
                             " on: some of what it has seen would be measured. Take another --corpus, or a model of this program");
        require<ConfigError>(before.text.empty() || before.text == of_long || before.text == of_short, path.string(),
                             ": was trained on other text than the ", before.corpus,
                             " that is here now: some of what it has seen could be measured. Take the text that it was trained on, "
                             "or another --corpus");
    }
}

/// What a stored model may be measured on, of a corpus that it was trained on: the split of that training. Empty for other
/// corpora: all of them may.   Errors: as split_corpus and require_unseen.
inline std::optional<CorpusSplit> split_of_training(const std::filesystem::path& path, TextSettings settings) {
    for (const TrainedOn& before : trained_on(path))
        if (before.corpus == settings.corpus) {
            settings.split_from = before.split_from;
            CorpusSplit split = split_corpus(settings);
            require_unseen(path, settings, split);
            return without_short_documents(std::move(split));
        }
    return std::nullopt;
}

}  // namespace fot::examples
