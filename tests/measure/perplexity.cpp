#include "fot/measure/perplexity.hpp"

#include <doctest/doctest.h>

#include "support/allocations.hpp"

using namespace fot;

TEST_CASE("perplexity and bits per byte of hand numbers") {
    PerplexityMeter meter;
    meter.add(0, 2 * std::log(8.0), 2, 6);
    meter.add(7, 1 * std::log(2.0), 2, 1);
    CHECK(meter.documents() == 2);
    CHECK(meter.nats_per_token(1).value == doctest::Approx(7 * std::log(2.0) / 4));
    CHECK(meter.perplexity(1).value == doctest::Approx(std::pow(2.0, 7.0 / 4)));
    CHECK(meter.bits_per_byte(1).value == doctest::Approx(1.0));
}

TEST_CASE("a uniform byte model costs eight bits a byte and has perplexity 256") {
    PerplexityMeter meter;
    for (Index document = 0; document < 5; ++document) meter.add(document, 100 * std::log(256.0), 100);
    for (const double value :
         {meter.bits_per_byte(1).value, meter.bits_per_byte(1).interval.low, meter.bits_per_byte(1).interval.high})
        CHECK(value == doctest::Approx(8));
    CHECK(meter.perplexity(1).value == doctest::Approx(256));
}

TEST_CASE("the windows of a document add up, in any order") {
    PerplexityMeter whole, windows;
    whole.add(0, 3, 10);
    whole.add(1, 5, 10);
    windows.add(1, 4, 6);
    windows.add(0, 3, 10);
    windows.add(1, 1, 4);
    CHECK(windows.documents() == 2);
    CHECK(windows.perplexity(3).value == doctest::Approx(whole.perplexity(3).value));
    CHECK(windows.perplexity(3).interval.low == doctest::Approx(whole.perplexity(3).interval.low));
    CHECK(windows.perplexity(3).interval.high == doctest::Approx(whole.perplexity(3).interval.high));
}

TEST_CASE("a model that is a little better on every document is better by the paired difference") {
    Random random(5);
    PerplexityMeter a, b;
    for (Index document = 0; document < 40; ++document) {
        const double hard = 1 + 2 * random.uniform();  // documents differ much more than the models
        a.add(document, 100 * (hard - 0.02 - 0.01 * random.uniform()), 100);
        b.add(document, 100 * hard, 100);
    }
    CHECK(a.perplexity(1).interval.high > b.perplexity(1).interval.low);
    const Estimate bits = bits_per_byte_difference(a, b, 1);
    CHECK(bits.value == doctest::Approx(a.bits_per_byte(1).value - b.bits_per_byte(1).value));
    CHECK(bits.interval.low < bits.value);
    CHECK(bits.value < bits.interval.high);
    CHECK(bits.interval.high < 0);
}

TEST_CASE("scored windows are whole, evenly spread, the last one among them") {
    CHECK(scored_windows(1000, 10, 3) == std::vector<Index>{32, 65, 98});  // 99 whole windows with a token behind them
    CHECK(scored_windows(31, 10, 8) == std::vector<Index>{0, 1, 2});
    CHECK(scored_windows(30, 10, 8) == std::vector<Index>{0, 1});
    CHECK(scored_windows(10, 10, 8).empty());
    CHECK(scored_windows(0, 10, 8).empty());
    CHECK(scored_windows(61, 10, 2, 30) == std::vector<Index>{3, 5});  // of windows 3, 4, 5
    CHECK(scored_windows(61, 10, 8, 31) == std::vector<Index>{4, 5});
    CHECK(scored_windows(61, 10, 8, 60).empty());
    CHECK_THROWS_WITH_AS(
        scored_windows(30, 0, 1),
        "scored_windows: 1 windows of 0 tokens from token 0 on, expected 1 or more of the first two and 0 or more of the last",
        ConfigError);
}

TEST_CASE("wrong inputs of the perplexity meter are named") {
    PerplexityMeter meter, other;
    CHECK_THROWS_WITH_AS(meter.perplexity(1), "bootstrap: no documents", DataError);
    CHECK_THROWS_WITH_AS(meter.add(-1, 1, 1), "PerplexityMeter::add: document -1 is negative", DataError);
    CHECK_THROWS_WITH_AS(meter.add(2, 1, 0),
                         "PerplexityMeter::add: document 2 has 0 tokens, 0 bytes, expected 1 or more and 0 or more", DataError);
    CHECK_THROWS_WITH_AS(meter.add(2, INFINITY, 1), "PerplexityMeter::add: the loss of document 2 is inf", NumericError);
    meter.add(0, 1, 1);
    CHECK_THROWS_WITH_AS(bits_per_byte_difference(meter, other, 1), "bits_per_byte_difference: 1 documents against 0", DataError);
    other.add(1, 1, 1);
    meter.add(1, 1, 1);
    other.add(0, 1, 2);
    CHECK_THROWS_WITH_AS(bits_per_byte_difference(meter, other, 1),
                         "bits_per_byte_difference: document 0 has 1 tokens, 1 bytes against 2, 2", DataError);
    PerplexityMeter no_bytes;
    no_bytes.add(0, 1, 1, 0);
    CHECK_THROWS_WITH_AS(no_bytes.bits_per_byte(1), doctest::Contains("document 0 has 1 / 0"), NumericError);
}

TEST_CASE("a loss that is not finite, or that there is no memory for, is not added") {
    PerplexityMeter meter;
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
        CHECK_THROWS_AS(meter.add(3, bad, 5), NumericError);
    CHECK(testing::for_every_failing_allocation([&] { meter.add(3, 1.5, 5); }, [&] { REQUIRE(meter.documents() == 0); }) > 0);
    CHECK(meter.nats() == std::vector<double>{1.5});
}
