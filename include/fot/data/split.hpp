/// A corpus in three parts, by document.
///
///     CorpusSplit split = split_documents(load_directory("essays"), 20'000, 0.15, 0.15, seed);
///
/// A document is trained on or measured on, never both. A document that is nearly a copy of a training document is not measured on:
/// a memory or a model that has seen the original would find the answer there.
///
/// Read first: data/text.hpp.   Read next: data/documents.hpp.
#pragma once

#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "fot/core/random.hpp"
#include "fot/data/text.hpp"

namespace fot {

/// The three parts of a corpus. Choose on validation, report on test.
struct CorpusSplit {
    std::vector<Document> train;       ///< to learn from
    std::vector<Document> validation;  ///< to choose by
    std::vector<Document> test;        ///< to report on
    std::vector<std::string> dropped;  ///< names of documents too like one of an earlier part
};

namespace detail {

/// The distinct lines of 40 characters and more, without the white space around them. A text without any is a line as a whole.
inline std::unordered_set<std::string_view> long_lines(std::string_view text) {
    std::unordered_set<std::string_view> lines;
    const std::string_view whole = text;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
        line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
        if (line.size() >= 40) lines.insert(line);
    }
    if (lines.empty()) lines.insert(whole);
    return lines;
}

}  // namespace detail

/// Splits a corpus by document, in a random order that the seed decides; documents below `min_bytes` are left out.
///
/// The shares are shares of the documents, rounded, at least one document each if above 0. A validation document is dropped if it
/// shares more than half of its long lines (40 characters and more) with one training document, a test document if with one
/// training or validation document. Of documents without long lines exact copies are dropped.
/// Errors: ConfigError unless the shares are >= 0 and below 1 together; DataError if a part would be empty.
inline CorpusSplit split_documents(std::vector<Document> documents, Index min_bytes, double validation_share, double test_share,
                                   std::uint64_t seed) {
    require<ConfigError>(validation_share >= 0 && test_share >= 0 && validation_share + test_share < 1, "split_documents: shares ",
                         validation_share, " and ", test_share, ", expected 0 or more and below 1 together");
    const std::size_t all = documents.size();
    std::erase_if(documents, [&](const Document& document) { return length_of(document.text) < min_bytes; });
    const auto part = [&](double share) {
        const double size = std::round(share * static_cast<double>(documents.size()));
        return share > 0 ? std::max<Index>(1, static_cast<Index>(size)) : 0;
    };
    const Index test = part(test_share), validation = part(validation_share), train = length_of(documents) - test - validation;
    require<DataError>(train >= 1, "split_documents: ", documents.size(), " of ", all, " documents have ", min_bytes,
                       " bytes or more, too few for training beside ", validation, " for validation and ", test, " for test");
    Random random(seed);
    random.shuffle(documents);

    CorpusSplit split;
    std::unordered_map<std::string, std::vector<Index>> seen_in;  // long line -> documents of earlier parts that have it
    for (Index i = 0; i < length_of(documents); ++i) {
        Document& document = element(documents, i);
        const bool trained_on = i < train, for_test = i >= train + validation;
        const auto lines = detail::long_lines(document.text);
        std::unordered_map<Index, std::size_t> shared;  // earlier document -> number of common lines
        std::size_t most = 0;
        for (const std::string_view line : lines)
            for (const Index other : seen_in[std::string(line)])
                if (!trained_on && (other < train || for_test)) most = std::max(most, ++shared[other]);
        if (2 * most > lines.size()) {  // of a training document 0: those may be alike
            split.dropped.push_back(document.name);
            continue;
        }
        if (!for_test)
            for (const std::string_view line : lines) seen_in[std::string(line)].push_back(i);
        (trained_on ? split.train : for_test ? split.test : split.validation).push_back(std::move(document));
    }
    require<DataError>((validation == 0 || !split.validation.empty()) && (test == 0 || !split.test.empty()),
                       "split_documents: all of the ", validation, " validation or the ", test,
                       " test documents are near-copies of training documents");
    return split;
}

}  // namespace fot
