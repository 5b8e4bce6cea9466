/// A folder of text as documents, one a file.
///
///     std::vector<Document> documents = load_directory("essays", "**/*.{txt,txt.gz}");
///
/// Read first: data/text.hpp.   Read next: data/named_corpus.hpp (folders that every machine can have), data/split.hpp.
#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>

#include "fot/data/text.hpp"

#ifdef FOT_WITH_ZLIB
#include <zlib.h>
#endif

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

namespace detail {

/// The unpacked bytes of a gzip file. Errors: FileError if it cannot be read, is damaged or ends too early.
inline std::string unpacked_gzip(const std::filesystem::path& path) {
#ifdef FOT_WITH_ZLIB
    gzFile file = gzopen(path.c_str(), "rb");
    require<FileError>(file != nullptr, "read_text: cannot read '", path.string(), "'");
    std::string text, block(1 << 16, '\0');
    int bytes = 0;
    while ((bytes = gzread(file, block.data(), static_cast<unsigned>(block.size()))) > 0)
        text.append(block, 0, static_cast<std::size_t>(bytes));
    const int failure = gzclose_r(file);  // Z_BUF_ERROR: the file ended within the stream
    require<FileError>(bytes == 0 && failure == Z_OK, "read_text: '", path.string(), "' is no whole gzip file");
    return text;
#else
    throw FileError(message("read_text: '", path.string(), "' is gzipped; this program was built without zlib, get it with: ",
                            "apt-get install zlib1g-dev   (and configure again)"));
#endif
}

}  // namespace detail

/// All bytes of a file; those in a file whose name ends in .gz, unpacked. Errors: FileError if it cannot be read or unpacked.
inline std::string read_text(const std::filesystem::path& path) {
    if (path.extension() == ".gz") return detail::unpacked_gzip(path);
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
/// zero byte) are passed over; gzipped ones, *.gz, are unpacked.
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
                       "' are all empty or binary");
    return documents;
}

}  // namespace fot
