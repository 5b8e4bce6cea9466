/// A folder of text as documents, one document per file.
///
///     std::vector<Document> documents = load_directory("essays", "**/*.{txt,txt.gz}");
///
/// Files that are not text are passed over and counted, so that one stray archive does not stop a training run and does not go
/// unnoticed either.
///
/// Read first: data/text.hpp.   Read next: data/split.hpp.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>

#include "fot/data/text.hpp"

#ifdef FOT_WITH_ZLIB
#include <zlib.h>
#endif

namespace fot {

namespace detail {

/// What glob patterns match, one character or group after another. `reached[j]`: what was taken of the pattern so far matches the
/// first j characters of the path.
inline std::vector<bool> glob_reached(std::string_view pattern, std::string_view path, std::vector<bool> reached) {
    const std::size_t size = path.size();
    while (!pattern.empty()) {
        std::vector<bool> next(size + 1, false);
        std::size_t taken = 1;
        if (pattern.starts_with("**/")) {  // no folder at all, or as many as there are
            taken = 3;
            const std::vector<bool> inside = glob_reached("**", path, reached);
            next = reached;
            for (std::size_t j = 1; j <= size; ++j) next[j] = reached[j] || (inside[j - 1] && path[j - 1] == '/');
        } else if (pattern.front() == '*') {
            const bool folders = pattern.starts_with("**");
            taken = folders ? 2 : 1;
            for (std::size_t j = 0; j <= size; ++j)
                next[j] = reached[j] || (j > 0 && next[j - 1] && (folders || path[j - 1] != '/'));
        } else if (pattern.front() == '{') {
            std::size_t begin = 1, depth = 1;  // of an alternative; a group in it comes to its turn with it
            for (; depth > 0; ++taken) {
                require<ConfigError>(taken < pattern.size(), "glob_matches: '{' is not closed in '", pattern, "'");
                if (pattern[taken] == '{') ++depth;
                if (pattern[taken] == '}') --depth;
                if (depth > 1 || (depth == 1 && pattern[taken] != ',')) continue;
                const std::vector<bool> one = glob_reached(pattern.substr(begin, taken - begin), path, reached);
                std::transform(one.begin(), one.end(), next.begin(), next.begin(), std::logical_or<>());
                begin = taken + 1;
            }
        } else {
            for (std::size_t j = 0; j < size; ++j)
                next[j + 1] = reached[j] && (pattern.front() == '?' ? path[j] != '/' : path[j] == pattern.front());
        }
        reached = std::move(next);
        pattern.remove_prefix(taken);
    }
    return reached;
}

}  // namespace detail

/// Whether a path matches a pattern: `?` is one character, `*` any number but no '/', `**` any number of folders,
/// `{hpp,h}` one of several.
///
/// Cost:   pattern times path.   Errors: ConfigError for a '{' that is not closed.
inline bool glob_matches(std::string_view pattern, std::string_view path) {
    std::vector<bool> begin(path.size() + 1, false);
    begin[0] = true;
    return detail::glob_reached(pattern, path, std::move(begin)).back();
}

namespace detail {

/// The unpacked bytes of a gzip file.
/// Errors: FileError if it cannot be read, is damaged or ends too early.
inline std::string unpacked_gzip(const std::filesystem::path& path) {
#ifdef FOT_WITH_ZLIB
    std::unique_ptr<gzFile_s, decltype(&gzclose_r)> file(gzopen(path.c_str(), "rb"), gzclose_r);
    require<FileError>(file != nullptr, "read_text: cannot read '", path.string(), "'");
    std::string text, block(1 << 16, '\0');
    int bytes = 0;
    while ((bytes = gzread(file.get(), block.data(), static_cast<unsigned>(block.size()))) > 0)
        text.append(block, 0, static_cast<std::size_t>(bytes));
    const bool packed = gzdirect(file.get()) == 0;  // else zlib hands on the bytes as they are
    const int failure = gzclose_r(file.release());  // Z_BUF_ERROR: the file ended within the stream
    require<FileError>(bytes == 0 && failure == Z_OK && (packed || text.empty()), "read_text: '", path.string(),
                       "' is not a whole gzip file");
    return text;
#else
    throw FileError(message("read_text: '", path.string(), "' is gzipped; this program was built without zlib, get it with: ",
                            "apt-get install zlib1g-dev   (and configure again)"));
#endif
}

}  // namespace detail

/// All bytes of a file; those in a file whose name ends in .gz or .GZ, unpacked.
/// Errors: FileError if it cannot be read or unpacked.
inline std::string read_text(const std::filesystem::path& path) {
    if (path.extension() == ".gz" || path.extension() == ".GZ") return detail::unpacked_gzip(path);
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    if (file.peek() != std::ifstream::traits_type::eof()) text << file.rdbuf();
    require<FileError>(file.is_open() && !file.bad() && !text.bad(), "read_text: cannot read '", path.string(), "'");
    return std::move(text).str();
}

/// How many files or folders were passed over, by reason.
using PassedOver = std::map<std::string, Index>;

/// "3 binary, 1 in UTF-16"
inline std::string passed_over_text(const PassedOver& passed_over) {
    std::string text;
    for (const auto& [reason, count] : passed_over) text += message(text.empty() ? "" : ", ", count, " ", reason);
    return text;
}

/// Paths of the regular files below a folder, relative to it, with '/' between folders, sorted. Broken links are left out,
/// and links to folders are not followed.
/// Errors: FileError if a folder cannot be read to its end; but one without permission is passed over.
inline std::vector<std::string> files_below(const std::filesystem::path& folder, PassedOver* passed_over = nullptr) {
    std::vector<std::string> paths;
    std::error_code failure, no_file;
    std::filesystem::recursive_directory_iterator entry(folder, std::filesystem::directory_options::skip_permission_denied,
                                                        failure);
    for (; !failure && entry != std::filesystem::recursive_directory_iterator(); entry.increment(failure)) {
        if (entry->is_regular_file(no_file)) paths.push_back(entry->path().lexically_relative(folder).generic_string());
        if (!passed_over || !entry->is_directory(no_file)) continue;
        if (entry->is_symlink(no_file))
            ++(*passed_over)["linked folders"];
        else if (access(entry->path().c_str(), R_OK | X_OK) != 0)
            ++(*passed_over)["folders without permission"];
    }
    require<FileError>(!failure, "files_below: cannot read '", folder.string(), "': ", failure.message());
    std::sort(paths.begin(), paths.end());
    return paths;
}

namespace detail {

/// Why a file is no document; empty if it is one. Reads it to `text`.
inline std::string reason_to_pass_over(const std::filesystem::path& path, std::string& text) {
    const std::string name = path.filename().string();
    for (const char* ending : {".tar.gz", ".tgz", ".tar", ".zip"})
        if (name.ends_with(ending)) return "archives";
    if (access(path.c_str(), R_OK) != 0) return "without permission";
    text = read_text(path);
    if (text.empty()) return "empty";
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) return "in UTF-16";
    return text.find('\0') == std::string::npos ? "" : "binary";
}

}  // namespace detail

/// The files of a folder and its subfolders as documents, one per file, named and sorted by their relative paths.
///
/// A pattern without '/' is held against base names, one with '/' against relative paths. Gzipped files, *.gz, are unpacked. Passed
/// over, and counted in `passed_over`, are files that are empty, binary (with a zero byte), in UTF-16, archives or without
/// permission.
/// Errors: FileError if there is no such folder, nothing in it matches, all that matches is passed over, or cannot be read.
inline std::vector<Document> load_directory(const std::string& folder, const std::string& pattern = "*",
                                            PassedOver* passed_over = nullptr) {
    std::error_code no_folder;
    require<FileError>(std::filesystem::is_directory(folder, no_folder), "load_directory: there is no folder '", folder,
                       "'; expected DIR or DIR:GLOB with an existing DIR");
    std::vector<Document> documents;
    PassedOver counts;
    Index matching = 0;
    for (const std::string& path : files_below(folder, &counts)) {
        const bool whole_path = pattern.find('/') != std::string::npos;
        if (!glob_matches(pattern, whole_path ? path : path.substr(path.rfind('/') + 1))) continue;
        ++matching;
        std::string text;
        if (const std::string reason = detail::reason_to_pass_over(std::filesystem::path(folder) / path, text); !reason.empty())
            ++counts[reason];
        else
            documents.push_back({path, std::move(text)});
    }
    require<FileError>(matching > 0, "load_directory: no file below '", folder, "' matches '", pattern,
                       "'; expected a pattern such as '*.txt' (base names) or 'src/**/*.{hpp,h}' (paths)");
    require<FileError>(!documents.empty(), "load_directory: the ", matching, " files below '", folder, "' that match '", pattern,
                       "' are all passed over: ", passed_over_text(counts));
    if (passed_over) *passed_over = std::move(counts);
    return documents;
}

}  // namespace fot
