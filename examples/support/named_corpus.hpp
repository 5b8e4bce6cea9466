/// Text that every machine can have: five corpora by name, each with the one command that gets it.
///
///     libstdcxx   code: the headers of g++'s standard library, no download; one document per idea (the paper's GitHub data)
///     boost       code: one document per library, much larger
///     books       works that are out of copyright (PG-19)
///     latex       manuals of scientific packages, as sources (arXiv)
///     proofs      theories of the HOL Light proof assistant (Isabelle)
///
/// Near-copies within a corpus (old editions, generated variants, translations) are left out by name; fot/data/split.hpp looks for
/// the rest. Downloads are looked for in a folder `data` of the current folder.
///
/// Source: paper section 5.1 and appendix H use the kinds of text in brackets; these are small ones of the same kind.
/// Read first: fot/data/corpus.hpp.   Read next: fot/data/split.hpp.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fot/data/corpus.hpp"

namespace fot::examples {

/// What makes one document: a file, a top folder, or the files whose names begin with the same letters and digits.
enum class DocumentUnit { file, folder, stem };

/// Where a corpus is, what of it is read, and what makes one document.
struct NamedCorpus {
    std::string name;                             ///< on the command line
    std::string folder;                           ///< below the data folder unless it begins with '/'
    std::string pattern;                          ///< of paths relative to the folder
    std::vector<std::string> excluded;            ///< parts of "/" + path
    DocumentUnit unit = DocumentUnit::file;       ///< what makes one document
    std::vector<std::string> whole_folders = {};  ///< top folders that are one document each, whatever the unit
    bool source_code = false;                     ///< licences at the heads of files are cut off
    std::string cut_before = {};                  ///< a line that begins so begins a new document
    std::string command;                          ///< gets it, run in the folder of the data folder
};

/// The corpora that have a name.
const std::vector<NamedCorpus>& named_corpora();

/// C++ source without the comments at its head that hold a licence or an editor's mode line, which all files share.
std::string_view without_licence(std::string_view text);

namespace detail {

/// The folder with the highest number below `base`; empty if there is none, or `base` cannot be read.
std::filesystem::path newest_version(const std::filesystem::path& base);

}  // namespace detail

/// The documents of a named corpus that lies in `folder`, sorted by name, each cut at 1 MB.
/// Errors: FileError if nothing is there, with the command that gets it, or if something of it cannot be read.
std::vector<Document> load_named_corpus(const NamedCorpus& corpus, const std::filesystem::path& folder);

/// Where a named corpus is looked for.
std::filesystem::path corpus_folder(const NamedCorpus& corpus, const std::filesystem::path& data = "data");

/// "DIR" or "DIR:GLOB" as folder and pattern; without a pattern it is "*". A folder that is there may have a colon in its name.
std::pair<std::string, std::string> parse_corpus(const std::string& corpus);

/// The documents of a named corpus, or of "DIR[:GLOB]", one file one document; what is passed over is reported on the standard log.
/// A folder with the name of a corpus is "./NAME".
///
/// Errors: FileError as load_named_corpus and load_directory say.
std::vector<Document> load_corpus(const std::string& corpus);

}  // namespace fot::examples
