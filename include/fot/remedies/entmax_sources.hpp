/// Further keys that are read by 1.5-entmax: contexts in training, the k best of a memory in inference.
///
///     o = g sum_j p_j v_j + (1 - g) o_local       p: 1.5-entmax over all further keys, g: the layer's gate
///
/// Entmax of two sets of keys does not follow from entmax of each, as softmax does from two log-sum-exps: the threshold of the
/// union cannot be computed from the thresholds of the parts. So local attention stays a softmax, and a gate joins the two
/// (`Integration::gated`). In place of a log-sum-exp this attention returns NaN: joining it by one softmax, a mistake, gives NaN
/// and not a plausible wrong number.
///
/// Source: remedies/entmax.hpp. Departures: entmax reads only the memory.
/// Read first: remedies/entmax_attention.hpp, model/memory_source.hpp.   Read next: remedies/entmax_scoring.hpp.
#pragma once

#include <atomic>
#include <utility>
#include <vector>

#include "fot/model/contexts_source.hpp"
#include "fot/model/memory_source.hpp"
#include "fot/remedies/entmax_attention.hpp"

namespace fot {

/// Previous contexts of a batch, read by entmax.
template <class Real>
class EntmaxContexts : public Source<Real> {
   public:
    /// As Contexts.
    explicit EntmaxContexts(Contexts<Real> contexts) : contexts_(std::move(contexts)) {}

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        if (contexts_.table().most_contexts() == 0) return {};
        const auto& [k, v] = contexts_.of_layer(at.layer);
        return {entmax_context_attention(tape, at.q, k, v, contexts_.table()),
                no_log_sum_exp(at.q.value(), [&](Index b) { return this->key_count(at.layer, b) > 0; })};
    }
    Index key_count(Index layer, Index b) const override { return contexts_.key_count(layer, b); }

   private:
    Contexts<Real> contexts_;
};

/// The k best entries of the memories of a state, read by entmax: in inference.
///
/// Errors: ConfigError while the tape records; ShapeError unless the queries fit the memories.
template <class Real>
class EntmaxMemory : public Source<Real> {
   public:
    /// The state must outlive the source. `top_k` of 1 or more.
    EntmaxMemory(const MemoryState<Real>& state, Index top_k) : state_(state), top_k_(top_k) {
        require<ConfigError>(top_k >= 1, "EntmaxMemory: top_k ", top_k, ", expected 1 or more");
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "EntmaxMemory: expected an inference tape");
        const Tensor<Real, 4>& q = at.q.value();
        const Memories<Real> memories = state_.memories(at.layer);
        detail::require_memories(q, memories);
        if (all_empty(memories)) return {};
        Tensor<Real, 4> o = zeros_like(q);
        for (Index b = 0; b < extent(q, 0); ++b) {
            const KeyValueMemory<Real>& memory = *element(memories, b);
            add_best(memory, memory.search(q, b, top_k_), b, o);
        }
        return {Variable<Real, 4>(std::move(o)), no_log_sum_exp(q, [&](Index b) { return this->key_count(at.layer, b) > 0; })};
    }
    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

    /// Queries so far, of all heads, to which the k best did not give exactly what the whole memory does.
    Index inexact() const { return inexact_; }

   private:
    void add_best(const KeyValueMemory<Real>& memory, const FoundEntries<Real>& found, Index b, Tensor<Real, 4>& o) const {
        const Index heads = extent(o, 2), width = extent(o, 3), k = extent(found.scores, 2);
        parallel_for(extent(o, 1) * heads, [&](Index query) {
            const Index t = query / heads, h = query % heads;
            const Real* scores = row(found.scores, t, h);
            inexact_ += !entmax_of_best_is_whole(scores, k, memory.size());
            const double threshold = k > 0 ? entmax_threshold(scores, k) : 0;
            Tensor<Real, 1> value = empty<Real, 1>({width});
            for (Index j = 0; j < k && entmax_weight(scores[j], threshold) != 0; ++j) {
                memory.copy_value(found.indices(t, h, j), h * memory.heads() / heads, value.data());
                for (Index d = 0; d < width; ++d) o(b, t, h, d) += entmax_weight(scores[j], threshold) * value(d);
            }
        });
    }

    const MemoryState<Real>& state_;
    Index top_k_;
    mutable std::atomic<Index> inexact_ = 0;
};

}  // namespace fot
