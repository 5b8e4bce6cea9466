/// Kinds `listing_inference` and `mt_gate`: a memory layer in inference. Both look up the k best entries of a memory; then the
/// paper puts them and the local context into one softmax, the Memorizing Transformer mixes the two with a gate per head.
///
/// Tensors about a query's entries are stored with the heads first, (B,H,T,K) (one head: without that axis); attention has them
/// as (B,T,H,K).
///
/// Read first: memory/key_value_memory.hpp, attention/memory_attention.hpp.   Read next: golden/data_pipeline.cpp.
#include "fot/attention/causal_attention.hpp"
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/attention/joining.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/slices.hpp"
#include "fot/nn/unit_heads.hpp"
#include "golden/golden.hpp"
#include "support/tape_check.hpp"

namespace fot::golden {

namespace {

/// Rows m of all heads of one entry's memory, (H,M,D) as stored, in the order in which a layer appends them: (M,H,D).
template <class Real>
Tensor<Real, 3> appended_form(const Tensor<Real, 4>& stored, Index entry) {
    const auto [entries, heads, count, width] = shape_of(stored);
    Tensor<Real, 3> rows = empty<Real, 3>({count, heads, width});
    for (Index m = 0; m < count; ++m)
        for (Index h = 0; h < heads; ++h) std::copy_n(row(stored, entry, h, m), width, row(rows, m, h));
    return rows;
}

/// A memory of each entry's own, from keys and values (B,H,M,D) as stored.
template <class Real>
std::vector<KeyValueMemory<Real>> filled_memories(const Tensor<Real, 4>& keys, const Tensor<Real, 4>& values) {
    std::vector<KeyValueMemory<Real>> memories;
    for (Index b = 0; b < extent(keys, 0); ++b) {
        memories.emplace_back(extent(keys, 1), extent(keys, 3));
        memories.back().append(appended_form(keys, b), appended_form(values, b), b);
    }
    return memories;
}

/// Looks the queries up in the memories, and compares what is found with topk_index and topk_score.
///
/// In float a near tie may fall the other way round, so there the scores alone are compared.
template <class Real>
void check_search(Case& golden, const Tensor<Real, 4>& q, const Memories<Real>& memories, Index top_k, const Tolerance& tolerance) {
    std::vector<Index> indices;
    std::vector<Real> scores;
    for (Index b = 0; b < extent(q, 0); ++b) {
        const FoundEntries<Real> found = element(memories, b)->search(q, b, top_k);
        for (Index h = 0; h < extent(q, 2); ++h)
            for (Index t = 0; t < extent(q, 1); ++t)
                for (Index rank = 0; rank < extent(found.indices, 2); ++rank) {
                    indices.push_back(found.indices(t, h, rank));
                    scores.push_back(found.scores(t, h, rank));
                }
    }
    if constexpr (sizeof(Real) == 8) golden.compare_exactly("topk_index", indices.data(), length_of(indices));
    if (golden.contains("topk_score")) golden.compare("topk_score", scores.data(), length_of(scores), tolerance.output);
}

/// The rows of a memory (B,H,M,D) that an index (B,H,T,K) names: (B,H,T,K,D).
template <class Real>
Tensor<Real, 5> gather(const Tensor<Real, 4>& memory, const Tensor<Index, 4>& index) {
    const auto [entries, heads, length, count] = shape_of(index);
    const Index size = extent(memory, 2), width = extent(memory, 3);
    Tensor<Real, 5> rows = empty<Real, 5>({entries, heads, length, count, width});
    for (Index b = 0; b < entries; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index i = 0; i < length * count; ++i) {
                const Index m = row(index, b, h)[i];
                require<DataError>(m >= 0 && m < size, "'topk_index' names entry ", m, " of a memory of ", size);
                std::copy_n(row(memory, b, h, m), width, row(rows, b, h) + i * width);
            }
    return rows;
}

/// (B,H,T,K,D) -> (B,T,H,K,D), and back.
template <class Real>
Tensor<Real, 5> heads_and_queries_swapped(const Tensor<Real, 5>& x) {
    const auto [entries, outer, inner, count, width] = shape_of(x);
    Tensor<Real, 5> y = empty<Real, 5>({entries, inner, outer, count, width});
    for (Index b = 0; b < entries; ++b)
        for (Index i = 0; i < outer; ++i)
            for (Index j = 0; j < inner; ++j) std::copy_n(row(x, b, i, j), count * width, row(y, b, j, i));
    return y;
}

/// Gradients of retrieved pairs, keys (B,T,H,K,D) and values (B,T,H,K,E).
template <class Real>
struct PairGradients {
    Tensor<Real, 5> keys, values;
};

/// Our memories are constant, so that `attended` gave its gradients to the queries alone. Those of the pairs follow from attention
/// to contexts: each query head as a batch entry of its own, (B T H, 1, 1, D), and its pairs as the context that it sees.
template <class Real>
PairGradients<Real> pair_gradients(const Tensor<Real, 4>& q, const Tensor<Real, 5>& keys, const Tensor<Real, 5>& values,
                                   const Attention<Real>& attended) {
    const auto [entries, length, heads, width] = shape_of(q);
    const Index queries = entries * length * heads, count = extent(keys, 3);
    const Tensor<Real, 4> each_q = reshaped<4>(q, {queries, 1, 1, width}),
                          contexts_k = reshaped<4>(keys, {queries, count, 1, width}),
                          contexts_v = reshaped<4>(values, {queries, count, 1, width}),
                          d_o = reshaped<4>(attended.o.gradient(), shape_of(each_q));
    Tensor<Real, 3> d_log_sum_exp = zeros<Real, 3>({queries, 1, 1});
    for (Index i = 0; attended.log_sum_exp.has_gradient() && i < queries; ++i)  // i = (b, t, h)
        d_log_sum_exp(i, 0, 0) = attended.log_sum_exp.gradient()(i / (heads * length), i % heads, i / heads % length);
    const ContextTable own = previous_contexts(queries, 1, 0);
    const AttentionInput<Real> in{each_q, contexts_k, contexts_v};
    const AttentionResult<Real> result = context_attention(in, own);
    Tensor<Real, 4> d_k = zeros_like(contexts_k), d_v = zeros_like(contexts_v);
    context_attention_vjp(in, own, result, {d_o, &d_log_sum_exp}, {.k = &d_k, .v = &d_v});
    return {reshaped<5>(d_k, shape_of(keys)), reshaped<5>(d_v, shape_of(values))};
}

/// Whether every row has length one, up to the rounding to float32 with which it was stored.
template <class Real, std::size_t N>
bool has_unit_rows(const Tensor<Real, N>& x) {
    const Index width = extent(x, N - 1);
    for (Index start = 0; start < element_count(x); start += width) {
        double square = 0;
        for (Index e = 0; e < width; ++e)
            square += static_cast<double>(x.data()[start + e]) * static_cast<double>(x.data()[start + e]);
        if (std::abs(square - 1) > 1e-6) return false;
    }
    return true;
}

template <class Real>
void check(Case& golden, const Tolerance& tolerance, bool gated) {
    const Shape<4> shape = heads_shape(golden, "Ql");
    const auto [entries, length, heads, width] = shape;
    const Variable<Real, 4> query(golden.tensor<Real, 4>("Ql", shape), true), key(golden.tensor<Real, 4>("Kl", shape), true),
        value(golden.tensor<Real, 4>("Vl", shape), true);
    const Tensor<Real, 4> d_o = golden.tensor<Real, 4>("out_grad", shape);
    const Tensor<Real, 4> memory_keys = golden.tensor<Real, 4>("mem_keys", Shape<4>{entries, heads, -1, width}),
                          memory_values = golden.tensor<Real, 4>("mem_values", Shape<4>{entries, heads, -1, width});
    const Real scale = static_cast<Real>(golden.config().value("attn_scf", 1.0));
    constexpr double no_epsilon = 0;

    // "normalised": queries and keys are unit vectors. A file that holds them as such is used as it is, for to divide by a length
    // that is one but for its rounding would only add to the rounding.
    const bool normalised = golden.config().value("normalised", false);
    const auto as_used = [&](Tape& tape, const Variable<Real, 4>& x) {
        return normalised && !has_unit_rows(x.value()) ? normalize_heads(tape, x, no_epsilon) : x;
    };
    const bool normalise_memory = normalised && !has_unit_rows(memory_keys);
    Tape tape;
    const Variable<Real, 4> q = as_used(tape, query), k = as_used(tape, key);
    const std::vector<KeyValueMemory<Real>> stored =
        filled_memories(normalise_memory ? normalize_heads<Real>(memory_keys, nullptr, no_epsilon) : memory_keys, memory_values);
    Memories<Real> memories;
    for (const KeyValueMemory<Real>& each : stored) memories.push_back(&each);
    const Index top_k = golden.config().at("k").get<Index>();
    check_search(golden, q.value(), memories, top_k, tolerance);

    const Tensor<Index, 4> index = golden.tensor<Index, 4>("topk_index", Shape<4>{entries, heads, length, -1});
    const Tensor<Real, 5> retrieved_keys = gather(memory_keys, index), retrieved_values = gather(memory_values, index);
    golden.compare_exactly("Km", retrieved_keys.data(), element_count(retrieved_keys));
    golden.compare_exactly("Vm", retrieved_values.data(), element_count(retrieved_values));

    const Shape<4> as_heads{entries, heads * length, extent(index, 3), width};  // a shape that normalize_heads takes
    const Tensor<Real, 4> raw_keys = reshaped(retrieved_keys, as_heads);
    const Tensor<Real, 4> used_keys = normalise_memory ? normalize_heads<Real>(raw_keys, nullptr, no_epsilon) : raw_keys;
    const Variable<Real, 4> scaled = multiply(tape, q, scale);
    const Attention<Real> from_memory = memory_attention(tape, scaled, memories, top_k),
                          local = causal_attention(tape, scaled, k, value);
    const Variable<Real, 1> bias(gated ? golden.tensor<Real, 1>("b_g") : Tensor<Real, 1>{}, true);
    const Variable<Real, 4> o =
        gated ? gate(tape, from_memory, local.o, logits_of_heads(tape, bias, entries, length)) : merge(tape, from_memory, local).o;
    testing::replay(tape, o, d_o);

    golden.compare("output", o.value(), tolerance.output);
    if (gated) {
        golden.compare("v_mem", from_memory.o.value(), tolerance.output);
        golden.compare("v_local", local.o.value(), tolerance.output);
        golden.compare("grad_b_g", bias.gradient(), tolerance.gradients);
    }
    golden.compare("grad_Ql", query.gradient(), tolerance.gradients);
    golden.compare("grad_Kl", key.gradient(), tolerance.gradients);
    golden.compare("grad_Vl", value.gradient(), tolerance.gradients);
    const PairGradients<Real> d_pairs =
        pair_gradients(scaled.value(), heads_and_queries_swapped(reshaped(used_keys, shape_of(retrieved_keys))),
                       heads_and_queries_swapped(retrieved_values), from_memory);
    Tensor<Real, 5> d_keys = heads_and_queries_swapped(d_pairs.keys);
    if (normalise_memory) {
        Tensor<Real, 4> d_raw_keys = zeros_like(raw_keys);
        normalize_heads_vjp<Real>(reshaped(d_keys, as_heads), raw_keys, nullptr, no_epsilon, &d_raw_keys, nullptr);
        d_keys = reshaped(d_raw_keys, shape_of(d_keys));
    }
    golden.compare("grad_Km", d_keys, tolerance.gradients);
    golden.compare("grad_Vm", heads_and_queries_swapped(d_pairs.values), tolerance.gradients);
}

}  // namespace

void check_listing_inference(Case& golden) {
    if (!golden.contains("topk_score")) golden.fail("has no tensor 'topk_score'");
    in_stated_precisions(golden, [&](auto real, const Tolerance& tolerance) { check<decltype(real)>(golden, tolerance, false); });
}

void check_mt_gate(Case& golden) {
    in_stated_precisions(golden, [&](auto real, const Tolerance& tolerance) { check<decltype(real)>(golden, tolerance, true); });
}

}  // namespace fot::golden
