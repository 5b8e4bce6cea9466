/// Exercise 12: a remedy for distraction, at inference.
///
/// A memory of many documents distracts because each of thousands of foreign keys takes a little of the softmax. Crossbatch teaches
/// keys to differ. Another remedy needs no training: let a query first choose the few documents that it attends to most, and then
/// attend to the entries of these alone.
///
///     mass_d = sum_{x in document d} exp(<q, k_x>)          for each query and head
///     o      = sum_x p_x v_x,   p = softmax over the entries x of the `documents` documents of largest mass
///
/// If documents of the same mass come last, all of these are seen. Write BestDocuments::attend. It now attends to the whole memory.
///
/// Paper:  section 3.3, the distraction issue. The remedy is not the paper's.
/// Read:   model/source.hpp, model/memory_source.hpp, retrieve in memory/key_value_memory.hpp, found_attention in
///         attention/memory_attention.hpp.
/// Try:    cmake --build --preset release --target exercises
#pragma once

#include "fot/model/memory_source.hpp"

namespace exercises {

using namespace fot;

/// The memories of a state, of which each query sees only the documents that it attends to most. For inference: what it returns
/// are constants.
class BestDocuments : public Source<double> {
   public:
    /// The state must outlive the source.   Errors: ConfigError if `documents` is below 1.
    BestDocuments(const MemoryState<double>& state, Index documents) : state_(state), documents_(documents) {
        require<ConfigError>(documents >= 1, "BestDocuments: ", documents, " documents, expected 1 or more");
    }

    /// Shapes: at.q (B,T,H,D) -> o (B,T,H,D), log_sum_exp (B,H,T) over the keys that the query is left with. A batch entry whose
    /// memory is empty gets zeros and a log-sum-exp of -infinity; if all memories are empty the handles are empty.
    Attention<double> attend(Tape& tape, const LayerView<double>& at) const override {
        const Memories<double> memories = state_.memories(at.layer);
        if (all_empty(memories)) return {};
        Index most = 1;
        for (const KeyValueMemory<double>* memory : memories) most = std::max(most, memory->size());
        return memory_attention(tape, at.q, memories, most);
    }

    /// Keys held, before the choice.
    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

    /// How many documents a query sees.
    Index documents() const { return documents_; }

   private:
    const MemoryState<double>& state_;
    Index documents_;
};

}  // namespace exercises
