/// What a model remembers between two steps of its training, as rows of numbers that a checkpoint can hold, and back.
///
///     KeptStates<float> kept;
///     trainer.keep("states.sizes", kept.sizes);
///     trainer.keep("states", kept.numbers);
///     trainer.around_checkpoints([&] { write_memory(config, memory, kept); }, [&] { read_memory(kept, config, memory); });
///
/// What is read back comes from a file: it is checked as a whole before anything is overwritten. If memory runs out, in either
/// direction, nothing has changed. Only training that reads on needs this: the next step of Transformer-XL or the Memorizing
/// Transformer attends to what was read before. Standard and crossbatch training draw new places in every step and remember nothing
/// of the text.
///
/// Read first: train/checkpoint.hpp, model/inference.hpp, model/transformer_xl.hpp.   Read next: train/language_model.hpp.
#pragma once

#include <algorithm>

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
    KeptStates<Real> all{.sizes = {state.seen.begin(), state.seen.end()}, .numbers = {}};
    for (const auto& input : state.inputs) all.numbers.insert(all.numbers.end(), input.storage().begin(), input.storage().end());
    kept = std::move(all);
}

/// The same back, for a model of this configuration with `entries` batch entries. S is as long as the numbers suffice for.
/// Errors: DataError, with the state as it was, if the numbers do not belong to this number of entries and layers and this width.
template <class Real>
void read_states(const KeptStates<Real>& kept, const TransformerConfig& config, Index entries, RecurrentState<Real>& state) {
    const Index numbers = length_of(kept.numbers), each_token = config.layers * entries * config.width,
                length = numbers / std::max<Index>(each_token, 1);
    const bool seen_or_not = std::ranges::all_of(kept.sizes, [](Index size) { return size == 0 || size == 1; });
    require<DataError>(numbers == length * each_token && length_of(kept.sizes) == (numbers > 0 ? entries : 0) && seen_or_not,
                       "read_states: ", numbers, " kept states of ", kept.sizes.size(), " entries, expected ", entries,
                       " entries in ", config.layers, " layers of width ", config.width);
    RecurrentState<Real> read{.inputs = {}, .seen = {kept.sizes.begin(), kept.sizes.end()}};
    for (Index layer = 0; numbers > 0 && layer < config.layers; ++layer) {
        Tensor<Real, 3> input = empty<Real, 3>({entries, length, config.width});
        std::copy_n(kept.numbers.data() + layer * element_count(input), element_count(input), input.data());
        read.inputs.push_back(std::move(input));
    }
    state = std::move(read);
}

/// What the memories of a model of this configuration hold. Sizes: the entries of each memory, (layer, b); numbers: its keys, then
/// its values, (entry, head, D). The documents of the entries are not kept.
template <class Real>
void write_memory(const TransformerConfig& config, MemoryState<Real>& state, KeptStates<Real>& kept) {
    KeptStates<Real> all;
    for (const Index layer : config.memory_layers)
        for (const KeyValueMemory<Real>* memory : state.memories(layer)) {
            all.sizes.push_back(memory->size());
            Tensor<Real, 4> both = empty<Real, 4>({2, memory->size(), memory->heads(), memory->width()});
            for (Index h = 0; h < memory->heads(); ++h)
                memory->for_each_block(h, [&](const auto& keys, const auto& values, Index first) {
                    for (Index i = 0; i < keys.rows; ++i) {
                        std::copy_n(keys.data + i * keys.leading, keys.columns, row(both, 0, first + i, h));
                        std::copy_n(values.data + i * values.leading, values.columns, row(both, 1, first + i, h));
                    }
                });
            all.numbers.insert(all.numbers.end(), both.storage().begin(), both.storage().end());
        }
    kept = std::move(all);
}

/// The same back; all entries are of document 0 then.
/// Errors: DataError, with the memories as they were, if sizes or numbers are not those of such memories.
template <class Real>
void read_memory(const KeptStates<Real>& kept, const TransformerConfig& config, MemoryState<Real>& state) {
    std::vector<KeyValueMemory<Real>*> memories;
    for (const Index layer : config.memory_layers)
        for (Index b = 0; b < state.entries(); ++b) memories.push_back(&state.memory(layer, b));
    const Index there = length_of(kept.numbers);
    Index expected = 0;
    bool fits = kept.sizes.size() == memories.size();
    for (std::size_t i = 0; fits && i < memories.size(); ++i) {
        const Index size = kept.sizes[i], capacity = memories[i]->capacity();
        fits = size >= 0 && size <= there && (capacity == 0 || size <= capacity);
        if (fits) expected += size * 2 * memories[i]->heads() * memories[i]->width();
    }
    require<DataError>(fits && expected == there, "read_memory: ", kept.sizes.size(), " kept memories with ", there,
                       " numbers are not those of ", memories.size(), " memories of this model");

    const Real* numbers = kept.numbers.data();
    std::vector<KeyValueMemory<Real>> read;
    for (std::size_t i = 0; i < memories.size(); ++i) {
        const KeyValueMemory<Real>& old = *memories[i];
        Tensor<Real, 3> keys = empty<Real, 3>({kept.sizes[i], old.heads(), old.width()}), values = empty_like(keys);
        for (Tensor<Real, 3>* part : {&keys, &values}) {
            std::copy_n(numbers, part->size(), part->data());
            numbers += part->size();
        }
        read.emplace_back(old.heads(), old.width(), old.storage(), old.capacity()).append(keys, values, 0);
    }
    for (std::size_t i = 0; i < memories.size(); ++i) *memories[i] = std::move(read[i]);
}

}  // namespace fot
