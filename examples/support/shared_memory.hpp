/// One memory as further keys for all batch entries. They ask about the same text, and one search serves them all.
///
/// Read first: fot/model/memory_source.hpp.   Read next: passkey_in_text.cpp, two_hops.cpp.
#pragma once

#include "fot/model/memory_source.hpp"

namespace fot::examples {

/// A source of one batch entry as that of many: their queries come to it as those of one.
class SharedMemory : public Source<float> {
   public:
    /// The source must outlive this.
    explicit SharedMemory(const Source<float>& of_one) : of_one_(of_one) {}

    Attention<float> attend(Tape& tape, const LayerView<float>& at) const override {
        const auto [entries, tokens, heads, width] = shape_of(at.q.value());
        const Attention<float> found = of_one_.attend(
            tape, {.layer = at.layer, .q = Variable<float, 4>(reshaped<4>(at.q.value(), {1, entries * tokens, heads, width}))});
        if (!found.o) return found;
        const Variable<float, 3> by_entry(reshaped<3>(found.log_sum_exp.value(), {heads, entries, tokens}));
        return {Variable<float, 4>(reshaped<4>(found.o.value(), shape_of(at.q.value()))), permuted(tape, by_entry, {1, 0, 2})};
    }
    Index key_count(Index layer, Index) const override { return of_one_.key_count(layer, 0); }

   private:
    const Source<float>& of_one_;
};

}  // namespace fot::examples
