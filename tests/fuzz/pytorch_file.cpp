/// Whatever bytes a file of PyTorch has, reading it ends with its tensors or with FileError: the zip reader, and the order of
/// pickles in files of the old form.
///
/// Command: cmake --preset fuzz && cmake --build --preset fuzz
///          build/fuzz/tests/fuzz/fuzz_pytorch_file -max_total_time=600 -rss_limit_mb=1024 -malloc_limit_mb=256 CORPUS_FOLDER
///          An empty corpus folder is first given good files.
#include "fot/files/pytorch_file.hpp"

#include "seeds.hpp"
#include "support/torch_writer.hpp"

using namespace fot;

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
    const testing::TorchState state = testing::small_torch_state();
    return testing::write_seeds(
        *count, *arguments,
        {state.zip_file(), state.zip_file({false, false, 1}), state.zip_file({true, false, 16, "comment"}), state.legacy_file()});
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    try {
        for (const auto& [name, tensor] : pytorch_tensors({reinterpret_cast<const char*>(bytes), size}, "file")) {
            std::vector<char> copy(static_cast<std::size_t>(tensor.bytes()));
            copy_row_major(tensor, copy.data());
        }
    } catch (const FileError&) {
    }
    return 0;
}
