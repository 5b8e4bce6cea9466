// The fast attention beside the paper's equations as loops, reference/: results, and gradients of both results.
#include "fot/attention/causal_attention.hpp"
#include "fot/attention/context_mass.hpp"
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/reference/memory_attention.hpp"
#include "fot/reference/positive_mass.hpp"
#include "support/agreement.hpp"

using namespace fot;
using namespace fot::testing;

namespace {

/// Sizes of a case; some are larger than a tile of queries and a block of keys.
struct Sizes {
    Sizes(Random& random, bool large)
        : entries(large ? 1 : up_to(3, random)),
          queries(large ? 60 + random.below(10) : up_to(6, random)),
          keys(queries + (large ? 190 : 0) + random.below(4)),
          key_heads(up_to(2, random)),
          heads(key_heads * up_to(2, random)),
          width(up_to(5, random)),
          value_width(up_to(5, random)),
          sources(up_to(4, random)),
          rows(large ? 252 + random.below(8) : up_to(5, random)) {}
    Index entries, queries, keys, key_heads, heads, width, value_width, sources, rows;

    Variable<double, 4> q(Random& random) const { return normal_variable<4>({entries, queries, heads, width}, random); }
    Variable<double, 4> k(Random& random) const { return normal_variable<4>({entries, keys, key_heads, width}, random); }
    Variable<double, 4> v(Random& random) const { return normal_variable<4>({entries, keys, key_heads, value_width}, random); }
    Variable<double, 4> context_k(Random& random) const { return normal_variable<4>({sources, rows, key_heads, width}, random); }
    Variable<double, 4> context_v(Random& random) const {
        return normal_variable<4>({sources, rows, key_heads, value_width}, random);
    }
};

/// Each entry sees `least` or more of the sources, in any order.
ContextTable random_table(const Sizes& s, Index least, Random& random) {
    ContextTable table{s.sources, {}, std::vector<Index>(static_cast<std::size_t>(s.entries), 0)};
    std::vector<Index> all;
    for (Index c = 0; c < s.sources; ++c) all.push_back(c);
    for (Index b = 0; b < s.entries; ++b) {
        random.shuffle(all);
        table.contexts.emplace_back(all.begin(), all.begin() + least + random.below(s.sources - least + 1));
    }
    return table;
}

template <std::size_t N>
double difference(const Tensor<double, N>& got, const Tensor<double, N>& expected) {
    REQUIRE(shape_of(got) == shape_of(expected));
    return relative_difference(got, [&](std::size_t i) { return expected.data()[i]; });
}

double difference(const Attention<double>& got, const reference::AttentionResult<double>& expected) {
    return worse(difference(got.o.value(), expected.o), difference(got.log_sum_exp.value(), expected.log_sum_exp));
}

/// Random gradients of a loss with respect to both results.
struct ResultGradients {
    ResultGradients(const Attention<double>& result, Random& random)
        : o(normal_tensor<double>(shape_of(result.o.value()), 1, random)),
          log_sum_exp(normal_tensor<double>(shape_of(result.log_sum_exp.value()), 1, random)) {}
    Tensor<double, 4> o;
    Tensor<double, 3> log_sum_exp;
};

void replay(Tape& tape, const Attention<double>& result, const ResultGradients& d) {
    result.o.gradient() = d.o;
    result.log_sum_exp.gradient() = d.log_sum_exp;
    tape.replay();
}

}  // namespace

TEST_CASE("causal attention is that of reference/, with its gradients") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const auto q = s.q(random), k = s.k(random), v = s.v(random);
        Tape tape;
        const Attention<double> got = causal_attention(tape, q, k, v);
        const ResultGradients d_out(got, random);
        double worst = difference(got, reference::causal_attention(q.value(), k.value(), v.value()));
        replay(tape, got, d_out);
        const auto d = reference::causal_attention_vjp(q.value(), k.value(), v.value(), d_out.o, d_out.log_sum_exp);
        for (const double error : {difference(q.gradient(), d.q), difference(k.gradient(), d.k), difference(v.gradient(), d.v)})
            worst = worse(worst, error);
        return worst;
    });
}

TEST_CASE("crossbatch attention is that of reference/, with its gradients") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const ContextTable table = random_table(s, 0, random);
        const auto q = s.q(random), k = s.k(random), v = s.v(random), context_k = s.context_k(random),
                   context_v = s.context_v(random);
        const reference::CrossbatchInput<double> in{q.value(),         k.value(),         v.value(),
                                                    context_k.value(), context_v.value(), table.contexts};
        for (const auto& x : {context_k, context_v}) x.gradient() = zeros_like(x.value());  // where no list has a context
        Tape tape;
        const Attention<double> got = crossbatch_attention(tape, q, k, v, context_k, context_v, table);
        const ResultGradients d_out(got, random);
        double worst = difference(got, reference::crossbatch_attention(in));
        replay(tape, got, d_out);
        const auto d = reference::crossbatch_attention_vjp(in, d_out.o, d_out.log_sum_exp);
        for (const double error : {difference(q.gradient(), d.q), difference(k.gradient(), d.k), difference(v.gradient(), d.v),
                                   difference(context_k.gradient(), d.context_k), difference(context_v.gradient(), d.context_v)})
            worst = worse(worst, error);
        return worst;
    });
}

TEST_CASE("memory attention, joined with the local one, is that of reference/") {
    each_case([](Random& random, bool large) {
        Sizes s(random, large);
        s.value_width = s.width;  // as a memory has it
        s.sources = s.entries;
        const Index top_k = up_to(s.rows + 2, random);
        const auto q = s.q(random), k = s.k(random), v = s.v(random), memory_k = s.context_k(random),
                   memory_v = s.context_v(random);
        std::vector<KeyValueMemory<double>> memories(q.value().shape()[0], KeyValueMemory<double>(s.key_heads, s.width));
        Memories<double> pointers;
        for (Index b = 0; b < s.entries; ++b) {
            element(memories, b).append(memory_k.value(), memory_v.value(), b, 0);
            pointers.push_back(&element(memories, b));
        }
        Tape tape(Tape::inference);
        const Attention<double> got = merge(tape, memory_attention(tape, q, pointers, top_k), causal_attention(tape, q, k, v));
        return difference(got,
                          reference::memory_attention(q.value(), k.value(), v.value(), memory_k.value(), memory_v.value(), top_k));
    });
}

TEST_CASE("the positive attention mass is that of reference/") {
    each_case([](Random& random, bool large) {
        const Sizes s(random, large);
        const Index d = up_to(s.sources, random);
        const ContextTable table = random_table(s, d, random);
        const auto q = s.q(random), context_k = s.context_k(random);
        return difference(positive_mass_per_query(context_log_mass(q.value(), context_k.value(), table), d),
                          reference::positive_mass(q.value(), context_k.value(), table.contexts, d));
    });
}
