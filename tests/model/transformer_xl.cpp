#include "fot/model/transformer_xl.hpp"

#include <doctest/doctest.h>

#include "support/allocations.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"
#include "support/with_threads.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

TransformerConfig small_config(std::vector<Index> memory_layers = {1}) {
    return {.vocabulary = 11,
            .width = 8,
            .layers = 2,
            .memory_layers = std::move(memory_layers),
            .heads = 2,
            .memory_heads = 1,
            .feed_forward = 12,
            .activation = Activation::swiglu,
            .norm_epsilon = 1e-3};
}

Tokens columns(const Tokens& tokens, Index first, Index count) {
    Tokens part = empty<std::int32_t, 2>({extent(tokens, 0), count});
    for (Index b = 0; b < extent(tokens, 0); ++b) std::copy_n(row(tokens, b) + first, count, row(part, b));
    return part;
}

}  // namespace

TEST_CASE("the first window is read as by a standard transformer") {
    Random random(1);
    Transformer<double> model(small_config(), random);
    const Tokens tokens = random_tokens(2, 6, 11, 2);
    RecurrentState<double> state;
    Tape tape(Tape::inference);
    CHECK(largest_difference(window_with_recurrence(tape, model, tokens, state).value(), model.local(tape, tokens).value()) == 0);
}

TEST_CASE("two windows of one layer are one window of twice the length") {
    TransformerConfig config = small_config({});
    config.layers = 1;  // with more, the standard transformer's lower layers look further back
    Random random(3);
    Transformer<double> model(config, random);
    const Tokens tokens = random_tokens(2, 11, 11, 4);
    RecurrentState<double> state;
    Tape tape(Tape::inference);
    window_with_recurrence(tape, model, columns(tokens, 0, 6), state);
    const Tensor<double, 3> second = window_with_recurrence(tape, model, columns(tokens, 6, 5), state).value();
    const Tensor<double, 3> whole = model.local(tape, tokens).value();
    for (Index b = 0; b < 2; ++b)
        for (Index i = 0; i < 5 * 11; ++i) CHECK(row(second, b)[i] == doctest::Approx(row(whole, b, Index(6))[i]).epsilon(1e-10));
}

TEST_CASE("two layers see two windows back, and an edit before that changes nothing") {
    Random random(5);
    Transformer<double> model(small_config(), random);
    const Tokens tokens = random_tokens(1, 24, 11, 6);
    const auto last_of_four = [&](Index edited) {
        Tokens changed = tokens;
        if (edited >= 0) changed(0, edited) = (changed(0, edited) + 1) % 11;
        RecurrentState<double> state;
        Tape tape(Tape::inference);
        Tensor<double, 3> logits;
        for (Index window = 0; window < 4; ++window)
            logits = window_with_recurrence(tape, model, columns(changed, 6 * window, 6), state).value();
        return logits;
    };
    const Tensor<double, 3> before = last_of_four(-1);
    CHECK(largest_difference(before, last_of_four(5)) == 0);
    CHECK(largest_difference(before, last_of_four(6)) > 1e-6);
    CHECK(largest_difference(before, last_of_four(13)) > 1e-6);
}

TEST_CASE("an entry whose document has ended sees no previous window, its neighbour does") {
    Random random(7);
    Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(2, 6, 11, 8), second = random_tokens(2, 6, 11, 9);
    Tape tape(Tape::inference);
    RecurrentState<double> state, kept;
    window_with_recurrence(tape, model, first, state);
    window_with_recurrence(tape, model, first, kept);
    state.clear(0);
    const Tensor<double, 3> cleared = window_with_recurrence(tape, model, second, state).value(),
                            both = window_with_recurrence(tape, model, second, kept).value(),
                            local = model.local(tape, second).value();
    for (Index i = 0; i < 6 * 11; ++i) {
        CHECK(row(cleared, Index(0))[i] == doctest::Approx(row(local, Index(0))[i]).epsilon(1e-10));
        CHECK(row(cleared, Index(1))[i] == row(both, Index(1))[i]);
    }
    CHECK(largest_difference(both, local) > 1e-3);
}

TEST_CASE("gradients reach every parameter, and stop at the states of the previous window") {
    Random random(10);
    Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(2, 4, 11, 11), second = random_tokens(2, 4, 11, 12);
    RecurrentState<double> previous;
    {
        Tape tape(Tape::inference);
        window_with_recurrence(tape, model, first, previous);
    }
    parameter_gradient_error(model.parameters(), [&](Tape& on) {  // the states stay those of the unchanged parameters
        RecurrentState<double> state = previous;
        return weighted_logits(on, window_with_recurrence(on, model, second, state));
    });
}

TEST_CASE("through the previous window gradients flow into the maps to keys and values, and none into its states") {
    for (const Index layer_number : {0, 1}) {  // with positions, and without
        Random random(15);
        Transformer<double> model(small_config(), random);
        const TransformerLayer<double>& layer = model.layer(layer_number);
        RecurrentState<double> state;
        Tape inference(Tape::inference);
        window_with_recurrence(inference, model, random_tokens(2, 4, 11, 16), state);
        const std::vector<Tensor<double, 3>> before = state.inputs;

        // The queries of the next window as constants: all that is left to learn lies in the previous window.
        const PreviousWindow<double> source(model, state);
        const LayerView<double> at =
            layer.view(inference, Variable<double, 3>(normal_tensor<double, 3>({2, 3, 8}, 1, random)), source);
        const Variable<double, 2> output(layer.o.trained().value());
        const auto attended = [&](Tape& on) { return weighted_logits(on, merge_heads(on, source.attend(on, at).o, output)); };
        parameter_gradient_error(model.parameters(), attended);
        const auto largest = [](const Tensor<double, 2>& d) {
            return std::max(*std::max_element(d.begin(), d.end()), -*std::min_element(d.begin(), d.end()));
        };
        CHECK(largest(layer.k.trained().gradient()) > 1e-3);
        CHECK(largest(layer.v.trained().gradient()) > 1e-3);
        CHECK(largest(layer.q.trained().gradient()) == 0);
        CHECK(state.inputs == before);
        CHECK(source.key_count(layer_number, 1) == 4);
        state.clear(1);
        CHECK(source.key_count(layer_number, 1) == 0);
        CHECK(source.key_count(layer_number, 0) == 4);
    }

    // The embeddings of tokens that stand in the previous window alone get nothing.
    Random random(17);
    Transformer<double> model(small_config(), random);
    Tokens first = random_tokens(2, 6, 5, 18), second = random_tokens(2, 6, 5, 19);
    for (std::int32_t& token : second.storage()) token += 5;
    RecurrentState<double> state;
    Tape training;
    window_with_recurrence(training, model, first, state);  // on the same tape: still no gradient into the states
    zero_gradients(model.parameters());
    training.backward(weighted_logits(training, window_with_recurrence(training, model, second, state)));
    const Parameter<double> embedding = model.parameters().front();
    REQUIRE(embedding.name == "embedding");
    const auto row_of = [&](std::int32_t token) { return embedding.gradient().subspan(8 * static_cast<std::size_t>(token), 8); };
    for (const std::int32_t token : first.storage())
        for (const double d : row_of(token)) CHECK(d == 0);
    for (const std::int32_t token : second.storage())
        for (const double d : row_of(token)) CHECK(d != 0);
}

TEST_CASE("a state of other entries or layers is refused") {
    Random random(13);
    Transformer<double> model(small_config(), random);
    RecurrentState<double> state;
    Tape tape(Tape::inference);
    window_with_recurrence(tape, model, random_tokens(2, 4, 11, 14), state);
    CHECK_THROWS_WITH_AS(window_with_recurrence(tape, model, random_tokens(3, 4, 11, 14), state),
                         "window_with_recurrence: 3 batch entries, the state has 2", ShapeError);
    state.inputs.pop_back();
    CHECK_THROWS_WITH_AS(window_with_recurrence(tape, model, random_tokens(2, 4, 11, 14), state),
                         doctest::Contains("layers, the state has"), ShapeError);
    state.seen.clear();
    CHECK_THROWS_WITH_AS(window_with_recurrence(tape, model, random_tokens(2, 4, 11, 14), state),
                         "window_with_recurrence: 2 batch entries, the state has 0", ShapeError);
    state.seen.assign(2, true);
    CHECK_THROWS_WITH_AS(state.clear(5000000), "RecurrentState: entry 5000000 of 2", ShapeError);
}

TEST_CASE("a window that runs out of memory leaves the state as it was") {
    Random random(41);
    const Transformer<double> model(small_config(), random);
    const Tokens first = random_tokens(2, 4, 11, 42), second = random_tokens(2, 4, 11, 43);
    const testing::WithThreads one(1);
    RecurrentState<double> state;
    for (const Tokens& tokens : {first, second}) {
        const RecurrentState<double> before = state;
        const auto read = [&] {
            Tape tape(Tape::inference);
            window_with_recurrence(tape, model, tokens, state);
        };
        CHECK(for_every_failing_allocation(read, [&] {
                  REQUIRE(state.inputs == before.inputs);
                  REQUIRE(state.seen == before.seen);
              }) > 50);
    }
    RecurrentState<double> expected;
    Tape tape(Tape::inference);
    window_with_recurrence(tape, model, first, expected);
    window_with_recurrence(tape, model, second, expected);
    CHECK(state.inputs == expected.inputs);
}

TEST_CASE("logits that are no numbers are an error, and leave the state as it was") {
    Random random(19);
    Transformer<double> model(small_config(), random);
    model.parameters().back().value()[0] = std::nan("");
    RecurrentState<double> state;
    Tape tape(Tape::inference);
    CHECK_THROWS_AS(window_with_recurrence(tape, model, random_tokens(1, 4, 11, 20), state), NumericError);
    CHECK(state.inputs.empty());
}
