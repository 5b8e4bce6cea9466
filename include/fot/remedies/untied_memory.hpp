/// The untied first level in inference: a memory in chunks as long as the contexts of training.
///
///     o = sum_c softmax_c(u_c) A(q; c)       u_c = log S_c + <W q, mean key of chunk c>
///
/// S_c is the context length of training; the last chunk may be shorter. The memory is cut in this way because W has learned to
/// choose among contexts of that length. Chunks count from the memory's oldest entry, so they are the windows that were read, if
/// the windows were of this length and none has left the memory.
///
/// Source: that of remedies/untied_contexts.hpp.
/// Cost:   as attention to the whole memory, a chunk at a time.
/// Read first: remedies/untied_contexts.hpp, model/memory_source.hpp.   Read next: remedies/entmax.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fot/model/memory_source.hpp"
#include "fot/nn/linear.hpp"

namespace fot {

/// All of the memories of a state, with an untied first level.
/// Errors: ConfigError while the tape records; ShapeError unless the queries fit the memories.
template <class Real>
class UntiedMemory : public Source<Real> {
   public:
    /// The state must outlive the source. `map` is that of the layer's FirstLevel, `chunk` the context length of training.
    UntiedMemory(const MemoryState<Real>& state, Variable<Real, 2> map, Index chunk)
        : state_(state), map_(std::move(map)), chunk_(chunk) {
        require<ConfigError>(chunk >= 1, "UntiedMemory: chunks of ", chunk, " entries, expected 1 or more");
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "UntiedMemory: expected an inference tape");
        const Tensor<Real, 4>& q = at.q.value();
        const Tensor<Real, 4> asks = linear(q, map_.value());
        const Memories<Real> memories = state_.memories(at.layer);
        detail::require_memories(q, memories);
        if (all_empty(memories)) return {};
        const Index heads = extent(q, 2);
        AttentionResult<Real> whole{zeros_like(q), full<Real, 3>({extent(q, 0), heads, extent(q, 1)}, -infinity)};
        parallel_for(extent(q, 0) * heads, [&](Index unit) {
            const KeyValueMemory<Real>& memory = *element(memories, unit / heads);
            for (Index first = 0; first < memory.size(); first += chunk_)
                add_chunk(q, asks, unit / heads, unit % heads, memory, first, std::min(first + chunk_, memory.size()), whole);
        });
        return as_constant(std::move(whole));
    }
    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

   private:
    static constexpr Real infinity = std::numeric_limits<Real>::infinity();

    /// Joins the entries first ... last-1, one chunk, to what the queries of head h found in the chunks before.
    static void add_chunk(const Tensor<Real, 4>& q, const Tensor<Real, 4>& asks, Index b, Index h,
                          const KeyValueMemory<Real>& memory, Index first, Index last, AttentionResult<Real>& whole) {
        const Index length = extent(q, 1), width = extent(q, 3);
        RunningSoftmax<Real> softmax(head(q, b, h), width);
        Tensor<Real, 1> mean = zeros<Real, 1>({width});
        Tensor<Real, 2> o = empty<Real, 2>({length, width});
        memory.for_each_block(h * memory.heads() / extent(q, 2), first, last, [&](const auto& keys, const auto& values, Index) {
            softmax.attend(keys, values);
            for (Index s = 0; s < keys.rows; ++s)
                for (Index d = 0; d < width; ++d) mean(d) += keys.row(s)[d] / static_cast<Real>(last - first);
        });
        softmax.write(as_matrix(o));
        for (Index t = 0; t < length; ++t) {
            Real *o_so_far = row(whole.o, b, t, h), &mass_so_far = whole.log_sum_exp(b, h, t);
            const Real mass = std::log(static_cast<Real>(last - first)) + inner_product(row(asks, b, t, h), mean.data(), width);
            detail::mix(row(o, t), o_so_far, detail::share_of_first(mass, mass_so_far), width, o_so_far);
            mass_so_far = detail::log_of_sum(mass, mass_so_far);
        }
    }

    const MemoryState<Real>& state_;
    Variable<Real, 2> map_;
    Index chunk_;
};

}  // namespace fot
