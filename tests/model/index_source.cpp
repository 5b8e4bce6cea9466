#include "fot/model/index_source.hpp"

#include <doctest/doctest.h>

#include "fot/model/inference.hpp"
#include "support/difference.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

std::unique_ptr<KeySearch<double>> exact(MatrixView<const double> keys) {
    return std::make_unique<ExactKeySearch<double>>(keys.columns);
}

/// A model that has read two streams of 40 tokens, and a window that follows.
struct Reader {
    Random random{1};
    Transformer<double> model;
    MemoryState<double> state;
    MemoryIndexes<double> indexes;
    Tokens window = random_tokens(2, 6, 11, 3);

    explicit Reader(const std::vector<Index>& memory_layers, const MakeKeySearch<double>& make = exact)
        : model(small_model_config(memory_layers), random), state(model.config(), 2), indexes(model.config(), state, make) {
        remember_document(model, random_tokens(2, 40, 11, 2), 8, state, {.top_k = 5});
        indexes.update();
    }

    Tensor<double, 3> read(const Source<double>& source) const {
        Tape tape(Tape::inference);
        return model.forward(tape, window, source).value();
    }
};

}  // namespace

TEST_CASE("through exact searches a model reads what it reads in its memory, in several layers and for several entries") {
    const Reader reader({0, 2});
    const IndexSource<double> source(reader.state, reader.indexes, 5);
    CHECK(largest_difference(reader.read(source), reader.read(MemorySource<double>(reader.state, 5))) < 1e-12);
    CHECK(source.key_count(2, 1) == 40);
    CHECK(source.scored() > 0);
}

TEST_CASE("an empty memory has no keys: the layer is a local one") {
    Reader reader({1});
    reader.state.clear();
    reader.indexes.update();
    const IndexSource<double> source(reader.state, reader.indexes, 5);
    CHECK(reader.read(source).storage() == reader.read(NoSource<double>()).storage());
    CHECK(source.scored() == 0);
}

TEST_CASE("one entry's memory may be empty while another's is not") {
    Reader reader({1});
    reader.state.clear(0);
    reader.indexes.update();
    const SampledTail<double> source(reader.state, reader.indexes, 100, 3, 1);
    CHECK(largest_difference(reader.read(source), reader.read(MemorySource<double>(reader.state, 0))) < 1e-12);
    CHECK(source.key_count(1, 0) == 0);
    CHECK(source.key_count(1, 1) == 40);
}

TEST_CASE("entries that were appended are seen once the indexes are updated") {
    Reader reader({1});
    const IndexSource<double> source(reader.state, reader.indexes, 100);
    const Tensor<double, 3> before = reader.read(source);
    remember_document(reader.model, random_tokens(2, 8, 11, 4), 8, reader.state);
    CHECK(reader.read(source).storage() == before.storage());
    reader.indexes.update();
    CHECK(largest_difference(reader.read(source), reader.read(MemorySource<double>(reader.state, 0))) < 1e-12);
}

TEST_CASE("through indexes of what the memory no longer holds nothing is read; a state may be replaced by another") {
    Reader reader({1});
    const IndexSource<double> source(reader.state, reader.indexes, 5);
    reader.state = MemoryState<double>(reader.model.config(), 2);
    remember_document(reader.model, random_tokens(2, 40, 11, 5), 8, reader.state);
    CHECK_THROWS_AS(reader.read(source), ConfigError);
    reader.indexes.update();
    CHECK(largest_difference(reader.read(source), reader.read(MemorySource<double>(reader.state, 5))) < 1e-12);
    reader.state = MemoryState<double>(reader.model.config(), 1);
    CHECK_THROWS_AS(reader.indexes.update(), ShapeError);
}

TEST_CASE("where a search finds fewer than k the others of its places have no weight") {
    const auto one_list = [](MatrixView<const double> keys) -> std::unique_ptr<KeySearch<double>> {
        return std::make_unique<InvertedLists<double>>(keys, InvertedListsOptions{.lists = 8, .probes = 1});
    };
    const Reader reader({1}, one_list);
    const Tensor<double, 3> logits = reader.read(IndexSource<double>(reader.state, reader.indexes, 40));
    CHECK(largest_difference(logits, reader.read(MemorySource<double>(reader.state, 40))) > 1e-6);
    for (const double logit : logits.storage()) CHECK(std::isfinite(logit));
}

TEST_CASE("a sampled tail brings a model nearer to what it reads in the whole memory, the more samples the nearer") {
    const Reader reader({1});
    const Tensor<double, 3> whole = reader.read(MemorySource<double>(reader.state, 0));
    double before = largest_difference(reader.read(IndexSource<double>(reader.state, reader.indexes, 5)), whole);
    for (const Index samples : {200, 200000}) {
        const double now = largest_difference(reader.read(SampledTail<double>(reader.state, reader.indexes, 5, samples, 1)), whole);
        CHECK(now < before / 2);
        before = now;
    }
}

TEST_CASE("with every other entry in a list of its own a model reads what it reads in the whole memory") {
    Random random(1);
    const Transformer<double> model(small_model_config({1}), random);
    MemoryState<double> state(model.config(), 1);
    remember_document(model, random_tokens(1, 40, 11, 2), 8, state);
    MemoryIndexes<double> indexes(model.config(), state, [](MatrixView<const double> keys) -> std::unique_ptr<KeySearch<double>> {
        return std::make_unique<InvertedLists<double>>(
            keys, InvertedListsOptions{.lists = 40, .probes = 40, .means = {.keys_per_mean = 0, .spherical = false}});
    });
    indexes.update();
    std::vector<ListMeans<double>> means;
    for (Index h = 0; h < 2; ++h)
        means.emplace_back(state.memory(1, 0), h, dynamic_cast<const InvertedLists<double>&>(indexes.index(1, 0).of_head(h)));
    Tape tape(Tape::inference);
    const Tokens window = random_tokens(1, 6, 11, 3);
    const Tensor<double, 3> whole = model.forward(tape, window, MemorySource<double>(state, 0)).value(),
                            estimated = model.forward(tape, window, ListMeansTail<double>(state, indexes, 5, means, false)).value(),
                            best = model.forward(tape, window, IndexSource<double>(state, indexes, 5)).value();
    CHECK(largest_difference(estimated, whole) < 1e-9);
    CHECK(largest_difference(best, whole) > 1e-4);
}

TEST_CASE("nothing is learned through an index, and impossible uses are refused") {
    const Reader reader({1});
    Tape tape;
    CHECK_THROWS_AS(reader.model.forward(tape, reader.window, IndexSource<double>(reader.state, reader.indexes, 5)), ConfigError);
    CHECK_THROWS_AS(IndexSource<double>(reader.state, reader.indexes, 0), ConfigError);
    CHECK_THROWS_AS(reader.indexes.index(0, 0), ShapeError);
    CHECK_THROWS_AS(reader.indexes.index(1, 2), ShapeError);
    CHECK_THROWS_AS(MemoryIndexes<double>(small_model_config({0}), reader.state, exact), ShapeError);
}

TEST_CASE("a source counts every inner product") {
    const Reader reader({0, 2});
    const IndexSource<double> source(reader.state, reader.indexes, 5);
    reader.read(source);
    CHECK(source.scored() == 2 * 2 * 6 * 2 * 40);  // layers, entries, tokens, heads, keys
}
