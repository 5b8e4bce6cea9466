#include "fot/files/pytorch_file.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "fot/core/random.hpp"
#include "support/temporary_folder.hpp"
#include "support/torch_writer.hpp"

using namespace fot;
using testing::TorchState;
using testing::TorchTensor;
using testing::ZipForm;

namespace {

/// The bytes of a tensor, row by row.
std::string row_major(const StoredTensor& tensor) {
    std::string bytes(static_cast<std::size_t>(tensor.bytes()), '\0');
    copy_row_major(tensor, bytes.data());
    return bytes;
}

/// What is wrong with a file, without its name; "" if it is read.
std::string complaint(const std::string& bytes) {
    try {
        pytorch_tensors(bytes, "file");
    } catch (const FileError& error) {
        REQUIRE(std::string(error.what()).starts_with("file: "));
        return std::string(error.what()).substr(6);
    }
    return "";
}

std::string numbered(std::size_t count) {
    std::string bytes(count, '\0');
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<char>(i);
    return bytes;
}

/// One storage of 12 half-precision numbers under one tensor, which may be changed.
TorchState state_of(const TorchTensor& tensor) {
    TorchState state;
    state.storages["0"] = {"HalfStorage", numbered(24)};
    state.tensors = {{"w", tensor}};
    return state;
}

std::string complaint(const TorchTensor& tensor) { return complaint(state_of(tensor).zip_file()); }

/// All that tensors may be in one file.
TorchState all_kinds() {
    TorchState state;
    state.storages["0"] = {"HalfStorage", numbered(24)};
    state.storages["1"] = {"BFloat16Storage", numbered(6)};
    state.storages["2"] = {"FloatStorage", numbered(16)};
    state.storages["10"] = {"DoubleStorage", numbered(16)};
    state.storages["11"] = {"LongStorage", numbered(8)};
    state.storages["12"] = {"FloatStorage", ""};
    state.tensors = {{"whole", {"0", 0, {3, 4}, {4, 1}}},     {"transposed", {"0", 0, {4, 3}, {1, 4}}},
                     {"piece", {"0", 5, {2, 2}, {4, 1}}},     {"tied", {"0", 0, {3, 4}, {4, 1}}},
                     {"parameter", {"1", 0, {3}, {1}, true}}, {"of size", {"2", 0, {2, 1, 2}, {2, 2, 1}, false, true}},
                     {"double", {"10", 1, {1}, {1}}},         {"scalar", {"10", 1, {}, {}}},
                     {"integers", {"11", 0, {1}, {1}}},       {"nothing", {"12", 0, {5, 0}, {1, 1}}}};
    return state;
}

void check_all_kinds(const StoredTensors& tensors) {
    CHECK(tensors.size() == 10);
    const std::string half = numbered(24);
    CHECK(row_major(tensors.at("whole")) == half);
    CHECK(tensors.at("whole").dtype == Dtype::f16);
    CHECK(row_major(tensors.at("tied")) == half);
    CHECK(tensors.at("tied").numbers == tensors.at("whole").numbers);
    std::string transposed;
    for (std::size_t i = 0; i < 4; ++i)
        for (std::size_t j = 0; j < 3; ++j) transposed += half.substr(2 * (4 * j + i), 2);
    CHECK(row_major(tensors.at("transposed")) == transposed);
    CHECK_FALSE(tensors.at("transposed").in_place());
    CHECK(row_major(tensors.at("piece")) == half.substr(10, 4) + half.substr(18, 4));
    CHECK(tensors.at("parameter").dtype == Dtype::bf16);
    CHECK(row_major(tensors.at("parameter")) == numbered(6));
    CHECK(tensors.at("of size").shape == std::vector<Index>{2, 1, 2});
    CHECK(tensors.at("of size").dtype == Dtype::f32);
    CHECK(row_major(tensors.at("of size")) == numbered(16));
    CHECK(tensors.at("double").dtype == Dtype::f64);
    CHECK(row_major(tensors.at("double")) == numbered(16).substr(8));
    CHECK(tensors.at("scalar").shape.empty());
    CHECK(row_major(tensors.at("scalar")) == numbered(16).substr(8));
    CHECK(tensors.at("integers").dtype == Dtype::i64);
    CHECK(tensors.at("nothing").count() == 0);
}

}  // namespace

TEST_CASE("tensors of every kind are read from archives and from files of the old form, in each protocol") {
    for (const int protocol : {2, 3, 4, 5})
        for (const char* nested : {"", "state_dict", "model", "module"})
            for (const bool plain : {false, true}) {
                TorchState state = all_kinds();
                state.protocol = protocol;
                state.nested = nested;
                state.plain = plain;
                check_all_kinds(pytorch_tensors(state.legacy_file(), "file"));
                for (const ZipForm& form : {ZipForm{}, ZipForm{false, false, 1}}) {
                    const std::string bytes = state.zip_file(form);
                    check_all_kinds(pytorch_tensors(bytes, "file"));
                }
            }
}

TEST_CASE("numbers stay where they are in the file, which lives as long as a tensor of it") {
    const testing::TemporaryFolder folder;
    folder.write("model.bin", all_kinds().zip_file());
    StoredTensor kept;
    {
        const StoredTensors tensors = read_pytorch_file(folder / "model.bin");
        check_all_kinds(tensors);
        kept = tensors.at("whole");
    }
    CHECK(kept.in_place());
    CHECK(reinterpret_cast<std::uintptr_t>(kept.numbers) % 64 == 0);
    CHECK(row_major(kept) == numbered(24));
    CHECK_THROWS_WITH_AS(read_pytorch_file(folder / "none.bin"), doctest::Contains("none.bin: cannot be opened"), FileError);
}

TEST_CASE("a tensor that does not fit its storage, or repeats numbers, is an error") {
    CHECK(complaint({"0", 0, {3, 4}, {4, 1}}) == "");
    const std::string fit = " does not fit its storage of 12 elements";
    CHECK(complaint({"0", 1, {3, 4}, {4, 1}}) == "tensor 'w' of shape (3, 4), strides (4, 1) and offset 1" + fit);
    const Index large = std::numeric_limits<Index>::max();
    for (const TorchTensor& wrong : std::vector<TorchTensor>{{"0", 0, {13}, {1}},
                                                             {"0", 0, {7}, {2}},
                                                             {"0", 12, {1}, {1}},
                                                             {"0", -1, {1}, {1}},
                                                             {"0", large, {1}, {1}},
                                                             {"0", 0, {-1}, {1}},
                                                             {"0", 0, {2}, {-1}},
                                                             {"0", 3, {2}, {large}},
                                                             {"0", 0, {4, 4}, {0, 1}},
                                                             {"0", 0, {large, large}, {0, 0}},
                                                             {"0", 0, {Index{1} << 32, Index{1} << 32, 0}, {1, 1, 1}}})
        CHECK(complaint(wrong).ends_with(fit));
    CHECK(complaint({"0", 0, {3, 4}, {1}}) == "tensor 'w' has 2 axes and 1 strides, expected as many, up to 64");
    CHECK(complaint({"0", 0, std::vector<Index>(65, 1), std::vector<Index>(65, 1)}).ends_with("expected as many, up to 64"));
    CHECK(complaint({"0", 0, std::vector<Index>(64, 1), std::vector<Index>(64, large)}) == "");
    CHECK(complaint({"0", 12, {0}, {1}}) == "");
}

TEST_CASE("an archive that lacks something is an error that says what") {
    const auto zip = [](const std::string& pickle, const std::string& numbers, const std::string& key = "0") {
        return testing::zip_archive({{"a/data.pkl", pickle}, {"a/data/" + key, numbers}});
    };
    const std::string pickle = state_of({"0", 0, {12}, {1}}).pickle();
    CHECK(complaint(zip(pickle, numbered(24))) == "");
    CHECK(complaint(zip(pickle, numbered(23))) == "entry 'a/data/0' has 23 bytes, expected 24");
    CHECK(complaint(zip(pickle, numbered(24), "1")) == "has no entry 'a/data/0' for a storage of 12 elements");
    CHECK(complaint(testing::zip_archive({{"a/x", ""}})) == "is a zip archive without a data.pkl, so not by torch.save");
    CHECK(complaint(state_of({"0", 0, {12}, {1}}).zip_file({}, "big")) == "has numbers in the byte order 'big', expected little");
    CHECK(complaint(zip("\x80\x02].", "")) == "holds no dictionary of tensors");
    CHECK(complaint(zip("\x80\x02}.", "")) == "has no tensors in its dictionary");
    CHECK(complaint(zip("\x80\x02}(NNu.", "")) == "has no tensors in its dictionary");
    CHECK(complaint(zip("\x80\x02NQ.", "")) == "refers to something that is no storage of tensors");
    CHECK(complaint(zip("\x80\x02}X" + testing::bytes_of(std::uint32_t{10}) + "state_dicth.", ""))
              .starts_with("the pickle asks for kept value"));
    // A dictionary that holds itself is looked into once.
    const std::string itself =
        "\x80\x02}\x94(X" + testing::bytes_of(std::uint32_t{10}) + "state_dicth" + std::string(1, '\0') + "u.";
    CHECK(complaint(zip(itself, "")) == "has no tensors in its dictionary");
    TorchState long_name = state_of({"0", 0, {12}, {1}});
    long_name.tensors.front().first = std::string(5000, 'n');
    CHECK(complaint(long_name.zip_file()) == "a tensor's name has 5000 bytes, expected up to 4096");
    TorchState complex = state_of({"0", 0, {12}, {1}});
    std::string other = complex.pickle();
    other.replace(other.find("HalfStorage"), 11, "CharlesBold");
    CHECK(complaint(zip(other, numbered(24))).starts_with("the pickle names torch.CharlesBold, which is not needed for tensors"));
}

TEST_CASE("calls with arguments that mean no tensor are errors, or passed over") {
    const std::string start = "\x80\x02}(X" + testing::bytes_of(std::uint32_t{1}) + "w";
    const auto calling = [&](const std::string& function, const std::string& arguments) {
        return complaint(testing::zip_archive({{"a/data.pkl", start + "ctorch._utils\n" + function + "\n" + arguments + "Ru."}}));
    };
    for (const char* arguments : {")", "N\x85", "(NNNNNNt", "(K\1K\1K\1K\1t", "())))t"})
        CHECK(calling("_rebuild_tensor_v2", arguments) == "tensor 'w' is not made of a storage, an offset, a shape and strides");
    CHECK(calling("_rebuild_parameter", ")") == "has no tensors in its dictionary");
    CHECK(calling("_rebuild_parameter", "N\x85") == "has no tensors in its dictionary");
    CHECK(calling("_rebuild_tensor", ")").starts_with("the pickle names torch._utils._rebuild_tensor, which"));
}

TEST_CASE("a file of the old form that is truncated or not so is an error") {
    TorchState state = state_of({"0", 0, {12}, {1}});
    const std::string good = state.legacy_file();
    CHECK(complaint(good) == "");
    for (std::size_t length = 0; length < good.size(); ++length) CHECK(complaint(good.substr(0, length)) != "");
    CHECK(complaint(good.substr(0, good.size() - 1)) == "storage '0' does not have its 12 elements (truncated?)");
    CHECK(complaint(state.legacy_file(false)) == "has numbers in the byte order 'big', expected little");
    CHECK(complaint("\x80\x02N.") == "is a pickle, but not by torch.save");
    std::string other = good;
    other[16] = 'K';
    CHECK(complaint(good.substr(0, 15) + "\x80\x02K\1.") == "is of torch's protocol 1, expected 1001");
}

TEST_CASE("a file of another kind is shown by how it begins") {
    CHECK(complaint("version https://git-lfs.github.com/spec/v1\noid") ==
          "is no file by torch.save: it has 46 bytes and starts with 'version https://git-lfs.'");
    CHECK(complaint("") == "is no file by torch.save: it has 0 bytes and starts with ''");
    CHECK(complaint("GGUF\3") == "is no file by torch.save: it has 5 bytes and starts with 'GGUF.'");
}

TEST_CASE("random damage to a file never does more than throw FileError") {
    Random random(4);
    Index refused = 0;
    for (const std::string& good : {all_kinds().zip_file(), all_kinds().legacy_file()})
        for (int trial = 0; trial < 2000; ++trial) {
            std::string damaged = good;
            for (Index change = random.below(3) + 1; change > 0; --change)
                damaged[static_cast<std::size_t>(random.below(static_cast<Index>(damaged.size())))] =
                    static_cast<char>(random.below(256));
            try {
                for (const auto& [name, tensor] : pytorch_tensors(damaged, "file")) row_major(tensor);
            } catch (const FileError&) {
                ++refused;
            }
        }
    CHECK(refused > 1000);
    CHECK(refused < 4000);
}

TEST_CASE("what torch itself writes is read bit by bit, where Python has torch") {
    const testing::TemporaryFolder folder;
    folder.write("write.py", R"(
import collections, sys, torch
folder = sys.argv[1]
torch.manual_seed(1)
w = torch.randn(7, 5)
state = collections.OrderedDict()
for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
    state["whole %s" % dtype] = w.to(dtype)
    state["transposed %s" % dtype] = w.to(dtype).t()
    state["piece %s" % dtype] = w.to(dtype)[2:5, 1:4]
state["tied"] = state["whole torch.float16"]
state["parameter"] = torch.nn.Parameter(w)
state["integers"] = torch.arange(5)
state["permuted"] = torch.randn(2, 3, 4).permute(2, 0, 1)
module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).half()
for key, value in state.items():
    numbers = value.detach().contiguous().reshape(-1).view(torch.uint8).tolist()
    open("%s/%s.raw" % (folder, key), "wb").write(bytes(numbers))
torch.save(state, folder + "/zip.bin")
torch.save(state, folder + "/protocol4.bin", pickle_protocol=4)
torch.save(state, folder + "/legacy.bin", _use_new_zipfile_serialization=False)
torch.save({"state_dict": dict(state), "step": 3, "loss": 0.5}, folder + "/nested.bin")
torch.save(module.state_dict(), folder + "/module.bin")
torch.save(module, folder + "/whole_module.bin")
)");
    const auto run = [&](const std::string& python) {
        return std::system(
            (python + " '" + folder.path() + "/write.py' '" + folder.path() + "' 2>'" + folder.path() + "/log'").c_str());
    };
    if (std::system("python3 -c 'import torch' 2>/dev/null") != 0) {
        MESSAGE("skipped: python3 has no torch");
        return;
    }
    REQUIRE_MESSAGE(run("python3") == 0, testing::file_text(folder / "log"));
    for (const char* file : {"zip.bin", "protocol4.bin", "legacy.bin", "nested.bin"}) {
        const StoredTensors tensors = read_pytorch_file(folder / file);
        CHECK(tensors.size() == 16);
        for (const auto& [name, tensor] : tensors) CHECK(row_major(tensor) == testing::file_text(folder / (name + ".raw")));
        CHECK(tensors.at("transposed torch.float16").shape == std::vector<Index>{5, 7});
        CHECK(tensors.at("whole torch.bfloat16").dtype == Dtype::bf16);
    }
    CHECK(read_pytorch_file(folder / "module.bin").size() == 7);
    CHECK_THROWS_WITH_AS(read_pytorch_file(folder / "whole_module.bin"),
                         doctest::Contains("names torch.nn.modules.container.Sequential, which is not needed for tensors"),
                         FileError);
}
