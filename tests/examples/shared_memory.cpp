#include "../../examples/support/shared_memory.hpp"

#include <doctest/doctest.h>

#include "fot/core/random.hpp"

using namespace fot;
using namespace fot::examples;

TEST_CASE("a shared memory gives every batch entry what it would get of the memory alone") {
    const TransformerConfig config{
        .vocabulary = 4, .width = 8, .layers = 1, .memory_layers = {0}, .heads = 2, .memory_heads = 2, .key_heads = 1};
    Random random(1);
    MemoryState<float> state(config, 1);
    const MemorySource<float> memory(state, 3);
    const SharedMemory shared(memory);
    const Tensor<float, 4> q = normal_tensor<float, 4>({3, 5, 2, 4}, 1, random);
    const auto attention = [](const Source<float>& source, const Tensor<float, 4>& queries) {
        Tape tape(Tape::inference);
        return source.attend(tape, {.q = Variable<float, 4>(queries)});
    };
    CHECK(!attention(shared, q).o);  // nothing was read
    state.memory(0, 0).append(normal_tensor<float, 3>({20, 1, 4}, 1, random), normal_tensor<float, 3>({20, 1, 4}, 1, random), 0);
    CHECK(shared.key_count(0, 2) == 20);
    const Attention<float> all = attention(shared, q);
    for (Index b = 0; b < 3; ++b) {
        const Attention<float> of_one = attention(memory, slice<0>(q, b, 1));
        CHECK(slice<0>(all.o.value(), b, 1) == of_one.o.value());
        CHECK(slice<0>(all.log_sum_exp.value(), b, 1) == of_one.log_sum_exp.value());
    }
}
