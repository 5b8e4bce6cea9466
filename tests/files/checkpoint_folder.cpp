#include "fot/files/checkpoint_folder.hpp"

#include <doctest/doctest.h>

#include "fot/files/safetensors_writer.hpp"
#include "support/temporary_folder.hpp"
#include "support/torch_writer.hpp"

using namespace fot;
using testing::TemporaryFolder;
using testing::TorchState;

namespace {

/// A file by torch.save with one vector of two numbers.
std::string torch_file(const std::string& name, float first) {
    TorchState state;
    state.storages["0"] = {"FloatStorage", testing::bytes_of(first) + testing::bytes_of(2.0f)};
    state.tensors = {{name, {"0", 0, {2}, {1}}}};
    return state.zip_file();
}

/// The same in safetensors.
void write_safetensors(const std::filesystem::path& path, const std::string& name, float first) {
    const std::vector<float> numbers{first, 2};
    SafetensorsWriter writer;
    writer.add(name, {2}, numbers.data());
    writer.write(path);
}

std::string index_of(const nlohmann::json& map) { return nlohmann::json{{"weight_map", map}}.dump(); }

/// The first number of the tensor that is called v.
float first_number(const TemporaryFolder& folder) { return CheckpointFolder(folder.path()).vector<float>("v", 2)(0); }

void check_fails(const TemporaryFolder& folder, const std::string& what) {
    CHECK_THROWS_WITH_AS(CheckpointFolder(folder.path()), doctest::Contains(what.c_str()), FileError);
}

}  // namespace

TEST_CASE("of several kinds of weights in a folder, that is read which Hugging Face's code reads") {
    const TemporaryFolder folder;
    folder.write("part.bin", torch_file("v", 1));
    folder.write("pytorch_model.bin.index.json", index_of({{"v", "part.bin"}}));
    CHECK(first_number(folder) == 1);
    folder.write("pytorch_model.bin", torch_file("v", 3));
    CHECK(first_number(folder) == 3);
    write_safetensors(folder / "part.safetensors", "v", 4);
    folder.write("model.safetensors.index.json", index_of({{"v", "part.safetensors"}}));
    CHECK(first_number(folder) == 4);
    write_safetensors(folder / "model.safetensors", "v", 5);
    CHECK(first_number(folder) == 5);
}

TEST_CASE("an index is asked for files, and all that they hold is there") {
    const TemporaryFolder folder;
    folder.write("one.bin", torch_file("v", 1));
    folder.write("two.bin", torch_file("w", 2));
    folder.write("pytorch_model.bin.index.json", index_of({{"v", "one.bin"}, {"x", "two.bin"}}));
    const CheckpointFolder files(folder.path());
    CHECK(files.tensors().size() == 2);
    CHECK(files.contains("w"));
    CHECK_FALSE(files.contains("x"));
    CHECK_THROWS_WITH_AS(files.vector<float>("x", 2), doctest::Contains(": tensor 'x' is missing"), FileError);
    CHECK_THROWS_WITH_AS(files.vector<float>("w", 3), doctest::Contains("two.bin: tensor 'w' has shape (2), expected (3)"),
                         FileError);
    folder.write("pytorch_model.bin.index.json", index_of({{"v", "../one.bin"}}));
    check_fails(folder, "the file of 'v' is '../one.bin', expected a name without a folder");
    folder.write("pytorch_model.bin.index.json", index_of({{"v", 3}}));
    check_fails(folder, "the file of 'v' is 3, expected text");
    folder.write("pytorch_model.bin.index.json", index_of({{"v", "none.bin"}}));
    check_fails(folder, "names none.bin, which is not there; the folder has one.bin and 1 more");
    folder.write("pytorch_model.bin.index.json", R"({"weight_map": 3})");
    check_fails(folder, "has no object 'weight_map'");
}

TEST_CASE("a folder without weights that can be read says what it has") {
    const TemporaryFolder folder;
    const std::string start = folder.path() + ": has neither model.safetensors nor pytorch_model.bin, nor an index of several";
    CHECK_THROWS_WITH_AS(CheckpointFolder(folder.path()), start.c_str(), FileError);
    CHECK_THROWS_AS(CheckpointFolder(folder / "none"), FileError);
    folder.write("model-00001-of-00001.safetensors", "");
    check_fails(folder, start + "; the folder has model-00001-of-00001.safetensors, a part whose index is missing");
    folder.write("consolidated.00.pth", "");
    check_fails(folder,
                "the folder has consolidated.00.pth and 1 more, weights in the form of the original LLaMA: convert the folder by "
                "convert_llama_weights_to_hf.py of Hugging Face's transformers");
    const TemporaryFolder other;
    other.write("adapter_model.safetensors", "");
    check_fails(other, "the folder has adapter_model.safetensors, an adapter, which is no model: merge it into its base model");
}

TEST_CASE("transposed weights are copied to rows, others stay where they are") {
    TorchState state;
    std::string numbers;
    for (int i = 0; i < 6; ++i) numbers += testing::bytes_of(static_cast<float>(i));
    state.storages["0"] = {"FloatStorage", numbers};
    state.storages["1"] = {"LongStorage", std::string(8, '\1')};
    state.tensors = {
        {"rows", {"0", 0, {2, 3}, {3, 1}}}, {"transposed", {"0", 0, {3, 2}, {1, 3}}}, {"ids", {"1", 0, {1, 1}, {1, 1}}}};
    const TemporaryFolder folder;
    folder.write("pytorch_model.bin", state.zip_file());
    const CheckpointFolder files(folder.path());
    const StoredMatrix rows = files.matrix("rows", 2, 3), transposed = files.matrix("transposed", 3, 2);
    CHECK(rows.numbers == files.tensors().at("rows").numbers);
    const std::vector<float> expected{0, 3, 1, 4, 2, 5};
    CHECK(std::equal(expected.begin(), expected.end(), static_cast<const float*>(transposed.numbers)));
    CHECK_THROWS_WITH_AS(files.matrix("ids", 1, 1),
                         doctest::Contains("pytorch_model.bin: tensor 'ids' has dtype I64, expected F64, F32, F16 or BF16"),
                         FileError);
}

TEST_CASE("a weight of integers is refused, and one that is not aligned in its file is copied to where it is") {
    const TemporaryFolder folder;
    const std::string header = R"({"i":{"dtype":"I32","shape":[1,1],"data_offsets":[0,4]},)"
                               R"("odd":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},)"
                               R"("w":{"dtype":"F32","shape":[2,3],"data_offsets":[5,29]}})";
    const std::uint64_t length = header.size();
    const float numbers[] = {1, -2, 3, 0.5f, 1e-30f, 7};
    std::string bytes(reinterpret_cast<const char*>(&length), 8);
    bytes += header + std::string(5, '\1');
    bytes.append(reinterpret_cast<const char*>(numbers), sizeof numbers);
    folder.write("model.safetensors", bytes);
    const CheckpointFolder checkpoint(folder.path());
    const StoredMatrix weight = checkpoint.matrix("w", 2, 3);
    CHECK(reinterpret_cast<std::uintptr_t>(weight.numbers) % alignof(float) == 0);
    CHECK(std::equal(numbers, numbers + 6, static_cast<const float*>(weight.numbers)));
    CHECK_THROWS_WITH_AS(checkpoint.matrix("i", 1, 1),
                         doctest::Contains("model.safetensors: tensor 'i' has dtype I32, expected F64, F32, F16 or BF16"),
                         FileError);
}

TEST_CASE("what lies there in place of weights is told") {
    const TemporaryFolder folder;
    const auto error_with = [&](const std::string& file, const std::string& bytes, const std::string& expected) {
        folder.write(file, bytes);
        CHECK_THROWS_WITH_AS(CheckpointFolder(folder.path()), doctest::Contains(expected.c_str()), FileError);
        std::filesystem::remove(folder / file);
    };
    const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 6853038093\n";
    error_with("model.safetensors", pointer, "it is a Git LFS pointer");
    error_with("pytorch_model.bin", pointer, "it is a Git LFS pointer");
    error_with("model.safetensors", "PK\3\4", "it is a zip archive, perhaps one of PyTorch under another name");
    error_with("pytorch_model.bin", std::string("\x30\0\0\0\0\0\0\0{\"v\":", 13), "it is a safetensors file under another name");
    folder.write("pytorch_model.bin", "PK\3\4");
    try {
        const CheckpointFolder files(folder.path());
        CHECK(false);
    } catch (const FileError& error) {
        CHECK(std::string(error.what()).ends_with("has no end record of a zip archive (truncated?)"));
    }
    std::filesystem::remove(folder / "pytorch_model.bin");
    error_with("model.safetensors", "\n <!DOCTYPE html><html>", "it is a web page");
    error_with("pytorch_model.bin", std::string("GGUF\3\0\0\0", 8), "it is a GGUF file");
    error_with("model.safetensors",
               "\x08\x06\x12\x07pytorch\x1a\x05"
               "1.9.0 ",
               "it is an ONNX file");
    error_with("pytorch_model.bin.index.json", pointer, "is no JSON object");
    error_with("model.gguf", "GGUF", "nor an index of several; the folder has model.gguf");
    error_with("model-00001-of-00001.safetensors", "x", "a part whose index is missing");
    folder.write("model-00001-of-00002.safetensors", "x");
    error_with("model.safetensors.index.json", R"({"weight_map": {"a": "model-00001-of-00005.safetensors"}})",
               "names model-00001-of-00005.safetensors, which is not there; the folder has model-00001-of-00002.safetensors");
}
