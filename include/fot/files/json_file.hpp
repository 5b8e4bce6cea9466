/// JSON files as the tools of checkpoints write them, and a diagnosis when a file is not JSON (a web page, a Git LFS pointer).
///
/// Python's json also writes NaN and Infinity, which JSON does not have, and some editors put a byte order mark first. Both are
/// read. Such a number becomes text: it does no harm in a field that nobody reads, and is refused in one that is read as a number.
///
/// The destructor of a value of nlohmann's library allocates memory and ends the program if there is none; elsewhere running out of
/// memory is an ordinary error. Therefore values read here are emptied from the inside first, after which their destructors need
/// nothing.
///
/// Read next: files/checkpoint_folder.hpp, model/llama_config_file.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

#include "fot/core/check.hpp"
#include "fot/core/tensor.hpp"

namespace fot {

namespace detail {

/// What a file is, by its first bytes, as the end of an error message; empty if that is none of the usual mistakes.
inline std::string what_it_is(const std::filesystem::path& path) {
    std::array<char, 512> bytes{};
    std::ifstream stream(path, std::ios::binary);
    stream.read(bytes.data(), bytes.size());
    const std::string_view begin(bytes.data(), static_cast<std::size_t>(stream.gcount()));
    const std::string_view text = begin.substr(std::min(begin.find_first_not_of(" \t\r\n"), begin.size()));
    if (text.starts_with("version https://git-lfs"))
        return "; it is a Git LFS pointer, which stands for a file that was not fetched: run `git lfs pull` where it was cloned";
    if (text.starts_with("<")) return "; it is a web page or XML: the download gave a page in place of the file";
    if (begin.starts_with("GGUF")) return "; it is a GGUF file of llama.cpp, expected the files of Hugging Face's transformers";
    if (begin.find("{\"") == 8) return "; it is a safetensors file under another name";
    if (begin.starts_with("PK\x03\x04")) return "; it is a zip archive, perhaps one of PyTorch under another name";
    if (begin.starts_with("\x08") && begin.find("pytorch") != std::string_view::npos)
        return "; it is an ONNX file, expected the files of Hugging Face's transformers";
    return "";
}

/// JSON with the numbers NaN, Infinity and -Infinity as text.   Errors: FileError, which `where` opens, if it nests too deeply.
inline std::string with_words_as_text(const std::string& json, const std::string& where) {
    constexpr Index deepest = 100;
    std::string text;
    bool quoted = false;
    Index depth = 0;
    for (std::size_t i = 0; i < json.size(); ++i) {
        const std::string_view rest = std::string_view(json).substr(i);
        if (json[i] == '"') quoted = !quoted;
        if (!quoted && (json[i] == '{' || json[i] == '[')) ++depth;
        if (!quoted && (json[i] == '}' || json[i] == ']')) --depth;
        require<FileError>(depth <= deepest, where, ": has more than ", deepest, " lists and objects within each other");
        if (quoted && json[i] == '\\') text += json[i++];
        const auto word = [&] {
            for (const std::string_view each : {"NaN", "Infinity", "-Infinity"})
                if (!quoted && rest.starts_with(each)) return each;
            return std::string_view();
        }();
        if (word.empty()) {
            if (i < json.size()) text += json[i];
        } else {
            text.append("\"").append(word).append("\"");
            i += word.size() - 1;
        }
    }
    return text;
}

/// Empties lists and objects, the innermost first: an empty one allocates nothing as it is destroyed.
inline void empty_from_inside(nlohmann::json& json) {
    if (!json.is_structured()) return;
    for (nlohmann::json& each : json) empty_from_inside(each);
    json.clear();
}

/// Deletes a JSON value without allocating.
struct DeleteJson {
    void operator()(nlohmann::json* json) const {
        empty_from_inside(*json);
        delete json;
    }
};

/// A JSON value that was read.
using OwnedJson = std::unique_ptr<nlohmann::json, DeleteJson>;

/// The object that a text of JSON is; `where` it is from, for errors.   Errors: FileError if it is no object, or nests too deeply.
inline OwnedJson json_object(const std::string& text, const std::string& where) {
    std::istringstream stream(with_words_as_text(text, where));
    OwnedJson json(new nlohmann::json);
    std::string problem;
    try {
        stream >> *json;  // into what is emptied before it is deleted; parse() would destroy its own if memory runs out
        if (!(stream >> std::ws).eof()) problem = " (something follows its last bracket)";
    } catch (const nlohmann::json::exception& error) {
        problem = message(" (", std::string(error.what()).substr(0, 200), ")");
    }
    require<FileError>(problem.empty() && json->is_object(), where, ": is no JSON object", problem);
    return json;
}

/// A JSON file.   Errors: FileError if it is missing, larger than 64 MB or no JSON object.
inline OwnedJson read_json_object(const std::filesystem::path& path) {
    std::error_code failure;
    const auto bytes = std::filesystem::file_size(path, failure);
    require<FileError>(!failure, path.string(), ": there is no such file");
    require<FileError>(bytes <= 64'000'000, path.string(), ": has ", bytes, " bytes, expected at most 64 MB");
    std::stringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    try {
        return json_object(text.str(), path.string());
    } catch (const FileError& error) {
        throw FileError(error.what() + what_it_is(path));
    }
}

/// A value for an error message: as it is written in the file, but a long list or object by its kind alone.
inline std::string shown(const nlohmann::json& value) {
    const std::string text = value.dump();
    return value.is_structured() && text.size() > 60 ? std::string("an ") + value.type_name() : text;
}

/// A JSON value as a number, truth, text, or a list of integers. `what` opens messages. Python writes 2048.0 for 2048 at times.
/// Errors: FileError if it is of another type.
template <class Value>
Value value_of(const nlohmann::json& json, const std::string& what) {
    const auto is_size = [](const nlohmann::json& each) {
        if (!each.is_number()) return false;
        const double number = each.get<double>();
        return number >= 0 && number < 0x1p31 && number == std::floor(number);
    };
    const auto require_right = [&](bool right, const char* expected) {
        require<FileError>(right, what, " is ", shown(json), ", expected ", expected);
    };
    if constexpr (std::is_same_v<Value, std::vector<Index>>) {
        require_right(json.is_array() && std::all_of(json.begin(), json.end(), is_size), "a list of integers from 0 to 2^31 - 1");
    } else if constexpr (std::is_same_v<Value, Index>) {
        require_right(is_size(json), "an integer from 0 to 2^31 - 1");
    } else if constexpr (std::is_same_v<Value, double>) {
        require_right(json.is_number(), "a number");
    } else if constexpr (std::is_same_v<Value, bool>) {
        require_right(json.is_boolean(), "true or false");
    } else {
        static_assert(std::is_same_v<Value, std::string>);
        require_right(json.is_string(), "text");
    }
    return json.get<Value>();
}

}  // namespace detail

}  // namespace fot
