#include "../../examples/support/aging_memory.hpp"

#include <doctest/doctest.h>

#include "support/difference.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// One query and eight entries of width 2, of which entries 1 and 6 have the same key, the best one.
struct Case {
    TransformerConfig config{.vocabulary = 4, .width = 2, .layers = 1, .memory_layers = {0}, .heads = 1, .memory_heads = 1};
    MemoryState<float> state{config, 1};
    LayerView<float> at;

    Case() {
        Tensor<float, 3> keys = zeros<float, 3>({8, 1, 2}), values = zeros<float, 3>({8, 1, 2});
        for (Index i = 0; i < 8; ++i) {
            keys(i, 0, 0) = i == 1 || i == 6 ? 10.0f : 1.0f;
            values(i, 0, 0) = static_cast<float>(i);
        }
        state.memory(0, 0).append(keys, values, 0);
        Tensor<float, 4> q = zeros<float, 4>({1, 1, 1, 2});
        q(0, 0, 0, 0) = 2;
        at.q = Variable<float, 4>(q);
    }
    /// What the query gets.
    float answer(const Source<float>& source) const {
        Tape tape(Tape::inference);
        return source.attend(tape, at).o.value()(0, 0, 0, 0);
    }
};

}  // namespace

TEST_CASE("a memory that ages with strength 0 is a memory") {
    const Case c;
    Tape tape(Tape::inference);
    const Attention<float> aged = AgingMemory(c.state, 5, 0, 2).attend(tape, c.at),
                           plain = MemorySource<float>(c.state, 5).attend(tape, c.at);
    CHECK(aged.o.value() == plain.o.value());
    CHECK(aged.log_sum_exp.value() == plain.log_sum_exp.value());
    CHECK(AgingMemory(c.state, 5, 0, 2).key_count(0, 0) == 8);
}

TEST_CASE("of two equal keys the newer one weighs as much more as its age says") {
    const Case c;  // in windows of 2, entry 1 has age 4 and entry 6 age 1
    CHECK(c.answer(AgingMemory(c.state, 2, 0, 2)) == doctest::Approx(3.5));
    CHECK(c.answer(AgingMemory(c.state, 2, 1, 2)) == doctest::Approx((1.0 / 4 * 1 + 6) / (1.0 / 4 + 1)));
    CHECK(c.answer(AgingMemory(c.state, 2, 2, 2)) == doctest::Approx((1.0 / 16 * 1 + 6) / (1.0 / 16 + 1)));
    CHECK(c.answer(AgingMemory(c.state, 8, 20, 2)) == doctest::Approx(6));
}
