#include "fot/distributed/sharded_attention.hpp"

#include <doctest/doctest.h>

#include <mutex>

#include "support/sharded_stream.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Queries (1,T,H,8) with 1 / sqrt(8) in them, so that scores are of the size that they have in a model.
template <class Real>
Tensor<Real, 4> queries_of(Index tokens, Index heads, std::uint64_t seed) {
    Random random(seed);
    return normal_tensor<Real, 4>({1, tokens, heads, 8}, std::sqrt(0.125), random);
}

template <class Real>
AttentionResult<Real> attention_to_one(const KeyValueMemory<Real>& memory, const Tensor<Real, 4>& q, Index top_k) {
    Tape tape(Tape::inference);
    const Attention<Real> result = memory_attention(tape, Variable<Real, 4>(q), Memories<Real>{&memory}, top_k);
    return {result.o.value(), result.log_sum_exp.value()};
}

/// Largest difference of heads and of log-sum-exps, relative to numbers above 1.
template <class Real>
double difference(const AttentionResult<Real>& a, const AttentionResult<Real>& b) {
    REQUIRE(shape_of(a.o) == shape_of(b.o));
    REQUIRE(shape_of(a.log_sum_exp) == shape_of(b.log_sum_exp));
    double worst = 0;
    const auto compare = [&](const auto& x, const auto& y) {
        for (std::size_t i = 0; i < x.size(); ++i)
            if (const double of_x = static_cast<double>(x.data()[i]), of_y = static_cast<double>(y.data()[i]); of_x != of_y)
                worst = std::max(std::abs(of_x - of_y) / std::max(1.0, std::abs(of_y)), worst);  // -infinity equals itself
    };
    compare(a.o, b.o);
    compare(a.log_sum_exp, b.log_sum_exp);
    return worst;
}

/// All ways to attend, on 1 to 4 ranks, with queries of both kinds.
template <class Real>
void check_attention(const Stream<Real>& stream, Index top_k, double tolerance) {
    const KeyValueMemory<Real> one = stream.one_memory();
    for (const Index p : {1, 2, 3, 4})
        for (const Queries whose : {Queries::same, Queries::own})
            run_as_ranks(p, [&](Communicator& ranks) {
                const ShardedMemory<Real> memory = stream.sharded(ranks);
                const bool same = whose == Queries::same;
                const Index tokens = same ? 7 : ranks.rank() == 1 ? 0 : 5 + ranks.rank();
                const Tensor<Real, 4> q = queries_of<Real>(tokens, 4, same ? 9u : static_cast<std::uint64_t>(9 + ranks.rank()));
                const AttentionResult<Real> expected = attention_to_one(one, q, top_k);
                const auto attend = [&](Travel travel) { return sharded_attention(memory, q, {top_k, travel, whose}); };
                CHECK(difference(attend(Travel::parts), expected) < tolerance);
                CHECK(difference(attend(Travel::values), expected) <= (top_k == 0 ? tolerance : 0));
                CHECK(difference(attend(Travel::parts), attend(Travel::parts)) == 0);
            });
}

}  // namespace

TEST_CASE("attention to the k best of all ranks is attention to those of one memory") {
    for (const Stream<float>& stream : streams_of_all_lengths<float>())
        for (const Index k : {1, 32, 1500}) check_attention(stream, k, 1e-6);
    for (const Stream<double>& stream : streams_of_all_lengths<double>()) check_attention(stream, 300, 1e-14);
}

TEST_CASE("attention to the whole of a sharded memory is attention to the whole of one memory") {
    for (const Stream<float>& stream : streams_of_all_lengths<float>()) check_attention(stream, 0, 1e-6);
    for (const Stream<double>& stream : streams_of_all_lengths<double>()) check_attention(stream, 0, 1e-14);
}

TEST_CASE("with 16-bit numbers, a capacity and equal scores it is the same") {
    Stream<float> stream(5200);
    stream.storage = Storage::bfloat16;
    stream.capacity = 3000;
    stream.keys = with_ties(stream.keys);
    for (const Index k : {0, 1, 32}) check_attention(stream, k, 1e-6);
}

TEST_CASE("several batch entries read one memory") {
    const Stream<double> stream(3000);
    run_as_ranks(2, [&](Communicator& ranks) {
        const ShardedMemory<double> memory = stream.sharded(ranks);
        const Tensor<double, 4> rows = queries_of<double>(10, 2, 3), batch = reshaped<4>(rows, {2, 5, 2, 8});
        for (const Index k : {0, 20}) {
            const AttentionResult<double> a = sharded_attention(memory, rows, {k}), b = sharded_attention(memory, batch, {k});
            CHECK(a.o.storage() == b.o.storage());
            for (Index t = 0; t < 10; ++t)
                for (Index h = 0; h < 2; ++h) CHECK(a.log_sum_exp(0, h, t) == b.log_sum_exp(t / 5, h, t % 5));
        }
    });
}

TEST_CASE("what attention sends is what its formulas say, and parts are the same whatever k is") {
    constexpr Index tokens = 12, heads = 4, width = 8, p = 4;
    const Stream<float> stream(5200);
    for (const Queries whose : {Queries::same, Queries::own})
        for (const Index k : {0, 10, 100}) {
            const Index at_home = whose == Queries::same ? tokens / p : tokens;
            const Index part = (p - 1) * at_home * heads * (width + 1) * 4;
            std::mutex mutex;
            Index values = 0, kept = 0;
            run_as_ranks(p, [&](Communicator& ranks) {
                const ShardedMemory<float> memory = stream.sharded(ranks);
                const Tensor<float, 4> q = queries_of<float>(tokens, heads, 5);
                sharded_attention(memory, q, {k, Travel::parts, whose});
                CHECK(ranks.bytes_sent("parts") == part);
                CHECK(ranks.bytes_sent("results") == (whose == Queries::same ? part : 0));
                CHECK(ranks.bytes_sent("values") == 0);
                CHECK(ranks.bytes_sent("candidates") == (p - 1) * at_home * heads * k * 12);
                if (k == 0) return;
                sharded_attention(memory, q, {k, Travel::values, whose});
                CHECK(ranks.bytes_sent("parts") == part);
                const FoundEntries<float> found = sharded_search(memory, reshaped<3>(q, {tokens, heads, width}), k, whose);
                const Share home = whose == Queries::same ? share_of(tokens, ranks.rank(), p) : Share{0, tokens};
                const std::lock_guard lock(mutex);
                values += ranks.bytes_sent("values");
                for (Index t = home.first; t < home.last; ++t)
                    for (Index i = 0; i < heads * k; ++i)
                        kept += memory.rank_of(found.indices(t, i / k, i % k)) == ranks.rank() ? 1 : 0;
            });
            CHECK(values == (p * at_home * heads * k - kept) * width * 4);
        }
}

TEST_CASE("a negative top_k is refused") {
    SingleProcess alone;
    const ShardedMemory<float> memory = Stream<float>(100).sharded(alone);
    CHECK_THROWS_AS(sharded_attention(memory, queries_of<float>(3, 2, 1), {-1}), ConfigError);
}
