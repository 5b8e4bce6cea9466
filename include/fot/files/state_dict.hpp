/// How the pickle of a state_dict is read: as a dictionary from names to tensors.
///
/// A tensor is a call of torch._utils._rebuild_tensor_v2 with a storage, an offset, a shape and strides. The storage is a
/// persistent id, ("storage", torch.HalfStorage, key, device, number of elements). A parameter is a call of _rebuild_parameter with
/// a tensor. The calls are not made but read (files/pickle.hpp), and the numbers stay where the container has them.
///
/// Source: torch/_utils.py and torch/serialization.py of PyTorch.
/// Read first: files/stored_tensor.hpp, files/pickle.hpp.   Read next: files/pytorch_file.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fot/files/pickle.hpp"
#include "fot/files/stored_tensor.hpp"

namespace fot::detail {

/// What a state_dict may name. The types of storages come first, in the order of the list below.
inline constexpr std::array<std::string_view, 24> torch_globals{
    "torch DoubleStorage", "torch FloatStorage", "torch HalfStorage", "torch BFloat16Storage", "torch LongStorage",
    "torch IntStorage", "torch ShortStorage", "torch CharStorage", "torch ByteStorage", "torch BoolStorage",
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "torch Size",
    // The types of numbers, which may be there beside the tensors.
    "torch float64", "torch float32", "torch float16", "torch bfloat16", "torch int64", "torch int32", "torch int16", "torch int8",
    "torch uint8", "torch bool"};
inline constexpr std::array<Dtype, 10> torch_storages{Dtype::f64, Dtype::f32, Dtype::f16, Dtype::bf16, Dtype::i64,
                                                      Dtype::i32, Dtype::i16, Dtype::i8,  Dtype::u8,   Dtype::boolean};

/// Numbers that tensors share.
struct TorchStorage {
    Dtype dtype;
    Index count;
    std::string_view bytes = {};
};

/// What a dictionary has under a key, or nullptr.
inline const PickleValue* value_of(const PickleValue& dictionary, std::string_view key) {
    const PickleValue* found = nullptr;
    for (std::size_t i = 0; dictionary.kind == PickleValue::Kind::dictionary && i < dictionary.items.size(); i += 2)
        if (dictionary.items[i]->kind == PickleValue::Kind::text && dictionary.items[i]->text == key)
            found = dictionary.items[i + 1];
    return found;
}

/// With what a value calls the function, or nullptr if it does not.
inline const PickleValue* arguments_of(const PickleValue& value, std::string_view function) {
    return value.kind == PickleValue::Kind::call && value.items[0]->text == function ? value.items[1] : nullptr;
}

/// Reads what the pickle of tensors means.
class StateDict {
   public:
    StateDict(std::string_view bytes, const std::string& where) : where_(where), pickle_(bytes, torch_globals, where) {
        for (const PickleValue* id : pickle_.persistent()) add_storage(id->items.front());
    }

    /// By key. The reader of the container fills in their bytes.
    std::map<std::string, TorchStorage, std::less<>> storages;

    std::size_t size() const { return pickle_.size(); }

    /// The tensors of the dictionary, or of the one that it keeps as "state_dict", "model" or "module". Other values are passed
    /// over.
    StoredTensors tensors() const {
        StoredTensors found;
        const PickleValue* names = &pickle_.value();
        require<FileError>(names->kind == Kind::dictionary, where_, ": holds no dictionary of tensors");
        for (const char* key : {"state_dict", "model", "module"})
            if (const PickleValue* inner = value_of(*names, key); inner != nullptr && inner->kind == Kind::dictionary) {
                names = inner;
                break;
            }
        for (std::size_t i = 0; i < names->items.size(); i += 2) {
            const PickleValue *name = names->items[i], *value = names->items[i + 1];
            if (const PickleValue* parameter = arguments_of(*value, "torch._utils _rebuild_parameter"))
                value = parameter->items.empty() ? value : parameter->items.front();
            const PickleValue* arguments = arguments_of(*value, "torch._utils _rebuild_tensor_v2");
            if (name->kind != Kind::text || arguments == nullptr) continue;
            require<FileError>(name->text.size() <= most_name_bytes, where_, ": a tensor's name has ", name->text.size(),
                               " bytes, expected up to ", most_name_bytes);
            found.insert_or_assign(std::string(name->text), tensor(std::string(name->text), *arguments));
        }
        require<FileError>(!found.empty(), where_, ": has no tensors in its dictionary");
        return found;
    }

   private:
    using Kind = PickleValue::Kind;
    static constexpr std::size_t most_name_bytes = 4096;  // a pickle can use one long text many times

    void add_storage(const PickleValue* id) {
        require<FileError>(is_storage(*id), where_, ": refers to something that is no storage of tensors");
        const auto& items = id->items;
        const auto type = std::ranges::find(torch_globals, items[1]->text);
        const TorchStorage storage{element(torch_storages, type - torch_globals.begin()), items[4]->integer};
        const std::string key(items[2]->text);
        const auto [known, added] = storages.emplace(key, storage);
        require<FileError>(added || (known->second.dtype == storage.dtype && known->second.count == storage.count), where_,
                           ": storage '", key, "' has two types or sizes");
        require<FileError>(storage.count >= 0 && storage.count <= std::numeric_limits<Index>::max() / 8, where_, ": storage '", key,
                           "' has ", storage.count, " elements");
    }
    static bool is_storage(const PickleValue& id) {
        if (id.kind != Kind::tuple || id.items.size() < 5) return false;
        const auto& items = id.items;
        const bool whole = items.size() == 5 || items[5]->kind == Kind::none;  // of torch before 0.4 it may be a piece of another
        return whole && items[0]->text == "storage" && items[1]->kind == Kind::global && items[1]->text.ends_with("Storage") &&
               items[2]->kind == Kind::text && items[2]->text.size() <= most_name_bytes && items[4]->kind == Kind::integer;
    }

    StoredTensor tensor(const std::string& name, const PickleValue& arguments) const {
        const std::string at = where_ + ": tensor '" + name + "' ";
        const auto& items = arguments.items;
        require<FileError>(items.size() >= 4 && items[0]->kind == Kind::persistent && items[1]->kind == Kind::integer, at,
                           "is not made of a storage, an offset, a shape and strides");
        const bool plain = items.size() < 7 || items[6]->kind == Kind::none || items[6]->items.empty();
        require<FileError>(plain, at, "is a view that changes its numbers (conjugate or negative), expected a plain one");
        const TorchStorage& storage = storages.find(items[0]->items.front()->items[2]->text)->second;
        StoredTensor tensor{nullptr, storage.dtype, integers(at, items[2]), integers(at, items[3]), nullptr};
        require<FileError>(tensor.shape.size() == tensor.strides.size() && tensor.shape.size() <= 64, at, "has ",
                           tensor.shape.size(), " axes and ", tensor.strides.size(), " strides, expected as many, up to 64");
        // A view that repeats numbers could be larger than its file, without limit.
        const Index count = checked_count(tensor.shape, dtype_bytes(storage.dtype));
        Index last = items[1]->integer;
        bool inside = count >= 0 && count <= storage.count && last >= 0 && last <= storage.count;
        for (std::size_t j = 0; j < tensor.shape.size() && inside && count > 0; ++j) {
            const Index steps = tensor.shape[j] - 1, stride = tensor.strides[j];
            inside = steps == 0 || (stride >= 0 && stride <= (storage.count - last) / steps);
            if (inside) last += steps * (steps == 0 ? 0 : stride);
        }
        require<FileError>(inside && (count == 0 || last < storage.count), at, "of shape ", shape_text(tensor.shape), ", strides ",
                           shape_text(tensor.strides), " and offset ", items[1]->integer, " does not fit its storage of ",
                           storage.count, " elements");
        require<FileError>(storage.bytes.size() == static_cast<std::size_t>(storage.count * dtype_bytes(storage.dtype)), at,
                           "has a storage without numbers");
        tensor.numbers = storage.bytes.data() + items[1]->integer * dtype_bytes(storage.dtype);
        return tensor;
    }

    /// The numbers of a tuple or torch.Size.
    static std::vector<Index> integers(const std::string& at, const PickleValue* tuple) {
        if (const PickleValue* size = arguments_of(*tuple, "torch Size"); size != nullptr && size->items.size() == 1)
            tuple = size->items.front();
        std::vector<Index> list;
        bool right = tuple->kind == Kind::tuple;
        for (const PickleValue* each : tuple->items) {
            right = right && each->kind == Kind::integer;
            list.push_back(each->integer);
        }
        require<FileError>(right, at, "has a shape or strides that are no tuple of integers");
        return list;
    }

    const std::string& where_;
    Pickle pickle_;
};

}  // namespace fot::detail
