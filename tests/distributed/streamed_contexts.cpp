#include "fot/distributed/streamed_contexts.hpp"

#include "support/allocations.hpp"
#include "support/distributed_training.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

Setting streamed(Setting setting, Index at_a_time) {
    setting.at_a_time = at_a_time;
    return setting;
}

/// Bytes that a step on two threads holds at most, beside the text.
Index peak_of_step(Index contexts, Index length, Index at_a_time) {
    Random random(1);
    const std::vector<TokenDocument> documents =
        random_documents(std::vector<Index>(static_cast<std::size_t>(contexts), 2 * length + 1), 3);
    const auto batch = sample_contexts<float>(documents, {.entries = 2, .pool = contexts, .length = length}, random);
    const ContextTable table = contexts_of(batch, contexts - 1);
    return peak_bytes([&] {
        run_as_ranks(2, [&](Communicator& ranks) {
            Random weights(1);
            const Transformer<float> model(small_model_config({2}), weights);
            DistributedCrossbatch<float>(ranks, model, at_a_time).step(batch, table);
        });
    });
}

}  // namespace

TEST_CASE("contexts are visited by their bits, read backwards") {
    CHECK(order_of_reversed_bits(8) == std::vector<Index>{0, 4, 2, 6, 1, 5, 3, 7});
    CHECK(order_of_reversed_bits(5) == std::vector<Index>{0, 4, 2, 1, 3});
    CHECK(order_of_reversed_bits(1) == std::vector<Index>{0});
    CHECK(order_of_reversed_bits(0).empty());
}

TEST_CASE("a block of contexts comes from all ranks in equal parts") {
    const std::vector<Index> order = order_of_reversed_bits(64);
    for (const Index p : {2, 4, 8})
        for (Index first = 0; first < 64; first += 8)
            for (Index rank = 0; rank < p; ++rank)
                CHECK(std::count_if(order.begin() + first, order.begin() + first + 8,
                                    [&](Index context) { return share_of(64, rank, p).contains(context); }) == 8 / p);
}

TEST_CASE("many steps with two contexts at a time give what one tape gives, to rounding") {
    for (const Setting& setting :
         {Setting{.steps = 50, .at_a_time = 2}, Setting{.steps = 10, .memory_layers = {0, 2}, .at_a_time = 2}}) {
        const Training<double> alone = on_one_tape<double>(setting);
        for (Index p = 1; p <= 4; ++p) {
            const Training<double> together = on_ranks<double>(setting, p);
            CHECK(largest_difference(together.losses, alone.losses) < 1e-12);
            CHECK(largest_difference(together.weights, alone.weights) < 1e-12);
        }
    }
}

TEST_CASE("every kind of table gives what one tape gives, a few contexts at a time") {
    for (const Setting& setting : all_settings) {
        CAPTURE(setting.pool);
        CAPTURE(setting.negatives);
        const Training<double> alone = on_one_tape<double>(setting), together = on_ranks<double>(streamed(setting, 3), 3);
        CHECK(largest_difference(together.losses, alone.losses) < 1e-13);
        CHECK(largest_difference(together.weights, alone.weights) < 1e-12);
    }
}

TEST_CASE("loss, gradients and weights have the same bits for every number of ranks and of contexts at a time") {
    for (const Setting& setting : all_settings) {
        CAPTURE(setting.pool);
        CAPTURE(setting.negatives);
        const Training<float> of_one = on_ranks<float>(streamed(setting, 3), 1);
        const Training<double> of_one_double = on_ranks<double>(streamed(setting, 3), 1);
        for (const auto& [p, at_a_time] : std::vector<std::pair<Index, Index>>{{1, 1}, {2, 3}, {3, 2}, {4, 100}}) {
            const Training<float> of_p = on_ranks<float>(streamed(setting, at_a_time), p);
            CHECK(of_p.weights == of_one.weights);
            CHECK(of_p.losses == of_one.losses);
            CHECK(on_ranks<double>(streamed(setting, at_a_time), p).weights == of_one_double.weights);
        }
    }
}

TEST_CASE("keys and values travel twice, their gradients once") {
    // Of a context: 6 tokens, keys and values of 2 heads of width 4 in each memory layer.
    for (const std::vector<Index>& memory_layers : {std::vector<Index>{2}, {1, 2}})
        for (const Index p : {1, 2, 4})
            for (const Index d : {1, 2, 3, 8})
                for (const Index at_a_time : {1, 3, 8}) {
                    CAPTURE(p);
                    CAPTURE(d);
                    CAPTURE(at_a_time);
                    const Index all = 8 * 6 * 2 * 2 * 4 * 4 * length_of(memory_layers);  // S
                    const Training<float> training = on_ranks<float>(
                        {.negatives = d - 1, .steps = 1, .memory_layers = memory_layers, .at_a_time = at_a_time}, p);
                    const Index once = p == 1 ? 0 : std::min((d - 1) * all / 8, (p - 1) * all / p);
                    CHECK(training.bytes("keys and values") == 2 * once);
                    CHECK(training.bytes("gradients of keys and values") == once);
                }
}

TEST_CASE("a rank has no more contexts of others at a time than a block has") {
    const auto most = [](Index p, Index at_a_time) {
        return on_ranks<float>({.negatives = 7, .steps = 1, .memory_layers = {1, 2}, .at_a_time = at_a_time}, p).most_of_others;
    };
    for (const Index p : {2, 4}) {
        CHECK(most(p, 0) == 8 - 8 / p);
        CHECK(most(p, 8) == 8 - 8 / p);
        CHECK(most(p, 4) == 4 - 4 / p);
        CHECK(most(p, 1) == 1);
    }
    CHECK(most(1, 0) == 0);
    CHECK(most(1, 2) == 0);
}

TEST_CASE("what a step holds grows with the contexts that a rank has, not with those that its entries see") {
    const Index length = 64, of_context = length * 2 * 2 * 4 * static_cast<Index>(sizeof(float)), more = 256;
    const auto growth = [&](Index at_a_time) {
        return static_cast<double>(peak_of_step(128 + more, length, at_a_time) - peak_of_step(128, length, at_a_time)) /
               static_cast<double>(more * of_context);
    };
    CHECK(growth(4) < 3);  // the two ranks together have each context once: keys and values, and their gradients
    CHECK(growth(0) > 6);  // and each of them has all: in a list, and as tensors with their gradients
}

TEST_CASE("ranks with different numbers of contexts at a time are an error on every rank") {
    Index failed = 0;
    std::mutex mutex;
    const auto try_number = [&](auto&& number_of_rank) {
        failed = 0;
        run_as_ranks(3, [&](Communicator& ranks) {
            Random random(1);
            const Transformer<float> model(small_model_config({2}), random);
            try {
                DistributedCrossbatch<float>(ranks, model, number_of_rank(ranks.rank()));
            } catch (const ConfigError&) {
                const std::lock_guard lock(mutex);
                ++failed;
            }
        });
        return failed == 3;
    };
    CHECK(try_number([](Index rank) { return rank; }));
    CHECK(try_number([](Index) { return Index{-1}; }));
}
