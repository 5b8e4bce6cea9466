#include "fot/distributed/crossbatch_passes.hpp"

#include "support/difference.hpp"
#include "support/distributed_training.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// A batch of three entries, and what one rank of one makes of it.
struct OneRank {
    Random random{1};
    Transformer<double> model{small_model_config({1, 2}), random};
    ContextBatch<double> batch = sample_contexts<double>(random_documents({40, 40, 40}, 3), {.entries = 3, .length = 6}, random);
    BatchShares shares{contexts_of(batch, 2), 3, 1};
    CrossbatchPasses<double> passes{model, batch, shares};

    /// The gradients of the parameters of some layers, of an entry without further keys.
    std::vector<double> gradients_of_layers(Index first, Index last, Index run_from) {
        passes.run_entry(1, NoSource<double>(), run_from);
        std::vector<double> list;
        for (Index layer = first; layer < last; ++layer) {
            std::vector<Parameter<double>> parameters;
            model.layer(layer).add_parameters("", parameters);
            for (const auto& p : parameters) list.insert(list.end(), p.gradient().begin(), p.gradient().end());
        }
        return list;
    }
};

}  // namespace

TEST_CASE_FIXTURE(OneRank, "the list of a context holds its keys and values as the model computes them") {
    const LayerLists<double> lists = passes.contexts_of(0);
    Tape tape(Tape::inference);
    const auto of_layers = model.keys_and_values(tape, batch.previous);
    CHECK(lists[0].empty());  // no memory layer
    for (const Index layer : {1, 2}) {
        const auto [k, v] = passes.leaves(layer, element(lists, layer), {2, 0});
        for (const auto& [leaf, all] : {std::pair{k, element(of_layers, layer).k}, {v, element(of_layers, layer).v}}) {
            CHECK(largest_difference(slice<0>(leaf.value(), 0, 1), slice<0>(all.value(), 2, 1)) < 1e-14);
            CHECK(largest_difference(slice<0>(leaf.value(), 1, 1), slice<0>(all.value(), 0, 1)) < 1e-14);
        }
        CHECK(passes.listed(k.value(), v.value(), 1) == element(lists, layer).at(0));
        CHECK(length_of(element(lists, layer).at(0)) == passes.numbers(layer));
    }
}

TEST_CASE_FIXTURE(OneRank, "a pass from a layer on gives no gradient below, and the same from there on") {
    for (const double below : gradients_of_layers(0, 1, 1)) CHECK(below == 0);
    CHECK(gradients_of_layers(1, 3, 1) == gradients_of_layers(1, 3, 0));
    const std::vector<double> recorded = gradients_of_layers(0, 1, 0);
    CHECK(std::ranges::any_of(recorded, [](double below) { return below != 0; }));
}

TEST_CASE_FIXTURE(OneRank, "the losses of all entries add up to that of the batch") {
    double sum = 0;
    for (Index entry = 0; entry < 3; ++entry) sum += passes.run_entry(entry, NoSource<double>());
    Tape tape(Tape::inference);
    const double whole = cross_entropy(model.local(tape, batch.current).value(), batch.targets, batch.mask);
    CHECK(std::abs(sum - whole) < 1e-13);
}
