/// How does a checkpoint of PyTorch become one of safetensors?
///
/// Reads any folder that the library reads, also one that has pytorch_model.bin in one file or several, and writes its tensors to
/// --output in the form of Hugging Face: model.safetensors, or files of --shard-gigabytes each with an index. The numbers stay as
/// they are, unless --dtype asks for others. Other files (config.json, the tokenizer) are copied. At the end both folders are
/// compared. Why convert: matrices that lie transposed in the source, as some converters write them, would be copied at every
/// start; afterwards they are used where they lie.
///
/// Time:    as long as the disk takes to read the weights twice and write them once; --quick: a toy that it makes, in a moment.
/// Command: build/release/examples/convert_checkpoint --folder long_llama_3b --dtype bfloat16 --output long_llama_3b_bfloat16
/// Expect:  the files, their size, and `result equal 1`: every tensor has the bits of the source, rounded if --dtype says so.
#include "fot/model/long_llama_files.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// The source of --quick: a small model of random weights.
std::filesystem::path random_model(Example& example) {
    const LongLlamaConfig config{
        .model = as_llama({.vocabulary = 64, .width = 32, .layers = 2, .memory_layers = {1}, .heads = 4, .feed_forward = 48}),
        .window = 32,
        .last_context = 16};
    Random random(example.seed());
    save_long_llama(example.output() / "source", config, Transformer<float>(config.model, random));
    return example.output() / "source";
}

bool is_floating(Dtype dtype) { return dtype == Dtype::f64 || dtype == Dtype::f32 || dtype == Dtype::f16 || dtype == Dtype::bf16; }

/// A tensor's numbers row by row, those of floating point rounded to `dtype`.
std::vector<char> converted(const StoredTensor& tensor, Dtype dtype) {
    std::vector<char> bytes(static_cast<std::size_t>(tensor.bytes()));
    copy_row_major(tensor, bytes.data());
    if (dtype == tensor.dtype) return bytes;
    std::vector<char> target(static_cast<std::size_t>(tensor.count() * dtype_bytes(dtype)));
    const double first_too_large = dtype == Dtype::f16 ? 65520 : dtype == Dtype::bf16 ? 0x1.ffp127 : 0x1.ffffffp127;
    detail::with_weight_type({bytes.data(), tensor.dtype, tensor.count(), 1, nullptr}, [&](auto example) {
        using Stored = decltype(example);
        using Real = std::conditional_t<std::is_same_v<Stored, double>, double, float>;
        const Stored* source = reinterpret_cast<const Stored*>(bytes.data());
        parallel_slices(tensor.count(), 1 << 16, [&](Index first, Index last) {
            for (Index i = first; i < last; ++i) {
                const Real number = detail::widened<Real>(source[i]);
                require<DataError>(!(std::abs(number) >= first_too_large && std::isfinite(number)), "the number ", number,
                                   " is too large for ", dtype_name(dtype), dtype == Dtype::f16 ? ": take bfloat16" : "");
                if (dtype == Dtype::f32) reinterpret_cast<float*>(target.data())[i] = static_cast<float>(number);
                if (dtype == Dtype::bf16) reinterpret_cast<BFloat16*>(target.data())[i] = to_bfloat16(number);
                if (dtype == Dtype::f16) reinterpret_cast<detail::StoredHalf*>(target.data())[i] = detail::to_half(number);
            }
        });
    });
    return target;
}

/// The element type in which a tensor is written.
Dtype target_dtype(const StoredTensor& tensor, const std::string& name) {
    static const std::map<std::string, Dtype> names{{"float32", Dtype::f32}, {"float16", Dtype::f16}, {"bfloat16", Dtype::bf16}};
    return name == "stored" || !is_floating(tensor.dtype) ? tensor.dtype : names.at(name);
}

/// The tensors in as many lists as there will be files.
std::vector<std::vector<std::string>> shards_of(const StoredTensors& tensors, const std::string& dtype, double most_bytes) {
    std::vector<std::vector<std::string>> shards(1);
    double bytes = 0;
    for (const auto& [name, tensor] : tensors) {
        const auto here = static_cast<double>(tensor.count() * dtype_bytes(target_dtype(tensor, dtype)));
        if (bytes + here > most_bytes && !shards.back().empty()) {
            shards.emplace_back();
            bytes = 0;
        }
        shards.back().push_back(name);
        bytes += here;
    }
    return shards;
}

std::string shard_name(Index i, Index count) {
    const auto five_digits = [](Index number) {
        return std::string(5 - std::min<std::size_t>(5, std::to_string(number).size()), '0') + std::to_string(number);
    };
    return count == 1 ? "model.safetensors" : "model-" + five_digits(i + 1) + "-of-" + five_digits(count) + ".safetensors";
}

/// The names of what is not weights.
std::vector<std::string> other_files(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string(), extension = entry.path().extension().string();
        const bool wanted = extension == ".json" || extension == ".model" || extension == ".txt" || extension == ".py";
        if (entry.is_regular_file() && wanted && !name.ends_with(".index.json")) names.push_back(name);
    }
    return names;
}

/// Copies what is not weights, and tells config.json the new element type.
void copy_other_files(const std::filesystem::path& from, const std::filesystem::path& to, const std::string& dtype) {
    for (const std::string& name : other_files(from)) std::filesystem::copy_file(from / name, to / name);
    if (dtype == "stored" || !file_exists(from / "config.json")) return;
    const detail::OwnedJson owned = detail::read_json_object(from / "config.json");
    nlohmann::json& config = *owned;
    config[config.contains("dtype") ? "dtype" : "torch_dtype"] = dtype;
    write_text_file(to / "config.json", config.dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "How does a checkpoint of PyTorch become one of safetensors?");
    std::string from, dtype = "stored";
    double shard_gigabytes = 0;
    example.option("--folder", from, "the checkpoint to convert; none with --quick");
    example.option("--dtype", dtype, "stored, float32, float16 or bfloat16").one_of({"stored", "float32", "float16", "bfloat16"});
    example.option("--shard-gigabytes", shard_gigabytes, {2e-5, 2, 2},
                   "most of one file, which is kept in memory as it is written");
    example.parse();
    require<ConfigError>(!from.empty() || example.scale() == Scale::quick, "--folder is missing: the checkpoint to convert");
    const std::filesystem::path source = from.empty() ? random_model(example) : std::filesystem::path(from),
                                target = example.output();
    for (const char* name : {"model.safetensors", CheckpointFolder::index_name})
        require<FileError>(!file_exists(target / name), (target / name).string(),
                           ": is there already, expected a folder without weights");
    for (const std::string& name : other_files(source))
        require<FileError>(!file_exists(target / name), (target / name).string(), ": is there already, and would be overwritten");

    const CheckpointFolder folder(source);
    const auto shards = shards_of(folder.tensors(), dtype, 1e9 * shard_gigabytes);
    for (Index i = 0; i < length_of(shards); ++i)
        require<FileError>(!file_exists(target / shard_name(i, length_of(shards))),
                           (target / shard_name(i, length_of(shards))).string(), ": is there already, and would be overwritten");
    const Index tensors = length_of(folder.tensors());
    nlohmann::json weight_map;
    Index bytes = 0, done = 0;
    Progress writing("writing", tensors);
    for (Index i = 0; i < length_of(shards); ++i) {
        stop_if_interrupted("what was written so far is no whole checkpoint");
        SafetensorsWriter writer;
        writer.metadata["format"] = "pt";  // which Hugging Face's reader asks for
        std::vector<std::vector<char>> kept;
        const std::string file = shard_name(i, length_of(shards));
        for (const std::string& name : element(shards, i)) {
            const StoredTensor& tensor = folder.tensors().at(name);
            const Dtype type = target_dtype(tensor, dtype);
            const bool as_it_is = type == tensor.dtype && tensor.in_place();
            if (!as_it_is) kept.push_back(converted(tensor, type));
            writer.add_bytes(name, type, tensor.shape, as_it_is ? tensor.numbers : kept.back().data());
            weight_map[name] = file;
            bytes += tensor.count() * dtype_bytes(type);
            writing.update(++done, file);
        }
        writer.write(target / file);
    }
    if (shards.size() > 1)
        write_text_file(target / CheckpointFolder::index_name,
                        nlohmann::json{{"metadata", {{"total_size", bytes}}}, {"weight_map", weight_map}}.dump(2) + "\n");
    writing.finish();
    copy_other_files(source, target, dtype);

    const CheckpointFolder written(target);
    Progress comparing("comparing", tensors);
    Index equal = written.tensors().size() == folder.tensors().size(), compared = 0;
    for (const auto& [name, tensor] : folder.tensors()) {
        const Dtype type = target_dtype(tensor, dtype);
        const StoredTensor& other = written.tensors().at(name);
        if (other.dtype != type || other.shape != tensor.shape || converted(tensor, type) != converted(other, type)) equal = 0;
        comparing.update(++compared);
    }
    comparing.finish();
    require<FileError>(equal == 1, target.string(), ": differs from ", source.string(), " after it was written");
    example.out() << tensors << " tensors in " << shards.size() << " files of " << target.string() << "\n";
    example.result("tensors", tensors);
    example.result("files", length_of(shards));
    example.result("bytes", bytes);
    example.result("equal", equal);
    return example.finish();
} catch (...) {
    return report_failure();
}
