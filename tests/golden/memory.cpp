/// Kinds `listing_inference` and `mt_gate`: a memory layer in inference. Both look up the k best entries of a memory; then the
/// paper puts them and the local context into one softmax, the Memorizing Transformer mixes the two with a gate per head.
///
/// Tensors about a query's entries are stored with the heads first, (B,H,T,K) (one head: without that axis); attention has them
/// as (B,T,H,K).
///
/// Read first: memory/key_value_memory.hpp, attention/memory_attention.hpp.   Read next: golden/data_pipeline.cpp.
#include "fot/attention/causal_attention.hpp"
#include "fot/attention/gate.hpp"
#include "fot/attention/memory_attention.hpp"
#include "fot/memory/key_value_memory.hpp"
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

/// Looks the queries up in a memory of each entry's own, and compares what is found with topk_index and topk_score.
///
/// In float a near tie may fall the other way round, so there the scores alone are compared.
template <class Real>
void check_search(Case& golden, const Tensor<Real, 4>& q, const Tensor<Real, 4>& keys, const Tensor<Real, 4>& values,
                  const Tolerance& tolerance) {
    const auto [entries, length, heads, width] = shape_of(q);
    std::vector<Index> indices;
    std::vector<Real> scores;
    for (Index b = 0; b < entries; ++b) {
        KeyValueMemory<Real> memory(heads, width);
        memory.append(appended_form(keys, b), appended_form(values, b), b);
        Tensor<Real, 3> queries = empty<Real, 3>({length, heads, width});
        std::copy_n(row(q, b), element_count(queries), queries.data());
        const FoundEntries<Real> found = memory.search(queries, golden.config().at("k").get<Index>());
        for (Index h = 0; h < heads; ++h)
            for (Index t = 0; t < length; ++t)
                for (Index rank = 0; rank < extent(found.indices, 2); ++rank) {
                    indices.push_back(found.indices(t, h, rank));
                    scores.push_back(found.scores(t, h, rank));
                }
    }
    const Index count = static_cast<Index>(indices.size());
    if constexpr (sizeof(Real) == 8) golden.compare_exactly("topk_index", indices.data(), count);
    if (golden.contains("topk_score")) golden.compare("topk_score", scores.data(), count, tolerance.output);
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
    check_search(golden, q.value(), normalise_memory ? normalize_heads<Real>(memory_keys, nullptr, no_epsilon) : memory_keys,
                 memory_values, tolerance);

    const Tensor<Index, 4> index = golden.tensor<Index, 4>("topk_index", Shape<4>{entries, heads, length, -1});
    const Tensor<Real, 5> retrieved_keys = gather(memory_keys, index), retrieved_values = gather(memory_values, index);
    golden.compare_exactly("Km", retrieved_keys.data(), element_count(retrieved_keys));
    golden.compare_exactly("Vm", retrieved_values.data(), element_count(retrieved_values));

    const Shape<4> as_heads{entries, heads * length, extent(index, 3), width};  // a shape that normalize_heads takes
    const Tensor<Real, 4> raw_keys = reshaped(retrieved_keys, as_heads);
    const Tensor<Real, 4> used_keys = normalise_memory ? normalize_heads<Real>(raw_keys, nullptr, no_epsilon) : raw_keys;
    const Variable<Real, 5> top_keys(heads_and_queries_swapped(reshaped(used_keys, shape_of(retrieved_keys))), true),
        top_values(heads_and_queries_swapped(retrieved_values), true);

    const Attention<Real> from_memory = retrieved_attention(tape, q, top_keys, top_values, scale);
    const Attention<Real> local = causal_attention(tape, q, k, value, AttentionOptions<Real>{.scale = scale});
    const Variable<Real, 1> bias(gated ? golden.tensor<Real, 1>("b_g") : Tensor<Real, 1>{}, true);
    const Variable<Real, 4> o = gated ? gate(tape, from_memory.o, local.o, bias) : merge(tape, from_memory, local).o;
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
    Tensor<Real, 5> d_keys = heads_and_queries_swapped(top_keys.gradient());
    if (normalise_memory) {
        Tensor<Real, 4> d_raw_keys = zeros_like(raw_keys);
        normalize_heads_vjp<Real>(reshaped(d_keys, as_heads), raw_keys, nullptr, no_epsilon, &d_raw_keys, nullptr);
        d_keys = reshaped(d_raw_keys, shape_of(d_keys));
    }
    golden.compare("grad_Km", d_keys, tolerance.gradients);
    golden.compare("grad_Vm", heads_and_queries_swapped(top_values.gradient()), tolerance.gradients);
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
