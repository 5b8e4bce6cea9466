/// Whatever instructions a pickle has, it ends with tensors that lie within their storages, or with FileError. The input is put
/// into a good archive, beside two storages.
///
/// Command: cmake --preset fuzz && cmake --build --preset fuzz
///          build/fuzz/tests/fuzz/fuzz_pickle -max_total_time=600 -rss_limit_mb=1024 -malloc_limit_mb=256 CORPUS_FOLDER
///          An empty corpus folder is first given good pickles.
#include "fot/files/pytorch_file.hpp"
#include "seeds.hpp"
#include "support/torch_writer.hpp"

using namespace fot;

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    std::vector<std::string> seeds;
    for (const int protocol : {2, 4})
        for (const char* nested : {"", "model"}) {
            testing::TorchState state = testing::small_torch_state();
            state.protocol = protocol;
            state.nested = nested;
            seeds.push_back(state.pickle());
        }
    return testing::write_seeds(*count, *arguments, seeds);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    std::vector<std::pair<std::string, std::string>> entries{
        {"a/data.pkl", std::string(reinterpret_cast<const char*>(bytes), size)}};
    for (const auto& [key, storage] : testing::small_torch_state().storages) entries.emplace_back("a/data/" + key, storage.second);
    const std::string archive = testing::zip_archive(entries, {false, false, 8});
    try {
        for (const auto& [name, tensor] : pytorch_tensors(archive, "file")) {
            std::vector<char> copy(static_cast<std::size_t>(tensor.bytes()));
            copy_row_major(tensor, copy.data());
        }
    } catch (const FileError&) {
    }
    return 0;
}
