#include "fot/remedies/output_gate.hpp"

#include <doctest/doctest.h>

#include "support/remedy_check.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE(
    "a gate multiplies each head by a share that depends on the token alone: half of it at the start, nothing where it is shut") {
    Random random(1);
    const Variable<double, 4> q(normal_tensor<double, 4>({2, 3, 2, 4}, 1, random));
    const Variable<double, 3> h(normal_tensor<double, 3>({2, 3, 8}, 1, random));
    OutputGate<double> joining(2, 8);
    Tape tape(Tape::inference);
    const Attention<double> local = causal_attention(tape, q, q, q),
                            further = context_attention(tape, q, q, q, previous_contexts(2, 1, 1));
    const Tensor<double, 4> whole = merge(tape, further, local).o.value();
    const auto joined = [&] { return joining.join(tape, {.h = h, .q = q}, local, further).value(); };
    CHECK(largest_difference(joined(), multiply(whole, 0.5)) < 1e-14);

    for (Index e = 0; e < 8; ++e) joining.map.value()(1, e) = -100 * h.value()(1, 2, e);  // shut for one token, in head 1
    const Tensor<double, 4> gated = joined();
    for (Index d = 0; d < 4; ++d) {
        CHECK(std::abs(gated(1, 2, 1, d)) < 1e-13);
        CHECK(gated(1, 2, 0, d) == doctest::Approx(whole(1, 2, 0, d) / 2).epsilon(1e-12));
    }
}

TEST_CASE("a model with an output gate has its gradient, and crossbatch and a memory agree") {
    check_remedy([](auto& model) { model.layer(1).joining = std::make_unique<OutputGate<double>>(2, 8); }, "layers.1.output_gate");
}
