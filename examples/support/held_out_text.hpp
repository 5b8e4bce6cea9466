/// What the text programs train on, and what of a corpus a model has not seen and may be measured on.
///
/// A kept model says in its file on which corpus it was trained, how that was split, and a fingerprint of the documents together
/// and of each. Nothing is measured that a model, or one that it was continued from, was trained on, whatever its corpus is called.
///
/// Read first: support/text_options.hpp, fot/data/split.hpp.   Read next: support/text_models.hpp.
#pragma once

#include <set>

#include "fot/data/split.hpp"
#include "fot/train/checkpoint.hpp"
#include "named_corpus.hpp"
#include "text_options.hpp"

namespace fot::examples {

/// Documents in 16 hexadecimal digits: the same for the same names and tokens in the same order, another for others (by chance the
/// same once in 2^64). It is FNV-1a over the bytes of each name, its length, the four bytes of each token, lowest first, and their
/// number. What a token counts in the loss is not part of it.
std::string fingerprint(const std::vector<TokenDocument>& documents);

/// The same of each document's tokens alone, whatever its name is.
std::set<std::string> fingerprints(const std::vector<TokenDocument>& documents);

/// Makes sure that none of the documents is among those of these fingerprints, which `who` was trained on.
/// Errors: DataError that names the document.
void require_none_of(const std::set<std::string>& trained, const std::vector<Document>& documents, const std::string& who);

/// The documents of shortest_document bytes or more.
std::vector<Document> long_documents(std::vector<Document> documents);
/// The other documents.
std::vector<Document> short_documents(std::vector<Document> documents);

/// The corpus, split by document; the split is the same for every seed. Documents below `split_from` bytes are in no part.
CorpusSplit split_corpus(const TextSettings& settings);

/// The same without what is too short to be trained or measured on.   Errors: DataError if no test document is left.
CorpusSplit without_short_documents(CorpusSplit split);

/// What the text programs train and measure on.
inline CorpusSplit load_split(const TextSettings& settings) { return without_short_documents(split_corpus(settings)); }

/// A number that a file says of itself under this name.   Errors: FileError if it does not, or if it is none.
Index metadata_number(const std::filesystem::path& path, const Metadata& metadata, const std::string& name);

/// Text that a stored model has been trained on.
struct TrainedOn {
    std::string corpus;
    Index split_from = shortest_document;
    std::string text = {};            ///< fingerprint of the documents of its last training; empty: the file does not say
    std::set<std::string> each = {};  ///< fingerprints of each of them; likewise
};

/// All that a stored model has been trained on: that of its file, and after it, in the same file under names that begin with
/// "before.", that of the model that it was continued from, and so on.   Errors: FileError if the file is malformed.
std::vector<TrainedOn> trained_on(const std::filesystem::path& path);

/// Are these texts of the same folder, by its name or as that of a named corpus, and whatever of its files is taken?
bool same_folder(const std::string& a, const std::string& b);

/// Makes sure that a stored model has seen no validation or test document of this split, which is that of the settings.
/// Errors: ConfigError if it was trained on the same corpus split otherwise, or with other documents in it; DataError if it was
///         trained on a document of another corpus that is held out here.
void require_unseen(const std::filesystem::path& path, const TextSettings& settings, const CorpusSplit& split);

/// What a stored model may be measured on, of a corpus that it was trained on: the split of that training. Empty for other
/// corpora: all of them may.   Errors: as split_corpus and require_unseen.
std::optional<CorpusSplit> split_of_training(const std::filesystem::path& path, TextSettings settings);

}  // namespace fot::examples
