/// A memory that ages: the weight of what it retrieves falls as a power of its age.
///
///     score of an entry = <q, key> - strength log(age)           age: in windows, the newest is 1
///
/// Entries are retrieved by their keys alone; then the k best are weighed anew. A memory layer has no positions, and this is the
/// least that tells it which of two equal keys is the newer one. Here it is used in inference, on models that were trained without
/// it.
///
/// Source: the logarithmic bias is that of Chi et al. 2022 (KERPLE), there between the tokens of a context.
/// Read first: fot/model/memory_source.hpp.   Read next: overwritten_keys.cpp.
#pragma once

#include <tuple>

#include "fot/model/memory_source.hpp"

namespace fot::examples {

/// The k best entries of a memory of one stream, of which older ones weigh less.
class AgingMemory : public Source<float> {
   public:
    /// The state must outlive the source. Ages are counted in windows of so many tokens, the newest is 1.
    AgingMemory(const MemoryState<float>& state, Index top_k, double strength, Index window)
        : state_(state), top_k_(top_k), strength_(static_cast<float>(strength)), window_(window) {}

    Attention<float> attend(Tape&, const LayerView<float>& at) const override {
        const KeyValueMemory<float>& memory = state_.memory(at.layer, 0);
        FoundEntries<float> found = memory.search(at.q.value(), 0, top_k_);
        const auto [queries, heads, k] = shape_of(found.scores);
        std::vector<ScoredKey<float>> aged(static_cast<std::size_t>(k));
        for (Index i = 0; i < queries * heads; ++i) {
            float* scores = found.scores.data() + i * k;
            Index* indices = found.indices.data() + i * k;
            for (Index j = 0; j < k; ++j) {
                const auto age = static_cast<float>((memory.size() - 1 - indices[j]) / window_ + 1);
                element(aged, j) = {scores[j] - strength_ * std::log(age), indices[j]};
            }
            std::sort(aged.begin(), aged.end());
            for (Index j = 0; j < k; ++j)
                std::tie(scores[j], indices[j]) = std::pair(element(aged, j).score, element(aged, j).index);
        }
        AttentionResult<float> result{empty<float, 4>({1, queries, heads, memory.width()}), empty<float, 3>({1, heads, queries})};
        found_attention(memory, found, 0, result);
        return as_constant(std::move(result));
    }
    Index key_count(Index layer, Index) const override { return state_.memory(layer, 0).size(); }

   private:
    const MemoryState<float>& state_;
    Index top_k_;
    float strength_;
    Index window_;
};

}  // namespace fot::examples
