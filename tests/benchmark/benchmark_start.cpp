/// What does it take to start from a checkpoint, in the form of PyTorch and in that of safetensors?
///
///     build/release/tests/benchmark/benchmark_start --shape 3b --folder 3b            (14 GB of disk, 5 GB of memory)
///
/// Two folders with the same random weights in half precision are written first, unless they are there: FOLDER/safetensors, and
/// FOLDER/bin as torch.save writes it, in shards with an index and with the angles that old files carry. Then each is opened by a
/// process of its own, in turn, twice: "cold", after the system was told to drop what it has of the files, and then "warm".
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>

#include "fot/model/long_llama_files.hpp"
#include "support/timing.hpp"
#include "support/torch_writer.hpp"

using namespace fot;

namespace {

/// Half-precision numbers of deviation 0.02, the same ones for all matrices, each from another place on.
class HalfWeights : public WeightSource<float> {
   public:
    explicit HalfWeights(const TransformerConfig& config)
        : numbers_(std::make_shared<std::vector<detail::StoredHalf>>(static_cast<std::size_t>(
              config.width * std::max(config.vocabulary, config.feed_forward) + (7 * config.layers + 2) * stride))) {
        Random random(1);
        for (detail::StoredHalf& number : *numbers_) number = detail::to_half(0.02 * random.normal());
    }
    LinearMap<float> matrix(const std::string&, Index rows, Index columns, double) const override {
        return StoredMatrix{numbers_->data() + stride * matrices_++, Dtype::f16, rows, columns, numbers_};
    }
    Variable<float, 1> scales(const std::string&, Index count) const override {
        return Variable<float, 1>(full<float, 1>({count}, 1.0f));
    }

   private:
    static constexpr Index stride = 4099;
    std::shared_ptr<std::vector<detail::StoredHalf>> numbers_;
    mutable Index matrices_ = 0;
};

/// Writes the weights of a folder to another one as torch.save does, `most_bytes` to a file.
void write_as_pytorch(const std::filesystem::path& from, const std::filesystem::path& to, Index most_bytes) {
    make_folder(to);
    const CheckpointFolder folder(from);
    std::vector<fot::testing::TorchState> shards(1);
    Index bytes = 0;
    nlohmann::json weight_map;
    for (const auto& [name, tensor] : folder.tensors()) {
        if (bytes > 0 && bytes + tensor.bytes() > most_bytes) {
            shards.emplace_back();
            bytes = 0;
        }
        bytes += tensor.bytes();
        shards.back().tensors.push_back({name, {name, 0, tensor.shape, tensor.strides}});
    }
    const auto file_name = [&](std::size_t shard) {
        std::array<char, 64> text;
        std::snprintf(text.data(), text.size(), "pytorch_model-%05zu-of-%05zu.bin", shard + 1, shards.size());
        return std::string(text.data());
    };
    for (std::size_t i = 0; i < shards.size(); ++i) {
        for (const auto& [name, written] : shards[i].tensors) {
            const StoredTensor& tensor = folder.tensors().at(name);
            shards[i].storages[name] = {tensor.dtype == Dtype::f16 ? "HalfStorage" : "FloatStorage",
                                        std::string(tensor.numbers, static_cast<std::size_t>(tensor.bytes()))};
            weight_map[name] = file_name(i);
        }
        if (i == 0) {
            const std::string angles = "model.layers.0.self_attn.rotary_emb.inv_freq";
            shards[i].storages[angles] = {"FloatStorage", std::string(200, '\0')};
            shards[i].tensors.push_back({angles, {angles, 0, {50}, {1}}});
            weight_map[angles] = file_name(i);
        }
        const std::string file = shards[i].zip_file();
        std::ofstream(to / file_name(i), std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
        shards[i] = {};
    }
    std::ofstream(to / "pytorch_model.bin.index.json") << nlohmann::json{{"weight_map", weight_map}}.dump(1);
    std::filesystem::copy_file(from / "config.json", to / "config.json", std::filesystem::copy_options::overwrite_existing);
}

/// Seconds to open a folder, and the KiB that are resident then.
void print_start(const std::string& folder) {
    const double seconds = fot::testing::seconds_of([&] { static const LongLlama<float> model = load_long_llama<float>(folder); });
    std::ifstream status("/proc/self/status");
    long resident = 0;
    for (std::string line; std::getline(status, line);) std::sscanf(line.c_str(), "VmRSS: %ld", &resident);
    std::printf("%.6f %ld\n", seconds, resident);
}

/// Lets the system drop what it has of a folder's files.
void drop_from_memory(const std::filesystem::path& folder) {
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const int file = ::open(entry.path().c_str(), O_RDONLY);
        ::fdatasync(file);
        ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
        ::close(file);
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string folder = "start", shape = "toy", open;
    Index shard_bytes = 1'000'000'000, repeats = 9;
    CLI::App app("What it takes to start from a checkpoint");
    app.add_option("--folder", folder, "where both forms are, or will be written")->capture_default_str();
    app.add_option("--shape", shape, "of the model: toy, 3b")->check(CLI::IsMember({"toy", "3b"}))->capture_default_str();
    app.add_option("--shard-bytes", shard_bytes, "most of one .bin file")->capture_default_str();
    app.add_option("--repeats", repeats, "processes for each form")->capture_default_str();
    app.add_option("--open", open, "only opens this folder: what the processes do");
    CLI11_PARSE(app, argc, argv);
    if (!open.empty()) {
        print_start(open);
        return 0;
    }
    LongLlamaConfig config;
    if (shape == "toy")
        config.model =
            as_llama({.vocabulary = 256, .width = 64, .layers = 3, .memory_layers = {1}, .heads = 4, .feed_forward = 160});
    const std::filesystem::path safetensors = std::filesystem::path(folder) / "safetensors",
                                bin = std::filesystem::path(folder) / "bin";
    if (!file_exists(safetensors / "model.safetensors"))
        save_long_llama(safetensors, config, Transformer<float>(config.model, HalfWeights(config.model)));
    if (!file_exists(bin / "pytorch_model.bin.index.json")) write_as_pytorch(safetensors, bin, shard_bytes);

    std::map<std::string, std::vector<double>> milliseconds, mib;
    for (Index i = 0; i < repeats; ++i)
        for (const auto& form : {safetensors, bin})
            for (const char* temperature : {"cold", "warm"}) {
                if (std::string(temperature) == "cold") drop_from_memory(form);
                std::FILE* const child = popen((std::string(argv[0]) + " --open '" + form.string() + "'").c_str(), "r");
                double seconds = 0, resident = 0;
                if (!child || std::fscanf(child, "%lf %lf", &seconds, &resident) != 2 || pclose(child) != 0) return 1;
                const std::string name = form.filename().string() + "_" + temperature;
                milliseconds[name].push_back(1e3 * seconds);
                mib[name].push_back(resident / 1024);
            }
    for (const auto& [name, values] : milliseconds)
        std::printf("result %s_start_milliseconds %.2f\n", name.c_str(), fot::testing::median(values));
    for (const auto& [name, values] : mib)
        std::printf("result %s_start_resident_mib %.1f\n", name.c_str(), fot::testing::median(values));
}
