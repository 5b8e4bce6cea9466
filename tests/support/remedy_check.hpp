/// What every remedy that is a scoring or a joining must do as part of a model.
#pragma once

#include <algorithm>
#include <string>

#include "fot/model/inference.hpp"
#include "fot/train/checkpoint.hpp"
#include "fot/train/muon.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"
#include "support/temporary_folder.hpp"

namespace fot::testing {

/// Two layers, the upper one with a memory, as `change(model)` leaves them.
template <class Change>
Transformer<double> remedied_model(Change&& change, std::uint64_t seed = 1) {
    TransformerConfig config = small_model_config({1});
    config.layers = 2;
    Random random(seed);
    Transformer<double> model(config, random);
    change(model);
    return model;
}

/// The parameter of that name.
inline Parameter<double> parameter_named(const Transformer<double>& model, const std::string& name) {
    const auto list = model.parameters();
    REQUIRE(std::ranges::count(list, name, &Parameter<double>::name) == 1);
    return *std::ranges::find(list, name, &Parameter<double>::name);
}

/// Checks that the parameter `own` is listed once, has the gradient of finite differences with all others, is trained, and is kept
/// by saved weights; that crossbatch and a memory agree; and that no memory is the same as an empty one.
template <class Change>
void check_remedy(Change&& change, const std::string& own) {
    const Transformer<double> model = remedied_model(change);
    Random random(3);
    for (double& number : parameter_named(model, own).value()) number += 0.3 * random.normal();  // no longer the zeros of the start

    const ContextTable table{2, {{0, 1}, {}, {1}}, {1, 0, 1}};  // batch entry 1 sees no further key
    const CrossbatchInput input{random_tokens(2, 2, 11, 4), random_tokens(3, 3, 11, 5), table};
    parameter_gradient_error(model.parameters(), [&](Tape& on) { return weighted_logits(on, model.crossbatch(on, input)); });
    Tape tape(Tape::inference);
    const Tensor<double, 3> together = model.crossbatch(tape, input).value(), alone = model.local(tape, input.current).value();
    CHECK(largest_difference(slice<0>(together, 1, 1), slice<0>(alone, 1, 1)) < 1e-13);
    CHECK(largest_difference(slice<0>(together, 0, 1), slice<0>(alone, 0, 1)) > 1e-4);

    const Tokens first = random_tokens(2, 5, 11, 6), second = random_tokens(2, 5, 11, 7), current = random_tokens(2, 4, 11, 8);
    MemoryState<double> state(model.config(), 2);
    CHECK(read_window(model, first, state, {.top_k = 0}) == model.local(tape, first).value());
    read_window(model, second, state, {.top_k = 0});
    const Tensor<double, 3> read = read_window(model, current, state, {.top_k = 0, .append = false}),
                            best = read_window(model, current, state, {.top_k = 10});  // all ten
    CHECK(largest_difference(read, best) < 1e-12);
    CHECK(largest_difference(
              read, model.crossbatch(tape, {concatenate<0>(second, first), current, previous_contexts(2, 2, 0)}).value()) < 1e-12);

    const std::vector<double> before(parameter_named(model, own).value().begin(), parameter_named(model, own).value().end());
    Muon<double> optimizer(model.parameters());
    zero_gradients(model.parameters());
    Tape training;
    training.backward(weighted_logits(training, model.crossbatch(training, input)));
    optimizer.step(1);
    CHECK_FALSE(std::ranges::equal(parameter_named(model, own).value(), before));
    const TemporaryFolder folder;
    const Transformer<double> other = remedied_model(change, 9);
    save_weights(folder / "model.safetensors", model.parameters());
    load_weights(folder / "model.safetensors", other.parameters());
    CHECK(other.crossbatch(tape, input).value() == model.crossbatch(tape, input).value());
    CHECK_THROWS_AS(load_weights(folder / "model.safetensors", remedied_model([](auto&) {}).parameters()), FileError);
}

}  // namespace fot::testing
