/// Whatever bytes a checkpoint folder holds, loading it ends with a model or with one of fot's errors.
///
/// The input is taken for three files: config.json, model.safetensors.index.json (none if it is empty) and model.safetensors, each
/// after two bytes of length; the last takes what is left. A folder that can be loaded is also read from.
///
/// Command: cmake --preset fuzz && cmake --build --preset fuzz
///          build/fuzz/tests/fuzz/fuzz_checkpoint_files -max_total_time=600 -rss_limit_mb=1024 -malloc_limit_mb=256 CORPUS_FOLDER
///          An empty corpus folder is first given a good checkpoint in one file, and one in two.
#include <cstdint>
#include <filesystem>
#include <fstream>

#include "fot/model/long_llama_files.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using testing::file_text;

namespace {

const LongLlamaConfig small_config{
    .model = as_llama({.vocabulary = 3, .width = 2, .layers = 1, .memory_layers = {0}, .heads = 1, .feed_forward = 1}),
    .window = 4,
    .last_context = 2};

std::string with_length(const std::string& text) {
    return std::string{static_cast<char>(text.size() % 256), static_cast<char>(text.size() / 256)} + text;
}

void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
}

/// Good inputs to begin with: a checkpoint in one file, and the same with an index.
void write_seeds(const std::filesystem::path& corpus) {
    const fot::testing::TemporaryFolder folder;
    Random random(1);
    save_long_llama(folder / "model", small_config, Transformer<float>(small_config.model, random));
    const std::string config = file_text(folder / "model/config.json"), weights = file_text(folder / "model/model.safetensors");
    nlohmann::json index;
    const SafetensorsFile file(folder / "model/model.safetensors");
    for (const std::string& name : file.names()) index["weight_map"][name] = "model.safetensors";
    write(corpus / "one_file", with_length(config) + with_length("") + weights);
    write(corpus / "with_index", with_length(config) + with_length(index.dump()) + weights);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    for (int i = 1; i < *count; ++i)
        if (std::filesystem::is_directory((*arguments)[i]) && std::filesystem::is_empty((*arguments)[i]))
            write_seeds((*arguments)[i]);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    static const fot::testing::TemporaryFolder folder;
    std::string rest(reinterpret_cast<const char*>(bytes), size);
    const auto next_file = [&] {
        if (rest.size() < 2) return std::string();
        const std::size_t length = static_cast<unsigned char>(rest[0]) + 256u * static_cast<unsigned char>(rest[1]);
        const std::string text = rest.substr(2, length);
        rest.erase(0, 2 + text.size());
        return text;
    };
    write(folder / "config.json", next_file());
    const std::string index = next_file();
    if (index.empty())
        std::filesystem::remove(folder / "model.safetensors.index.json");
    else
        write(folder / "model.safetensors.index.json", index);
    write(folder / "model.safetensors", rest);
    try {
        LongLlama<float> model = load_long_llama<float>(folder.path());
        LongLlamaState<float> state(model.config(), 1);
        const Tokens tokens = full<std::int32_t, 2>({1, 3}, static_cast<std::int32_t>(model.config().model.vocabulary - 1));
        model.read({tokens}, state);
    } catch (const Error&) {
    }
    return 0;
}
