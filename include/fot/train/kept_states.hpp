/// What a model remembers between two steps of its training, as rows of numbers that a checkpoint can hold, and back.
///
///     KeptStates<float> kept;
///     trainer.keep("states.sizes", kept.sizes);
///     trainer.keep("states", kept.numbers);
///     trainer.around_checkpoints([&] { write_memory(config, memory, kept); }, [&] { read_memory(kept, config, memory); });
///
/// What is read back comes from a file: it is checked as a whole before anything is overwritten.
///
/// Read first: train/checkpoint.hpp, model/inference.hpp, model/transformer_xl.hpp.   Read next: train/language_model.hpp.
#pragma once

#include "fot/model/inference.hpp"
#include "fot/model/transformer_xl.hpp"

namespace fot {

/// The states of all batch entries in two rows.
template <class Real>
struct KeptStates {
    std::vector<Index> sizes;   ///< how much each entry remembers
    std::vector<Real> numbers;  ///< of all entries, one after another
};

/// The states of a Transformer-XL. Sizes: 1 for an entry that has a previous window, else 0; numbers: the inputs of each layer,
/// (B,S,E). Both are empty where nothing was read yet.
template <class Real>
void write_states(const RecurrentState<Real>& state, KeptStates<Real>& kept) {
    kept.sizes.assign(state.seen.begin(), state.seen.end());
    kept.numbers.clear();
    for (const Tensor<Real, 3>& input : state.inputs)
        kept.numbers.insert(kept.numbers.end(), input.data(), input.data() + input.size());
}

/// The same back, for a model of this configuration with `entries` batch entries. S is as long as the numbers suffice for.
/// Errors: DataError, with the state as it was, if the numbers are not those of so many entries, layers and this width.
template <class Real>
void read_states(const KeptStates<Real>& kept, const TransformerConfig& config, Index entries, RecurrentState<Real>& state) {
    const Index numbers = static_cast<Index>(kept.numbers.size()), each_token = config.layers * entries * config.width,
                length = numbers / each_token;
    require<DataError>(numbers == length * each_token && static_cast<Index>(kept.sizes.size()) == (numbers > 0 ? entries : 0),
                       "read_states: ", numbers, " kept states of ", kept.sizes.size(), " entries, expected ", entries,
                       " entries in ", config.layers, " layers of width ", config.width);
    state = {};
    state.seen.assign(kept.sizes.begin(), kept.sizes.end());
    for (Index layer = 0; numbers > 0 && layer < config.layers; ++layer) {
        Tensor<Real, 3> input = empty<Real, 3>({entries, length, config.width});
        std::copy_n(kept.numbers.data() + layer * element_count(input), element_count(input), input.data());
        state.inputs.push_back(std::move(input));
    }
}

/// What the memories of a model of this configuration hold. Sizes: the entries of each memory, (layer, b); numbers: its keys and
/// values, (head, entry, key or value, D). The documents of the entries are not kept.
template <class Real>
void write_memory(const TransformerConfig& config, MemoryState<Real>& state, KeptStates<Real>& kept) {
    kept = {};
    for (const Index layer : config.memory_layers)
        for (Index b = 0; b < state.entries(); ++b) {
            const KeyValueMemory<Real>& memory = state.memory(layer, b);
            kept.sizes.push_back(memory.size());
            for (Index h = 0; h < memory.heads(); ++h)
                memory.for_each_block(h, [&](const auto& keys, const auto& values, Index) {
                    for (Index i = 0; i < keys.rows; ++i)
                        for (const auto& part : {keys, values}) {
                            const Real* first = part.data + i * part.leading;
                            kept.numbers.insert(kept.numbers.end(), first, first + part.columns);
                        }
                });
        }
}

/// The same back; all entries are of document 0 then.
/// Errors: DataError, with the memories as they were, if sizes or numbers are not those of such memories.
template <class Real>
void read_memory(const KeptStates<Real>& kept, const TransformerConfig& config, MemoryState<Real>& state) {
    const Index memories = static_cast<Index>(config.memory_layers.size()) * state.entries();
    require<DataError>(static_cast<Index>(kept.sizes.size()) == memories, "read_memory: ", kept.sizes.size(),
                       " kept memories, expected ", memories);
    const auto for_each_memory = [&](const auto& visit) {
        std::size_t next = 0;
        for (const Index layer : config.memory_layers)
            for (Index b = 0; b < state.entries(); ++b) visit(state.memory(layer, b), kept.sizes[next++]);
    };
    auto left = static_cast<Index>(kept.numbers.size());
    for_each_memory([&](const KeyValueMemory<Real>& memory, Index size) {
        const Index of_entry = 2 * memory.heads() * memory.width(), there = left / of_entry,
                    most = memory.capacity() > 0 ? std::min(memory.capacity(), there) : there;
        require<DataError>(size >= 0 && size <= most, "read_memory: a kept memory of ", size, " entries, expected at most ", most,
                           " with their keys and values");
        left -= size * of_entry;
    });
    require<DataError>(left == 0, "read_memory: ", left, " numbers are left over behind the last memory");

    const Real* numbers = kept.numbers.data();
    for_each_memory([&](KeyValueMemory<Real>& memory, Index size) {
        Tensor<Real, 3> keys = empty<Real, 3>({size, memory.heads(), memory.width()}), values = empty_like(keys);
        for (Index h = 0; h < memory.heads(); ++h)
            for (Index i = 0; i < size; ++i)
                for (Tensor<Real, 3>* part : {&keys, &values}) {
                    std::copy_n(numbers, memory.width(), row(*part, i, h));
                    numbers += memory.width();
                }
        memory.clear();
        memory.append(keys, values, 0);
    });
}

}  // namespace fot
