// A synthetic task of one's own: the previous context hides a symbol after a mark, the current one asks for it.
//
//     previous   n n n MARK s n n n        n: noise, s: the symbol of this document
//     current    n n n ASK                 -> s
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

constexpr std::int32_t mark = 0, ask = 1, first_symbol = 2, symbols = 10, vocabulary = first_symbol + symbols;

struct HiddenSymbol {
    Tokens previous, current, targets;
};

HiddenSymbol hidden_symbol(Index documents, Random& random) {
    const auto any = [&] { return first_symbol + static_cast<std::int32_t>(random.below(symbols)); };
    HiddenSymbol batch{empty<std::int32_t, 2>({documents, 8}), empty<std::int32_t, 2>({documents, 4}),
                       empty<std::int32_t, 2>({documents, 1})};
    for (auto& token : batch.previous.storage()) token = any();
    for (auto& token : batch.current.storage()) token = any();
    for (Index b = 0; b < documents; ++b) {
        const Index place = random.below(7);
        batch.previous(b, place) = mark;
        batch.current(b, 3) = ask;
        batch.targets(b, 0) = batch.previous(b, place + 1);
    }
    return batch;
}

int main() {
    Random random(1);
    Transformer<float> model({.vocabulary = vocabulary, .width = 32, .layers = 2, .heads = 2, .feed_forward = 64}, random);
    Muon<float> optimizer(model.parameters(), {});
    const ContextTable table = previous_contexts(32, 1, 0);  // 0 negatives; more: other contexts compete
    const Tensor<float, 2> mask = full<float, 2>({32, 1}, 1.0f);
    double accuracy = 0;  // running
    Index step = 0;
    for (; step < 2000 && accuracy < 0.95; ++step) {
        const HiddenSymbol batch = hidden_symbol(32, random);
        Tape tape;
        const Variable<float, 3> logits = model.crossbatch(tape, {batch.previous, batch.current, table, {3}});
        const Variable<float, 1> loss = cross_entropy(tape, logits, batch.targets, mask, Reduction::token_mean);
        zero_gradients(model.parameters());
        tape.backward(loss);
        optimizer.step(1);
        Proportion right;
        right.add_each(correct_predictions(logits.value(), batch.targets));
        accuracy = 0.95 * accuracy + 0.05 * right.value();
    }
    std::printf("%td steps, accuracy %.2f\n", step, accuracy);
    return accuracy >= 0.95 ? 0 : 1;
}
