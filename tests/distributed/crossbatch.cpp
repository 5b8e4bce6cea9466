#include "fot/distributed/crossbatch.hpp"

#include "support/distributed_training.hpp"

using namespace fot;
using namespace fot::testing;

TEST_CASE("fifty steps on one to four ranks give what one tape gives, to rounding") {
    const Setting setting{.steps = 50};
    const Training<double> alone = on_one_tape<double>(setting);
    for (Index p = 1; p <= 4; ++p) {
        const Training<double> together = on_ranks<double>(setting, p);
        CHECK(largest_difference(together.losses, alone.losses) < 1e-12);
        CHECK(largest_difference(together.weights, alone.weights) < 1e-12);
    }
}

TEST_CASE("every kind of table gives what one tape gives") {
    for (const Setting& setting : all_settings) {
        CAPTURE(setting.pool);
        CAPTURE(setting.negatives);
        const Training<double> alone = on_one_tape<double>(setting), together = on_ranks<double>(setting, 3);
        CHECK(largest_difference(together.losses, alone.losses) < 1e-13);
        CHECK(largest_difference(together.weights, alone.weights) < 1e-12);
    }
}

TEST_CASE("loss, gradients and weights have the same bits for every number of ranks") {
    for (const Setting& setting : all_settings) {
        CAPTURE(setting.pool);
        CAPTURE(setting.negatives);
        const Training<float> of_one = on_ranks<float>(setting, 1);
        const Training<double> of_one_double = on_ranks<double>(setting, 1);
        for (Index p = 2; p <= 4; ++p) {
            const Training<float> of_p = on_ranks<float>(setting, p);
            CHECK(of_p.weights == of_one.weights);
            CHECK(of_p.losses == of_one.losses);
            CHECK(on_ranks<double>(setting, p).weights == of_one_double.weights);
        }
    }
}

TEST_CASE("a rank sends what the formulas say") {
    // Of a context: 6 tokens, one memory layer, keys and values of 2 heads of width 4.
    const Index context = 6 * 2 * 2 * 4 * static_cast<Index>(sizeof(float));
    Random random(1);
    const Index parameters = parameter_count(Transformer<float>(small_model_config({2}), random).parameters());
    for (const Index p : {2, 4})
        for (const Index d : {1, 2, 3, 8}) {
            CAPTURE(p);
            CAPTURE(d);
            const Training<float> training = on_ranks<float>({.negatives = d - 1, .steps = 1}, p);
            const Index all = 8 * context;  // S
            CHECK(training.bytes("keys and values") == std::min((d - 1) * all / 8, (p - 1) * all / p));
            CHECK(training.bytes("gradients of keys and values") == training.bytes("keys and values"));
            const Index share = parameters / p;
            CHECK(training.bytes("parameters") >= 3 * (p - 1) * share * 4);
            CHECK(training.bytes("parameters") <= 3 * (p - 1) * (share + 1) * 4);
        }
}

TEST_CASE("wrong use is an error on every rank, before any training") {
    const auto error_on_all = [](Index p, auto&& work) {
        Index failed = 0;
        std::mutex mutex;
        run_as_ranks(p, [&](Communicator& ranks) {
            try {
                work(ranks);
            } catch (const ConfigError&) {
                const std::lock_guard lock(mutex);
                ++failed;
            }
        });
        return failed == p;
    };
    CHECK(error_on_all(3, [](Communicator& ranks) {  // another seed on rank 2
        Random random(ranks.rank() == 2 ? 2 : 1);
        const Transformer<float> model(small_model_config({2}), random);
        DistributedCrossbatch<float>(ranks, model);
    }));
    CHECK(error_on_all(3, [](Communicator& ranks) {  // fewer documents than ranks
        Random random(1);
        const Transformer<float> model(small_model_config({2}), random);
        const auto batch =
            sample_contexts<float>(random_documents({40, 40}, 3), {.entries = 2, .positives = 1, .length = 6}, random);
        DistributedCrossbatch<float>(ranks, model).step(batch, contexts_of(batch, 1));
    }));
    CHECK(error_on_all(2, [](Communicator& ranks) {  // a table of another batch
        Random random(1);
        const Transformer<float> model(small_model_config({2}), random);
        const auto batch =
            sample_contexts<float>(random_documents({40, 40}, 3), {.entries = 2, .positives = 1, .length = 6}, random);
        DistributedCrossbatch<float>(ranks, model).step(batch, previous_contexts(2, 2, 1));
    }));
}
