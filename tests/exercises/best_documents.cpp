/// Exercise 12: a remedy for distraction, at inference.
#include <doctest/doctest.h>

#include <algorithm>
#include <best_documents.hpp>  // the file beside this one, or the answer: as the include path says
#include <cmath>
#include <limits>
#include <vector>

#include "fot/model/inference.hpp"

using namespace exercises;

namespace {

/// A model of one memory layer, number 1, with four heads of width 4 and two heads of keys.
const TransformerConfig config{
    .vocabulary = 8, .width = 16, .layers = 2, .heads = 4, .memory_heads = 4, .key_heads = 2, .feed_forward = 16};

Tensor<double, 4> normal(const Shape<4>& shape, std::uint64_t seed) {
    Random random(seed);
    return normal_tensor<double, 4>(shape, 1, random);
}

/// Five tokens of each of three documents in the memory of batch entry b.
void remember_three(MemoryState<double>& state, Index b) {
    for (const Index document : {4, 2, 9}) {
        const auto seed = static_cast<std::uint64_t>(100 * b + document);
        state.memory(1, b).append(normal({1, 5, 2, 4}, seed), normal({1, 5, 2, 4}, seed + 50), 0, document);
    }
}

Attention<double> attend(const Source<double>& source, const Tensor<double, 4>& q) {
    Tape tape(Tape::inference);
    return source.attend(tape, {.layer = 1, .q = Variable<double, 4>(q)});
}

/// Attention of query (t, h) to the entries of some documents alone, by the definition: o (D), then the log-sum-exp.
std::vector<double> attention_to(const KeyValueMemory<double>& memory, const Tensor<double, 4>& q, Index b, Index t, Index h,
                                 const std::vector<Index>& documents) {
    std::vector<double> o(5);
    double sum = 0;
    memory.for_each_block(h * memory.heads() / extent(q, 2), [&](const auto& keys, const auto& values, Index first) {
        for (Index m = 0; m < keys.rows; ++m) {
            if (std::find(documents.begin(), documents.end(), memory.document(first + m)) == documents.end()) continue;
            double score = 0;
            for (Index i = 0; i < 4; ++i) score += q(b, t, h, i) * keys.row(m)[i];
            sum += std::exp(score);
            for (Index i = 0; i < 4; ++i) element(o, i) += std::exp(score) * values.row(m)[i];
        }
    });
    for (Index i = 0; i < 4; ++i) element(o, i) /= sum;
    o[4] = std::log(sum);
    return o;
}

/// Checks o and log-sum-exp of query (b, t, h).
void check_query(const Attention<double>& got, Index b, Index t, Index h, const std::vector<double>& expected) {
    for (Index i = 0; i < 4; ++i) CHECK(got.o.value()(b, t, h, i) == doctest::Approx(element(expected, i)).epsilon(1e-12));
    CHECK(got.log_sum_exp.value()(b, h, t) == doctest::Approx(expected[4]).epsilon(1e-12));
}

/// The documents in the order of their mass, for a query.
std::vector<Index> by_mass(const KeyValueMemory<double>& memory, const Tensor<double, 4>& q, Index b, Index t, Index h) {
    std::vector<Index> documents{4, 2, 9};
    std::sort(documents.begin(), documents.end(), [&](Index first, Index second) {
        return attention_to(memory, q, b, t, h, {first})[4] > attention_to(memory, q, b, t, h, {second})[4];
    });
    return documents;
}

/// A memory of one head, of which one query looks along the first axis: the score of a key is its first number.
struct AlongOneAxis {
    MemoryState<double> state{{.vocabulary = 8, .width = 4, .layers = 2, .heads = 1, .memory_heads = 1, .feed_forward = 4}, 1};

    /// So many keys of one score, whose values are the number of their document.
    void remember(Index document, Index count, double score) {
        Tensor<double, 3> keys = zeros<double, 3>({count, 1, 4});
        for (Index i = 0; i < count; ++i) keys(i, 0, 0) = score;
        state.memory(1, 0).append(keys, full<double, 3>({count, 1, 4}, static_cast<double>(document)), document);
    }

    /// Checks that the query sees this document alone, and the log-sum-exp of its scores.
    void check_chosen(Index document, double log_sum_exp) const {
        Tensor<double, 4> q = zeros<double, 4>({1, 1, 1, 4});
        q(0, 0, 0, 0) = 1;
        const Attention<double> got = attend(BestDocuments(state, 1), q);
        CHECK(got.o.value()(0, 0, 0, 0) == doctest::Approx(static_cast<double>(document)));
        CHECK(got.log_sum_exp.value()(0, 0, 0) == doctest::Approx(log_sum_exp));
    }
};

}  // namespace

TEST_CASE("12: each query and head attends to its own best documents, and to nothing else") {
    MemoryState<double> state(config, 2);
    for (const Index b : {0, 1}) remember_three(state, b);
    const Tensor<double, 4> q = normal({2, 6, 4, 4}, 1);
    for (const Index count : {1, 2}) {
        const Attention<double> got = attend(BestDocuments(state, count), q);
        for (Index b = 0; b < 2; ++b)
            for (Index t = 0; t < 6; ++t)
                for (Index h = 0; h < 4; ++h) {
                    const KeyValueMemory<double>& memory = state.memory(1, b);
                    std::vector<Index> best = by_mass(memory, q, b, t, h);
                    best.resize(static_cast<std::size_t>(count));
                    check_query(got, b, t, h, attention_to(memory, q, b, t, h, best));
                }
    }
}

TEST_CASE("12: as many documents as there are, or more, are the whole memory") {
    MemoryState<double> state(config, 1);
    remember_three(state, 0);
    const Tensor<double, 4> q = normal({1, 6, 4, 4}, 2);
    for (const Index count : {3, 10}) {
        const Attention<double> got = attend(BestDocuments(state, count), q);
        for (Index t = 0; t < 6; ++t)
            for (Index h = 0; h < 4; ++h) check_query(got, 0, t, h, attention_to(state.memory(1, 0), q, 0, t, h, {4, 2, 9}));
    }
}

TEST_CASE("12: a document is chosen by the mass of all its keys, not by its best key, its mean or its size") {
    AlongOneAxis memory;
    memory.remember(1, 1, 3);    // e^3 = 20
    memory.remember(2, 10, 2);   // 10 e^2 = 74
    memory.remember(3, 50, -1);  // 50 / e = 18
    memory.check_chosen(2, std::log(10) + 2);
}

TEST_CASE("12: scores whose exponentials overflow, or vanish, are as good as others") {
    for (const double offset : {800.0, -800.0}) {
        AlongOneAxis memory;
        memory.remember(1, 3, offset);        // 3
        memory.remember(2, 2, offset + 0.5);  // 2 e^.5 = 3.3
        memory.check_chosen(2, std::log(2) + offset + 0.5);
    }
}

TEST_CASE("12: an empty memory gives nothing") {
    MemoryState<double> state(config, 2);
    const Tensor<double, 4> q = normal({2, 3, 4, 4}, 4);
    CHECK(!attend(BestDocuments(state, 2), q).o);
    remember_three(state, 1);  // entry 0 has none
    const Attention<double> got = attend(BestDocuments(state, 2), q);
    REQUIRE(got.o);
    for (Index t = 0; t < 3; ++t)
        for (Index h = 0; h < 4; ++h) {
            CHECK(got.o.value()(0, t, h, 0) == 0);
            CHECK(got.log_sum_exp.value()(0, h, t) == -std::numeric_limits<double>::infinity());
            CHECK(std::isfinite(got.log_sum_exp.value()(1, h, t)));
        }
}

TEST_CASE("12: it is a remedy: a document that stands out a little has all of the attention among sixty-four") {
    MemoryState<double> state(config, 1);
    Tensor<double, 4> q = zeros<double, 4>({1, 1, 4, 4});
    for (Index h = 0; h < 4; ++h) q(0, 0, h, 0) = 1;
    for (Index document = 0; document < 64; ++document) {
        Tensor<double, 4> keys = 0.1 * normal({1, 16, 2, 4}, static_cast<std::uint64_t>(document));
        if (document == 40)
            for (Index s = 0; s < 16; ++s) keys(0, s, 0, 0) += 2, keys(0, s, 1, 0) += 2;
        state.memory(1, 0).append(keys, full<double, 4>({1, 16, 2, 4}, document == 40 ? 1.0 : 0.0), 0, document);
    }
    const MemorySource<double> whole(state, 1024);
    for (Index h = 0; h < 4; ++h) {  // o is the share of document 40
        CHECK(attend(whole, q).o.value()(0, 0, h, 0) < 0.15);
        CHECK(attend(BestDocuments(state, 1), q).o.value()(0, 0, h, 0) == doctest::Approx(1));
    }
}

TEST_CASE("12: a model reads with it, and one document in the memory is read as ever") {
    Random random(5);
    const Transformer<double> model(config, random);
    Tokens text = empty<std::int32_t, 2>({1, 24});
    for (auto& token : text.storage()) token = static_cast<std::int32_t>(random.below(8));
    MemoryState<double> state(config, 1);
    read_document(model, slice<1>(text, 0, 16), 8, state, {.top_k = 64});
    Tape tape(Tape::inference);
    const Tokens last = slice<1>(text, 16, 8);
    const Tensor<double, 3> usual = model.forward(tape, last, MemorySource<double>(state, 64)).value(),
                            got = model.forward(tape, last, BestDocuments(state, 1)).value();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(got.data()[i] == doctest::Approx(usual.data()[i]).epsilon(1e-10));
}
