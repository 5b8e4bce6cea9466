/// The one-file program computes what the library computes: its loss and every gradient.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fot/model/transformer.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace microfot {
#include "../../examples/microfot.cpp"  // what it includes is included above
}  // namespace microfot

using namespace fot;

namespace {

/// The tokens of windows first ... first+count-1 of a batch of microfot, which are rows with a one in them.
Tokens windows_of(const microfot::Vector& batch, Index first, Index count) {
    const auto length = static_cast<Index>(microfot::T), vocabulary = static_cast<Index>(microfot::V);
    Tokens tokens = empty<std::int32_t, 2>({count, length});
    for (Index i = 0; i < element_count(tokens); ++i) {
        const double* one_hot = batch.data() + (first * length + i) * vocabulary;
        tokens.data()[i] = static_cast<std::int32_t>(std::find(one_hot, one_hot + vocabulary, 1.0) - one_hot);
    }
    return tokens;
}

/// The library's name of each parameter of microfot.
std::map<std::string, microfot::Parameter*> named_parameters(microfot::Model& model) {
    std::map<std::string, microfot::Parameter*> named{{"embedding", &model.embedding}, {"output", &model.output}};
    for (const auto& [prefix, layer] : {std::pair("layers.0.", &model.lower), std::pair("layers.1.", &model.memory)}) {
        const std::string of_layer = prefix;
        named[of_layer + "q"] = &layer->w_q;
        named[of_layer + "k"] = &layer->w_k;
        named[of_layer + "v"] = &layer->w_v;
        named[of_layer + "o"] = &layer->w_o;
        named[of_layer + "log_inverse_temperature"] = &layer->log_sharpness;
        named[of_layer + "up"] = &layer->w_up;
        named[of_layer + "down"] = &layer->w_down;
    }
    return named;
}

/// Where number i of a library's parameter stands in microfot, whose matrices are (in, out): the library's are (out, in).
Index place_in_microfot(const Parameter<double>& parameter, Index i) {
    if (parameter.name == "embedding" || parameter.shape.size() == 1) return i;
    const Index out = parameter.shape[0], in = parameter.shape[1];
    return i % in * out + i / in;
}

TransformerConfig config_of_microfot() {
    TransformerConfig config;
    config.vocabulary = microfot::V;
    config.width = microfot::E;
    config.layers = 2;
    config.memory_layers = {1};
    config.heads = config.memory_heads = microfot::H;
    config.feed_forward = microfot::F;
    config.activation = Activation::squared_relu;
    config.rotary_base = 100;
    config.norm_epsilon = 1e-6;
    return config;
}

}  // namespace

TEST_CASE("microfot has the loss and every gradient of the library, with and without contexts") {
    const auto entries = static_cast<Index>(microfot::B);
    for (const Index contexts : {0, 1, 2, 16}) {
        CAPTURE(contexts);
        microfot::generator.seed(1);
        microfot::Model small;
        for (microfot::Parameter* each : {&small.lower.log_sharpness, &small.memory.log_sharpness})
            for (double& number : each->value) number += 0.5 * microfot::uniform();  // heads that differ
        const microfot::Vector batch = microfot::draw_batch();
        const double loss = microfot::loss(small, batch, static_cast<microfot::Index>(contexts), true);

        Random random(1);
        Transformer<double> model(config_of_microfot(), random);
        const std::vector<Parameter<double>> parameters = model.parameters();
        const std::map<std::string, microfot::Parameter*> named = named_parameters(small);
        std::size_t found = 0;
        for (const Parameter<double>& parameter : parameters) {
            if (parameter.role == Role::norm_scale) continue;  // microfot has none: they are 1
            REQUIRE(named.count(parameter.name) == 1);
            const microfot::Vector& ours = named.at(parameter.name)->value;
            const std::span<double> theirs = parameter.value();
            REQUIRE(length_of(theirs) == length_of(ours));
            for (Index i = 0; i < length_of(theirs); ++i) element(theirs, i) = element(ours, place_in_microfot(parameter, i));
            ++found;
        }
        CHECK(found == 2 + 2 * small.lower.parameters().size());

        const Tokens current = windows_of(batch, 0, entries), previous = windows_of(batch, entries, contexts > 0 ? entries : 0),
                     targets = windows_of(batch, 2 * entries, entries);
        const ContextTable table = contexts > 0 ? previous_contexts(entries, 1, contexts - 1) : no_contexts(entries);
        zero_gradients(parameters);
        Tape tape;
        const Variable<double, 1> mean = cross_entropy(tape, model.crossbatch(tape, {previous, current, table}), targets,
                                                       full<double, 2>(shape_of(targets), 1.0));
        CHECK(loss == doctest::Approx(mean.value()(0)).epsilon(1e-10));
        tape.backward(mean);
        for (const Parameter<double>& parameter : parameters) {
            if (parameter.role == Role::norm_scale) continue;
            CAPTURE(parameter.name);
            const microfot::Vector& ours = named.at(parameter.name)->gradient;
            const std::span<const double> theirs = parameter.gradient();
            double largest = 0, difference = 0;
            for (Index i = 0; i < length_of(theirs); ++i) {
                largest = std::max(largest, std::abs(element(theirs, i)));
                difference = std::max(difference, std::abs(element(theirs, i) - element(ours, place_in_microfot(parameter, i))));
            }
            CHECK(largest > 1e-6);
            CHECK(difference < 1e-10 * largest);
        }
    }
}
