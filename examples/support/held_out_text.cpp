#include "held_out_text.hpp"

#include <charconv>
#include <iomanip>
#include <iterator>
#include <sstream>

#include "fot/train/checkpoint.hpp"

namespace fot::examples {

std::string fingerprint(const std::vector<TokenDocument>& documents) {
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

std::set<std::string> fingerprints(const std::vector<TokenDocument>& documents) {
    std::set<std::string> all;
    for (const TokenDocument& document : documents) all.insert(fingerprint({{"", document.tokens}}));
    return all;
}

void require_none_of(const std::set<std::string>& trained, const std::vector<Document>& documents, const std::string& who) {
    if (trained.empty()) return;
    for (const Document& document : documents)
        require<DataError>(
            !trained.contains(fingerprint({{"", byte_tokens(document.text)}})), who, " was trained on '", document.name,
            "', which would be measured here: name the corpus as it was named in training, or take another --corpus");
}

std::vector<Document> long_documents(std::vector<Document> documents) {
    std::erase_if(documents, [](const Document& each) { return length_of(each.text) < shortest_document; });
    return documents;
}

std::vector<Document> short_documents(std::vector<Document> documents) {
    std::erase_if(documents, [](const Document& each) { return length_of(each.text) >= shortest_document; });
    return documents;
}

CorpusSplit split_corpus(const TextSettings& settings) {
    return split_documents(load_corpus(settings.corpus), settings.split_from, 0.15, 0.15, 7);
}

CorpusSplit without_short_documents(CorpusSplit split) {
    for (std::vector<Document>* part : {&split.train, &split.validation, &split.test}) *part = long_documents(*part);
    require<DataError>(!split.test.empty(), "none of the test documents has ", shortest_document, " bytes or more");
    return split;
}

Index metadata_number(const std::filesystem::path& path, const Metadata& metadata, const std::string& name) {
    const auto found = metadata.find(name);
    const std::string text = found == metadata.end() ? "" : found->second;
    Index value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    require<FileError>(failure == std::errc() && end == text.data() + text.size(), "'", path.string(), "': its ", name, " is '",
                       text, "', expected a number, as a program of examples/ writes it that trains on text");
    return value;
}

std::vector<TrainedOn> trained_on(const std::filesystem::path& path) {
    Metadata metadata = read_metadata(path);
    std::vector<TrainedOn> list;
    for (std::string before; metadata.contains(before + "corpus"); before += "before.") {
        std::istringstream each(metadata[before + "trained_documents"]);
        list.push_back({.corpus = metadata[before + "corpus"],
                        .text = metadata[before + "text"],
                        .each = {std::istream_iterator<std::string>(each), std::istream_iterator<std::string>()}});
        if (metadata.contains(before + "split_from"))
            list.back().split_from = metadata_number(path, metadata, before + "split_from");
    }
    return list;
}

bool same_folder(const std::string& a, const std::string& b) {
    const auto folder = [](const std::string& corpus) {
        const auto named = std::ranges::find(named_corpora(), corpus, &NamedCorpus::name);
        std::filesystem::path path = parse_corpus(corpus).first;
        if (named != named_corpora().end()) path = corpus_folder(*named);
        std::error_code failure;
        const std::filesystem::path canonical = std::filesystem::canonical(path, failure);
        return failure ? path : canonical;
    };
    return folder(a) == folder(b);
}

void require_unseen(const std::filesystem::path& path, const TextSettings& settings, const CorpusSplit& split) {
    const std::string of_long = fingerprint(byte_documents(long_documents(split.train))),
                      of_short = fingerprint(byte_documents(short_documents(split.train)));  // programs train on either
    for (const TrainedOn& before : trained_on(path)) {
        if (!same_folder(before.corpus, settings.corpus)) {
            for (const std::vector<Document>* part : {&split.validation, &split.test})
                require_none_of(before.each, *part, path.string());
            continue;
        }
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

std::optional<CorpusSplit> split_of_training(const std::filesystem::path& path, TextSettings settings) {
    for (const TrainedOn& before : trained_on(path))
        if (same_folder(before.corpus, settings.corpus)) {
            settings.split_from = before.split_from;
            CorpusSplit split = split_corpus(settings);
            require_unseen(path, settings, split);
            return without_short_documents(std::move(split));
        }
    return std::nullopt;
}

}  // namespace fot::examples
