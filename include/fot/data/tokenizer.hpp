/// Text to tokens and back, for models that are not trained here: bytes, or the SentencePiece model of a LLaMA checkpoint with the
/// special tokens that the files beside it add.
///
/// SentencePiece's own library does the work, if the program is compiled with FOT_WITH_SENTENCEPIECE and linked with it.
///
/// Read first: data/text.hpp.   Read next: examples/long_llama_generate.cpp.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#if defined(FOT_WITH_SENTENCEPIECE)
#include <sentencepiece_processor.h>
#endif

#include "fot/data/text.hpp"
#include "fot/files/json_file.hpp"

namespace fot {

/// Turns text into token numbers, and token numbers into text.
struct Tokenizer {
    std::function<std::vector<std::int32_t>(const std::string&)> encode;  ///< the tokens of a text
    std::function<std::string(const std::vector<std::int32_t>&)> decode;  ///< back.   Errors: DataError for a token of no text
};

namespace detail {

/// What the files beside a tokenizer.model say.
struct TokenizerFiles {
    std::map<std::string, std::int32_t> added;  ///< tokens beyond the model's, or special ones, by their text
    bool begin = true, end = false;             ///< the mark of the beginning comes first, that of the end last
    bool legacy = true;                         ///< text after a special token begins as a text does, with a space
};

/// Reads added_tokens.json and tokenizer_config.json, if they are there.   Errors: FileError if one is malformed.
inline TokenizerFiles tokenizer_files(const std::filesystem::path& folder) {
    TokenizerFiles files;
    std::error_code ignored;
    const std::filesystem::path added = folder / "added_tokens.json", config = folder / "tokenizer_config.json";
    if (std::filesystem::exists(added, ignored)) {
        const OwnedJson ids = read_json_object(added);
        for (const auto& [text, id] : ids->items())
            files.added[text] = static_cast<std::int32_t>(value_of<Index>(id, message(added.string(), ": '", text, "'")));
    }
    if (!std::filesystem::exists(config, ignored)) return files;
    const OwnedJson owned = read_json_object(config);
    const nlohmann::json& json = *owned;
    const auto flag = [&](const char* name, bool otherwise) {
        return json.contains(name) && json[name].is_boolean() ? json[name].get<bool>() : otherwise;
    };
    files = {std::move(files.added), flag("add_bos_token", true), flag("add_eos_token", false), flag("legacy", true)};
    if (const auto list = json.find("added_tokens_decoder"); list != json.end() && list->is_object())
        for (const auto& [id, token] : list->items()) {
            const bool right = !id.empty() && id.size() < 10 && id.find_first_not_of("0123456789") == std::string::npos &&
                               token.is_object() && token.contains("content") && token["content"].is_string();
            require<FileError>(right, config.string(), ": added_tokens_decoder has the entry '", id,
                               "', expected an id and an object with a text 'content'");
            files.added[token["content"].get<std::string>()] = std::stoi(id);
        }
    return files;
}

#if defined(FOT_WITH_SENTENCEPIECE)

/// SentencePiece's model, and the special tokens that may be spelled out in a text. As the tokenizer of Hugging Face that is
/// written in Python does: a text is cut at special tokens, the longest at each place, and what lies between is encoded as a text
/// of its own.
class SentencePieceTokenizer {
   public:
    explicit SentencePieceTokenizer(const std::filesystem::path& path) : files_(tokenizer_files(path.parent_path())) {
        const auto status = model_.Load(path.string());
        require<FileError>(status.ok(), path.string(), ": is no SentencePiece model: ", status.ToString(), what_it_is(path));
        for (const int id : {model_.unk_id(), model_.bos_id(), model_.eos_id()})
            if (id >= 0) files_.added[model_.IdToPiece(id)] = id;
    }

    std::vector<std::int32_t> encode(const std::string& text) const {
        std::vector<std::int32_t> tokens;
        if (files_.begin && model_.bos_id() >= 0) tokens.push_back(model_.bos_id());
        for (std::size_t begin = 0, at = 0; begin < text.size();) {
            const std::string* special = at < text.size() ? special_at(text, at) : nullptr;
            if (!special && at < text.size()) {
                ++at;
                continue;
            }
            if (at > begin) append(encoded(text.substr(begin, at - begin), begin > 0 && !files_.legacy), tokens);
            if (special) tokens.push_back(files_.added.at(*special));
            begin = at += special ? special->size() : 0;
        }
        if (files_.end && model_.eos_id() >= 0) tokens.push_back(model_.eos_id());
        return tokens;
    }

    /// A token that is neither the model's nor added, as there are where a vocabulary was rounded up, is shown by its number:
    /// <32007>.
    std::string decode(const std::vector<std::int32_t>& tokens) const {
        std::string text;
        std::vector<int> run;
        const auto finish_run = [&] {
            text += model_.DecodeIds(run);
            run.clear();
        };
        for (const std::int32_t token : tokens) {
            require<DataError>(token >= 0, "tokenizer.model: token ", token, ", expected 0 or more");
            if (token < model_.GetPieceSize()) {
                run.push_back(token);
                continue;
            }
            finish_run();
            const auto added = std::ranges::find_if(files_.added, [&](const auto& each) { return each.second == token; });
            text += added == files_.added.end() ? message("<", token, ">") : added->first;
        }
        finish_run();
        return text;
    }

   private:
    static void append(const std::vector<int>& more, std::vector<std::int32_t>& tokens) {
        tokens.insert(tokens.end(), more.begin(), more.end());
    }

    /// The longest special token that begins here.
    const std::string* special_at(const std::string& text, std::size_t at) const {
        const std::string* longest = nullptr;
        for (const auto& [special, id] : files_.added)
            if (!special.empty() && text.compare(at, special.size(), special) == 0 &&
                (!longest || special.size() > longest->size()))
                longest = &special;
        return longest;
    }

    /// Tokens of a piece of text. The model puts a space before it; where it should not, a word before the piece takes that space.
    std::vector<int> encoded(const std::string& piece, bool without_space) const {
        if (!without_space) return model_.EncodeAsIds(piece);
        const std::string word = model_.IdToPiece(model_.unk_id());
        const std::vector<int> of_word = model_.EncodeAsIds(word), both = model_.EncodeAsIds(word + piece);
        return {both.begin() + static_cast<std::ptrdiff_t>(std::min(of_word.size(), both.size())), both.end()};
    }

    sentencepiece::SentencePieceProcessor model_;
    TokenizerFiles files_;
};

#endif

/// A tokenizer.model. The mark of the beginning (`bos`), if the model has one, comes first, as LLaMA models expect it.
/// Errors: FileError if it is no such model, or this program has no SentencePiece.
inline Tokenizer sentence_piece_tokenizer(const std::filesystem::path& path) {
#if defined(FOT_WITH_SENTENCEPIECE)
    const auto model = std::make_shared<const SentencePieceTokenizer>(path);
    return {[model](const std::string& text) { return model->encode(text); },
            [model](const std::vector<std::int32_t>& tokens) { return model->decode(tokens); }};
#else
    throw FileError(message(path.string(),
                            ": this program was compiled without SentencePiece (apt-get install "
                            "libsentencepiece-dev, and build again); token ids need none"));
#endif
}

}  // namespace detail

/// The tokenizer of a checkpoint's folder: its tokenizer.model; without one, bytes, if the vocabulary is that of bytes (256).
/// Errors: FileError if there is a tokenizer.model, but no SentencePiece in this program, if neither will do, or if the folder
///         cannot be looked into.
inline std::unique_ptr<Tokenizer> tokenizer_of(const std::filesystem::path& folder, Index vocabulary) {
    const std::filesystem::path model = folder / "tokenizer.model";
    std::error_code failure;
    const bool there = std::filesystem::exists(model, failure);
    require<FileError>(!failure, model.string(), ": ", failure.message());
    if (there) return std::make_unique<Tokenizer>(detail::sentence_piece_tokenizer(model));
    require<FileError>(vocabulary == byte_vocabulary, folder.string(), ": there is no tokenizer.model, and a vocabulary of ",
                       vocabulary, " is not one of bytes; ",
                       std::filesystem::exists(folder / "tokenizer.json", failure) ? "tokenizer.json is not read; " : "",
                       "token ids need no tokenizer");
    return std::make_unique<Tokenizer>(Tokenizer{byte_tokens, text_of});
}

}  // namespace fot
