/// Weights of one rotary layout as weights of the other: checkpoints of EasyLM (and Meta's own) pair neighbours, Hugging Face's
/// pair halves.
///
/// Turning acts on pairs of numbers of a query or key, and which numbers make a pair is a matter of how they are numbered. So the
/// rows of the maps q and k change places within each head, and nothing else: scores, and all that follows, stay the same.
///
///     row of pair j, first and second:    half_split j, j + D/2     interleaved 2 j, 2 j + 1
///
/// Source: the released code's conversion to Hugging Face's form (facts, not text).
/// Read first: nn/rotary.hpp, model/long_llama_config.hpp.   Read next: model/long_llama_files.hpp.
#pragma once

#include <cstring>

#include "fot/model/long_llama_config.hpp"
#include "fot/nn/rotary.hpp"

namespace fot {

/// A map into heads, (H*D, E), made for one layout, as it must be for the other.
///
/// Copies the bytes as they are stored, whatever their dtype.
/// Errors:  ConfigError if the rows do not divide into `heads` of even width.
/// Same as: the weight itself if the layouts are the same; there and back gives what was there.
inline StoredMatrix with_rotary_layout(const StoredMatrix& weight, Index heads, RotaryLayout from, RotaryLayout to) {
    require<ConfigError>(heads >= 1 && weight.rows % (2 * heads) == 0, "with_rotary_layout: the ", weight.rows,
                         " rows do not divide into ", heads, " heads of even width");
    if (from == to) return weight;
    const Index width = weight.rows / heads, bytes = weight.columns * dtype_bytes(weight.dtype);
    const auto row_of = [&](RotaryLayout layout, Index pair, Index member) {
        return layout == RotaryLayout::half_split ? pair + member * width / 2 : 2 * pair + member;
    };
    const auto numbers = std::make_shared<std::vector<char>>(static_cast<std::size_t>(weight.rows * bytes));
    for (Index head = 0; head < heads; ++head)
        for (Index pair = 0; pair < width / 2; ++pair)
            for (const Index member : {0, 1})
                std::memcpy(numbers->data() + (head * width + row_of(to, pair, member)) * bytes,
                            static_cast<const char*>(weight.numbers) + (head * width + row_of(from, pair, member)) * bytes,
                            static_cast<std::size_t>(bytes));
    return {numbers->data(), weight.dtype, weight.rows, weight.columns, numbers};
}

/// All maps of queries and keys of a model. LongLlama computes with half_split: convert what was trained with interleaved pairs
/// before making one, and back before handing weights to EasyLM. Errors: as above.
template <class Real>
void change_rotary_layout(LongLlamaWeights<Real>& weights, const LongLlamaConfig& config, RotaryLayout from, RotaryLayout to) {
    for (auto& layer : weights.layers) {
        layer.q = with_rotary_layout(layer.q, config.heads, from, to);
        layer.k = with_rotary_layout(layer.k, config.key_head_count(), from, to);
    }
}

}  // namespace fot
