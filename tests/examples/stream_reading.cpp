#include "../../examples/support/stream_reading.hpp"

#include <doctest/doctest.h>

#include "small_text.hpp"

using namespace fot;
using namespace fot::examples;
using namespace fot::testing;

namespace {

/// Documents of the lengths, without anything that comes again.
std::vector<TokenDocument> documents_of(const std::vector<Index>& lengths) {
    std::vector<TokenDocument> documents;
    for (const Index length : lengths) {
        TokenDocument& document = documents.emplace_back(TokenDocument{message(length), {}});
        for (Index t = 0; t < length; ++t) document.tokens.push_back(static_cast<std::int32_t>((7 * length + t * t) % 200));
    }
    return documents;
}

TextSettings settings_with_places(Index places) {
    TextSettings settings = small_settings();
    settings.places = places;
    return settings;
}

Transformer<float> small_model(const TextSettings& settings) {
    Random random(1);
    return new_text_model(settings, random);
}

/// Bits per byte by memory size, every memory read for its k best.
MemoryCurve curve_of(const std::vector<TokenDocument>& documents, const std::vector<TokenDocument>& before, bool by_turns,
                     const std::vector<Index>& sizes) {
    const TextSettings settings = settings_with_places(3);
    const Transformer<float> model = small_model(settings);
    StreamReader reader(model, settings, sizes, [](const auto& state) { return std::make_unique<MemorySource<float>>(state, 4); });
    reader.read(before, false, false, "fill");
    reader.read(documents, by_turns, true, "read");
    return reader.curve({MemoryScope::multi_document, 4});
}

}  // namespace

TEST_CASE("documents come one after another, or a window of each by turns until it ends") {
    const std::vector<TokenDocument> documents = documents_of({20, 8, 17});
    const auto places = [&](bool by_turns) {
        std::string text;
        for (const auto& [document, first] : reading_order(documents, 8, by_turns)) text += message(document, ":", first, " ");
        return text;
    };
    CHECK(places(false) == "0:0 0:8 0:16 1:0 2:0 2:8 2:16 ");
    CHECK(places(true) == "0:0 1:0 2:0 0:8 2:8 0:16 2:16 ");
}

TEST_CASE("a copy of a reader goes on by itself from what was read") {
    const std::vector<TokenDocument> documents = documents_of({60, 35, 81}), before = documents_of({50, 23});
    const std::vector<Index> sizes{0, 16, 128};
    const TextSettings settings = settings_with_places(3);
    const Transformer<float> model = small_model(settings);
    const Reading reading{MemoryScope::multi_document, 4};
    StreamReader filled(model, settings, sizes, [](const auto& state) { return std::make_unique<MemorySource<float>>(state, 4); });
    filled.read(before, false, false, "fill");
    for (const bool by_turns : {false, true}) {
        StreamReader reader = filled;
        reader.read(documents, by_turns, true, "read");
        CHECK(reader.source(128).key_count(1, 0) == 128);
        CHECK(filled.source(128).key_count(1, 0) == 73);
        const MemoryCurve expected = curve_of(documents, before, by_turns, sizes), got = reader.curve(reading);
        for (const auto& [at, meter] : expected) CHECK(got.at(at).nats() == meter.nats());
    }
}

TEST_CASE("a stream that is read for its k best predicts as memory_curve says") {
    const std::vector<TokenDocument> documents = documents_of({60, 35, 81}), before = documents_of({50, 23});
    const std::vector<Index> sizes{0, 8, 32, 64};
    const TextSettings settings = settings_with_places(3);
    const Transformer<float> model = small_model(settings);
    const MemoryCurve expected =
        memory_curve(model, documents, before, curve_options(settings, sizes, {{MemoryScope::multi_document, 4}}));
    const MemoryCurve curve = curve_of(documents, before, false, sizes);
    REQUIRE(curve.size() == 4);
    for (const auto& [at, meter] : expected) {
        CHECK(curve.at(at).tokens() == meter.tokens());
        for (Index i = 0; i < 3; ++i)
            CHECK(element(curve.at(at).nats(), i) == doctest::Approx(element(meter.nats(), i)).epsilon(1e-5));
    }
}

TEST_CASE("by turns the same windows are predicted as one after another, with other memories") {
    const std::vector<TokenDocument> documents = documents_of({40, 41});
    const MemoryCurve after = curve_of(documents, {}, false, {0, 8}), turns = curve_of(documents, {}, true, {0, 8});
    const auto nats = [](const MemoryCurve& curve, Index tokens, Index document) {
        return element(curve.at({MemoryScope::multi_document, tokens, 4}).nats(), document);
    };
    for (Index document = 0; document < 2; ++document) {
        CHECK(nats(after, 0, document) == doctest::Approx(nats(turns, 0, document)).epsilon(1e-6));
        CHECK(std::abs(nats(after, 8, document) - nats(turns, 8, document)) > 1e-5);
    }
}
