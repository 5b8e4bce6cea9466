/// A memory in which a newer entry replaces an older one that fits the query about as well.
///
///     counted: of the k best entries, each that scores more than `margin` above all newer ones
///
/// A memory layer has no positions: of facts about one subject it cannot know which is the last. Their keys are alike, so their
/// scores are about equal; the newest is then the one that counts. An entry that fits worse by more than the margin replaces
/// nothing, however new it is. That is why this memory keeps old facts, of which support/aging_memory.hpp loses some: there new
/// text gains on old facts by its age alone, and it gains more in a longer memory.
///
/// It works as long as scores of facts about one subject differ by less than the margin, and those of other entries by more. Here
/// it is used in inference, on models that were trained without it.
///
/// Read first: fot/model/memory_source.hpp, support/aging_memory.hpp.   Read next: two_hops.cpp.
#pragma once

#include <functional>
#include <tuple>

#include "fot/model/memory_source.hpp"

namespace fot::examples {

/// The k best entries of a memory of one stream, without those that are replaced.
class OverwritingMemory : public Source<float> {
   public:
    /// The state must outlive the source. `margin`: in nats.
    OverwritingMemory(const MemoryState<float>& state, Index top_k, double margin)
        : state_(state), top_k_(top_k), margin_(static_cast<float>(margin)) {}

    Attention<float> attend(Tape&, const LayerView<float>& at) const override {
        const KeyValueMemory<float>& memory = state_.memory(at.layer, 0);
        FoundEntries<float> found = memory.search(at.q.value(), 0, top_k_);
        const auto [queries, heads, k] = shape_of(found.scores);
        for (Index i = 0; i < queries * heads; ++i) replace_older(found.scores.data() + i * k, found.indices.data() + i * k, k);
        AttentionResult<float> result{empty<float, 4>({1, queries, heads, memory.width()}), empty<float, 3>({1, heads, queries})};
        found_attention(memory, found, 0, result);
        return as_constant(std::move(result));
    }
    Index key_count(Index layer, Index) const override { return state_.memory(layer, 0).size(); }

   private:
    /// Entries of one query and head, best first, become those that count, best first; an index of -1 ends them.
    void replace_older(float* scores, Index* indices, Index k) const {
        std::vector<ScoredKey<float>> newest_first, counted;
        for (Index j = 0; j < k; ++j) newest_first.push_back({scores[j], indices[j]});
        std::ranges::sort(newest_first, std::greater(), &ScoredKey<float>::index);
        float newer = -std::numeric_limits<float>::infinity();  // the best score so far
        for (const ScoredKey<float>& entry : newest_first) {
            if (entry.score > newer + margin_) counted.push_back(entry);
            newer = std::max(newer, entry.score);
        }
        std::sort(counted.begin(), counted.end());
        std::fill_n(indices, k, -1);
        for (Index j = 0; j < length_of(counted); ++j)
            std::tie(scores[j], indices[j]) = std::pair(element(counted, j).score, element(counted, j).index);
    }

    const MemoryState<float>& state_;
    Index top_k_;
    float margin_;
};

}  // namespace fot::examples
