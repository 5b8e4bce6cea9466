/// Where real text comes from: a folder of files, or the C++ headers that every machine with g++ has.
///
/// A corpus is a list of documents, and it is split by document: a document is trained on or measured on, never both, and
/// one that is nearly a copy of a training document is not measured on.
///
///     std::vector<Document> documents = corpus.empty() ? libstdcxx_documents() : load_corpus(corpus);
///     CorpusSplit split = split_documents(std::move(documents), 20'000, 0.15, 0.15, seed);
///
/// Source: the paper's GitHub data are the files of a repository joined to one document; a small repository is at hand here.
/// Read first: data/text.hpp.   Read next: data/documents.hpp.
#pragma once

#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "fot/core/random.hpp"
#include "fot/data/text.hpp"

namespace fot {

/// Whether a path matches a pattern: `?` is one character, `*` any number but no '/', `**` any number of folders,
/// `{hpp,h}` one of several. Errors: ConfigError for a '{' that is not closed.
inline bool glob_matches(std::string_view pattern, std::string_view path) {
    if (pattern.empty()) return path.empty();
    const std::string_view rest = pattern.substr(1);
    switch (pattern.front()) {
        case '{': {
            const std::size_t close = rest.find('}');
            require<ConfigError>(close != std::string_view::npos, "glob_matches: '{' is not closed in '", pattern, "'");
            std::istringstream alternatives{std::string(rest.substr(0, close))};
            for (std::string alternative; std::getline(alternatives, alternative, ',');)
                if (glob_matches(alternative + std::string(rest.substr(close + 1)), path)) return true;
            return false;
        }
        case '*': {
            const bool folders = rest.starts_with('*');
            if (folders && rest.starts_with("*/") && glob_matches(rest.substr(2), path)) return true;  // no folder at all
            for (std::size_t length = 0;; ++length) {
                if (glob_matches(folders ? rest.substr(1) : rest, path.substr(length))) return true;
                if (length == path.size() || (!folders && path[length] == '/')) return false;
            }
        }
        default:
            return !path.empty() && (pattern.front() == path.front() || (pattern.front() == '?' && path.front() != '/')) &&
                   glob_matches(rest, path.substr(1));
    }
}

/// All bytes of a file. Errors: FileError if it cannot be read.
inline std::string read_text(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
    require<FileError>(file.is_open() && !file.bad() && !text.bad(), "read_text: cannot read '", path.string(), "'");
    return std::move(text).str();
}

namespace detail {

/// Paths of the regular files below a folder, relative to it, with '/' between folders, sorted.
inline std::vector<std::string> files_below(const std::filesystem::path& folder) {
    std::vector<std::string> paths;
    constexpr auto options = std::filesystem::directory_options::skip_permission_denied;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, options))
        if (entry.is_regular_file()) paths.push_back(entry.path().lexically_relative(folder).generic_string());
    std::sort(paths.begin(), paths.end());
    return paths;
}

}  // namespace detail

/// The files of a folder and its subfolders as documents, one a file, named and sorted by their relative paths.
///
/// A pattern without '/' is held against base names, one with '/' against relative paths. Empty files and binary files (with a
/// zero byte: compressed ones, too) are passed over.
/// Errors: FileError if there is no such folder, nothing in it matches, what matches is empty or binary, or cannot be read.
inline std::vector<Document> load_directory(const std::string& folder, const std::string& pattern = "*") {
    require<FileError>(std::filesystem::is_directory(folder), "load_directory: there is no folder '", folder,
                       "'; expected DIR or DIR:GLOB with an existing DIR");
    std::vector<Document> documents;
    Index matching = 0;
    for (const std::string& path : detail::files_below(folder)) {
        const bool whole_path = pattern.find('/') != std::string::npos;
        if (!glob_matches(pattern, whole_path ? path : path.substr(path.rfind('/') + 1))) continue;
        ++matching;
        std::string text = read_text(std::filesystem::path(folder) / path);
        if (!text.empty() && text.find('\0') == std::string::npos) documents.push_back({path, std::move(text)});
    }
    require<FileError>(matching > 0, "load_directory: no file below '", folder, "' matches '", pattern,
                       "'; expected a pattern such as '*.txt' (base names) or 'src/**/*.{hpp,h}' (paths)");
    require<FileError>(!documents.empty(), "load_directory: the ", matching, " files below '", folder, "' that match '", pattern,
                       "' are all empty or binary; compressed files must be unpacked first");
    return documents;
}

/// "DIR" or "DIR:GLOB" as folder and pattern; without a pattern it is "*".
inline std::pair<std::string, std::string> parse_corpus(const std::string& corpus) {
    const std::size_t colon = corpus.rfind(':');
    if (colon == std::string::npos) return {corpus, "*"};
    return {corpus.substr(0, colon), colon + 1 < corpus.size() ? corpus.substr(colon + 1) : "*"};
}

/// The documents of "DIR[:GLOB]"; errors as for load_directory.
inline std::vector<Document> load_corpus(const std::string& corpus) {
    const auto [folder, pattern] = parse_corpus(corpus);
    return load_directory(folder, pattern);
}

/// C++ source without the comments at its head that hold a licence or an editor's mode line, which all files share.
inline std::string_view without_licence(std::string_view text) {
    for (;;) {
        text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
        std::size_t end = 0;
        if (text.starts_with("/*")) {
            end = text.find("*/");
            if (end == std::string_view::npos) return text;
            end += 2;
        } else {  // lines of // comments, with blank lines between them
            while (end < text.size()) {
                const std::size_t first = text.find_first_not_of(" \t\r\n", end);
                if (first == std::string_view::npos || text.substr(first, 2) != "//") break;
                end = std::min(text.find('\n', first), text.size());
            }
        }
        std::string comment(text.substr(0, end));
        std::transform(comment.begin(), comment.end(), comment.begin(),
                       [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
        const auto has = [&](const char* word) { return comment.find(word) != std::string::npos; };
        if (!has("copyright") && !has("license") && !has("-*-")) return text;
        text.remove_prefix(end);
    }
}

namespace detail {

/// Headers that are near-copies of others: debug and parallel twins, old and experimental editions.
inline bool is_libstdcxx_copy(std::string_view path) {
    for (const char* folder : {"debug/", "tr1/", "tr2/", "backward/", "ext/pb_ds/", "profile/", "decimal/"})
        if (path.starts_with(folder)) return true;
    for (const char* part :
         {"cow_", "vstring", "ext/random", "ext/simd", "stl_multi", "experimental/bits/fs", "experimental/bits/shared_ptr",
          "experimental/bits/lfts", "experimental/bits/string_view", "experimental/bits/erase"})
        if (path.find(part) != std::string_view::npos) return true;
    return path.ends_with("unordered_map.h") || path.ends_with("unordered_set.h");
}

/// The folder with the highest number below `base`; empty if there is none.
inline std::filesystem::path newest_version(const std::filesystem::path& base) {
    std::filesystem::path newest;
    double highest = 0;
    if (!std::filesystem::is_directory(base)) return newest;
    for (const auto& entry : std::filesystem::directory_iterator(base)) {
        const double version = std::strtod(entry.path().filename().string().c_str(), nullptr);
        if (entry.is_directory() && version > highest) {
            highest = version;
            newest = entry.path();
        }
    }
    return newest;
}

}  // namespace detail

/// The default corpus: the headers of g++'s standard library, about 7 MB, one document an idea.
///
/// Files that share the leading letters and digits of their names make one document (regex, regex.h, regex_automaton.h, ...:
/// "regex"), `parallel/` and `pstl/` one each. Near-copies are left out, and the licences at the heads of the files. `root` is the
/// folder with the headers; empty: the newest version below /usr/include/c++. Errors: FileError if there are none, with the command
/// that gets them.
inline std::vector<Document> libstdcxx_documents(std::string root = "") {
    const std::string asked = root.empty() ? "/usr/include/c++/<version>" : root;
    if (root.empty()) root = detail::newest_version("/usr/include/c++").string();
    std::map<std::string, std::string> texts;
    if (!root.empty() && std::filesystem::is_directory(root))
        for (const std::string& path : detail::files_below(root)) {
            if (detail::is_libstdcxx_copy(path)) continue;
            const std::string name = path.substr(path.rfind('/') + 1);
            std::string stem =
                name.substr(0, static_cast<std::size_t>(std::find_if_not(name.begin(), name.end(),
                                                                         [](unsigned char c) { return std::isalnum(c) != 0; }) -
                                                        name.begin()));
            for (const char* folder : {"parallel", "pstl"})
                if (path.starts_with(folder + std::string("/"))) stem = folder;
            if (!stem.empty()) texts[stem] += without_licence(read_text(std::filesystem::path(root) / path));
        }
    require<FileError>(!texts.empty(), "libstdcxx_documents: no C++ headers in '", asked,
                       "'; get them with: apt-get install g++   (or name another corpus: DIR[:GLOB])");
    std::vector<Document> documents;
    for (auto& [name, text] : texts) documents.push_back({name, std::move(text)});
    return documents;
}

/// The three parts of a corpus. Choose on validation, report on test.
struct CorpusSplit {
    std::vector<Document> train, validation, test;
    std::vector<std::string> dropped;  ///< names of documents too like one of an earlier part
};

namespace detail {

/// The distinct lines of 40 characters and more, without the white space around them.
inline std::unordered_set<std::string_view> long_lines(std::string_view text) {
    std::unordered_set<std::string_view> lines;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
        line = line.substr(0, line.find_last_not_of(" \t\r") + 1);
        if (line.size() >= 40) lines.insert(line);
    }
    return lines;
}

}  // namespace detail

/// Splits a corpus by document, in a random order that the seed decides; documents below `min_bytes` are left out.
///
/// The shares are shares of the documents, rounded, at least one document each if above 0. A validation document is dropped if it
/// shares more than half of its long lines (40 characters and more) with one training document, a test document if with one
/// training or validation document.
/// Errors: ConfigError unless the shares are >= 0 and below 1 together; DataError if a part would be empty.
inline CorpusSplit split_documents(std::vector<Document> documents, Index min_bytes, double validation_share, double test_share,
                                   std::uint64_t seed) {
    require<ConfigError>(validation_share >= 0 && test_share >= 0 && validation_share + test_share < 1, "split_documents: shares ",
                         validation_share, " and ", test_share, ", expected 0 or more and below 1 together");
    const std::size_t all = documents.size();
    std::erase_if(documents, [&](const Document& document) { return static_cast<Index>(document.text.size()) < min_bytes; });
    const auto part = [&](double share) {
        const double size = std::round(share * static_cast<double>(documents.size()));
        return share > 0 ? std::max<Index>(1, static_cast<Index>(size)) : 0;
    };
    const Index test = part(test_share), validation = part(validation_share),
                train = static_cast<Index>(documents.size()) - test - validation;
    require<DataError>(train >= 1, "split_documents: ", documents.size(), " of ", all, " documents have ", min_bytes,
                       " bytes or more, too few for training beside ", validation, " for validation and ", test, " for test");
    Random random(seed);
    random.shuffle(documents);

    CorpusSplit split;
    std::unordered_map<std::string, std::vector<Index>> seen_in;  // long line -> documents of earlier parts that have it
    for (Index i = 0; i < static_cast<Index>(documents.size()); ++i) {
        Document& document = documents[static_cast<std::size_t>(i)];
        const bool trained_on = i < train, for_test = i >= train + validation;
        const auto lines = detail::long_lines(document.text);
        std::unordered_map<Index, std::size_t> shared;  // earlier document -> number of common lines
        std::size_t most = 0;
        for (const std::string_view line : lines) {
            const auto found = seen_in.find(std::string(line));
            if (found == seen_in.end()) continue;
            for (const Index other : found->second)
                if (!trained_on && (other < train || for_test) && other < train + validation)
                    most = std::max(most, ++shared[other]);
        }
        if (2 * most > lines.size()) {
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
