#include "fot/model/config.hpp"

#include <doctest/doctest.h>

using namespace fot;

namespace {

/// The defaults with one change.
template <class Change>
TransformerConfig with(Change&& change) {
    TransformerConfig config;
    change(config);
    return config;
}

}  // namespace

TEST_CASE("the default configuration fits together") { CHECK_NOTHROW(TransformerConfig{}.check()); }

TEST_CASE("memory layers may have heads of their own, and keys may have fewer") {
    TransformerConfig config;
    config.memory_layers = {2, 0};
    config.heads = 8;
    config.memory_heads = 2;
    CHECK_NOTHROW(config.check());
    CHECK(config.is_memory_layer(0));
    CHECK_FALSE(config.is_memory_layer(1));
    CHECK(config.heads_of(0) == 2);
    CHECK(config.heads_of(1) == 8);
    CHECK(config.head_width_of(0) == 64);
    CHECK(config.head_width_of(1) == 16);
    CHECK(config.key_heads_of(0) == 2);
    CHECK(config.key_heads_of(1) == 8);
    config.key_heads = 2;
    CHECK_NOTHROW(config.check());
    CHECK(config.key_heads_of(1) == 2);
}

TEST_CASE("the last memory layer is the highest one, -1 in a standard transformer") {
    CHECK(with([](auto& config) { config.memory_layers = {2, 0}; }).last_memory_layer() == 2);
    CHECK(with([](auto& config) { config.memory_layers = {}; }).last_memory_layer() == -1);
    CHECK_NOTHROW(with([](auto& config) { config.memory_layers = {}; }).check());
}

TEST_CASE("memory layers below 0 count from the last, which is the memory layer if nothing is said") {
    TransformerConfig config;
    CHECK(config.memory_layers == std::vector<Index>{-1});
    CHECK(config.is_memory_layer(2));
    CHECK_FALSE(config.is_memory_layer(1));
    CHECK(config.last_memory_layer() == 2);
    config.layers = 5;
    CHECK(config.last_memory_layer() == 4);
    config.memory_layers = {-2, 1};
    CHECK_NOTHROW(config.check());
    CHECK(config.is_memory_layer(3));
    CHECK(config.is_memory_layer(1));
    CHECK_FALSE(config.is_memory_layer(4));
    CHECK(config.resolved().memory_layers == std::vector<Index>{3, 1});
    CHECK(config.resolved() == config.resolved().resolved());
}

TEST_CASE("configurations that do not fit together are refused") {
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.layers = 0; }).check(),
                         "TransformerConfig: vocabulary 256, width 128, layers 0, feed_forward 512: each must be at least 1",
                         ConfigError);
    CHECK_THROWS_AS(with([](auto& config) { config.vocabulary = 0; }).check(), ConfigError);
    CHECK_THROWS_AS(with([](auto& config) { config.width = 0; }).check(), ConfigError);
    CHECK_THROWS_AS(with([](auto& config) { config.feed_forward = 0; }).check(), ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.heads = 3; }).check(),
                         "TransformerConfig: width 128 does not divide into 3 heads", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.memory_heads = 0; }).check(),
                         "TransformerConfig: width 128 does not divide into 0 heads", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.width = 12; }).check(),
                         "TransformerConfig: head width 3 is odd, rotary positions need pairs", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.key_heads = 3; }).check(),
                         "TransformerConfig: 4 heads are not a multiple of 3 key heads", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) {
                             config.memory_layers = {1, 3};
                         }).check(),
                         "TransformerConfig: memory layer 3 of 3 layers", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.memory_layers = {-4}; }).check(),
                         "TransformerConfig: memory layer -4 of 3 layers", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) {
                             config.memory_layers = {1, 1};
                         }).check(),
                         "TransformerConfig: memory layer 1 is listed twice", ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) {
                             config.memory_layers = {2, -1};
                         }).check(),
                         "TransformerConfig: memory layer 2 is listed twice", ConfigError);
    const auto positive = doctest::Contains("expected finite numbers above 0, the last below 1");
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK_THROWS_WITH_AS(with([&](auto& config) { config.rotary_base = infinity; }).check(), positive, ConfigError);
    CHECK_THROWS_WITH_AS(with([&](auto& config) { config.initial_inverse_temperature = infinity; }).check(), positive, ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.norm_epsilon = 1; }).check(), positive, ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.rotary_base = 0; }).check(), positive, ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.initial_inverse_temperature = -1; }).check(), positive, ConfigError);
    CHECK_THROWS_WITH_AS(with([](auto& config) { config.norm_epsilon = 0; }).check(), positive, ConfigError);
}
