#include "../../examples/support/overwriting_memory.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

namespace {

/// What one query gets of entries with these scores, the oldest first, whose values are their numbers.
float attended_value(const std::vector<float>& scores, Index top_k, double margin) {
    const TransformerConfig config{.vocabulary = 4, .width = 2, .layers = 1, .memory_layers = {0}, .heads = 1, .memory_heads = 1};
    MemoryState<float> state(config, 1);
    const Index count = length_of(scores);
    Tensor<float, 3> keys = zeros<float, 3>({count, 1, 2}), values = zeros<float, 3>({count, 1, 2});
    for (Index i = 0; i < count; ++i) {
        keys(i, 0, 0) = element(scores, i);
        values(i, 0, 0) = static_cast<float>(i);
    }
    state.memory(0, 0).append(keys, values, 0);
    Tensor<float, 4> q = zeros<float, 4>({1, 1, 1, 2});
    q(0, 0, 0, 0) = 1;
    LayerView<float> at;
    at.q = Variable<float, 4>(q);
    Tape tape(Tape::inference);
    const OverwritingMemory memory(state, top_k, margin);
    CHECK(memory.key_count(0, 0) == count);
    return memory.attend(tape, at).o.value()(0, 0, 0, 0);
}

}  // namespace

TEST_CASE("of entries that fit about equally well only the newest counts, and one that fits worse replaces nothing") {
    CHECK(attended_value({50, 50, 50}, 3, 2) == doctest::Approx(2));
    CHECK(attended_value({51, 50, 49.5f}, 3, 2) == doctest::Approx(2));
    CHECK(attended_value({50, 0, 0}, 3, 2) == doctest::Approx(0));
    CHECK(attended_value({50, 90, 50}, 3, 2) == doctest::Approx(1));
    CHECK(attended_value({50, 90, 50}, 1, 2) == doctest::Approx(1));
}

TEST_CASE("what is beyond the margin is weighed as in any memory") {
    CHECK(attended_value({4, 1, 0}, 3, 2) == doctest::Approx(2 / (std::exp(4.0) + 1)));  // entry 1 is replaced, entry 0 is not
    CHECK(attended_value({4, 1, 0}, 3, 3.5) == doctest::Approx(2));
    CHECK(attended_value({4, 1, 0}, 2, 2) == doctest::Approx(1 / (std::exp(3.0) + 1)));  // entry 2 is not among the two best
}
