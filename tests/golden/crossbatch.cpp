/// Kind `crossbatch`: the memory layer of the released training code.
///
/// The released code gives every entry `cross_batch_range` other contexts and adds -1e6 to the scores of those it must not see.
/// Ours leaves them out of its ContextTable; the softmax weights of the others are the same, for e^-1000000 is 0.
///
/// Read first: attention/crossbatch_attention.hpp, nn/rotary.hpp.   Read next: golden/listings.cpp.
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/rotary.hpp"
#include "fot/nn/slices.hpp"
#include "golden/golden.hpp"
#include "support/tape_check.hpp"

namespace fot::golden {

namespace {

/// Who sees whom, checked against the counts that the case states (these include an entry's own local context).
ContextTable context_table(Case& golden, Index entries) {
    const Json& config = golden.config();
    ContextTable table = packed_contexts(entries, config.at("cross_batch_range").get<Index>(),
                                         config.at("dataset_packing").get<Index>(), config.at("cross_batch_stepping").get<bool>());
    std::vector<std::size_t> visible;
    for (const auto& list : table.contexts) visible.push_back(list.size() + 1);
    if (golden.entry().contains("visible_contexts_per_entry") && golden.entry()["visible_contexts_per_entry"] != Json(visible))
        golden.fail("visible_contexts_per_entry: got " + Json(visible).dump() + ", stated " +
                    golden.entry()["visible_contexts_per_entry"].dump());
    return table;
}

/// The stored bias (B,1,T,T) as (B,T,T), and whether it holds the causal mask, or more than that.
template <class Real>
struct Bias {
    Tensor<Real, 3> numbers;
    bool causal = true, more = false;
};

template <class Real>
Bias<Real> read_bias(Case& golden, Index entries, Index length) {
    Bias<Real> bias{golden.tensor<Real, 3>("bias", Shape<3>{entries, length, length})};
    const Real masked = golden.config().value("min_value", Real(-1e6));
    for (Index b = 0; b < entries; ++b)
        for (Index t = 0; t < length; ++t)
            for (Index s = 0; s < length; ++s) {
                if (s > t && bias.numbers(b, t, s) > masked) bias.causal = false;
                if (s <= t && bias.numbers(b, t, s) != Real(0)) bias.more = true;
            }
    return bias;
}

/// The released training code rotates the numbers 2 j and 2 j + 1 of a head together, ours (and what ends in _hf) j and j + D/2.
template <class Real>
Variable<Real, 4> halves_of_pairs(Tape& tape, const Variable<Real, 4>& x) {
    const auto [entries, length, heads, width] = shape_of(x.value());
    const Variable<Real, 5> pairs = reshaped<5>(tape, x, {entries, length, heads, width / 2, 2});
    return reshaped<4>(tape, permuted(tape, pairs, {0, 1, 2, 4, 3}), {entries, length, heads, width});
}

template <class Real>
void check(Case& golden, const Tolerance& tolerance) {
    const Tensor<Real, 4> d_o = golden.tensor<Real, 4>("out_grad");
    const auto [entries, length, heads, width] = shape_of(d_o);
    const ContextTable table = context_table(golden, entries);

    // Keys of other contexts stand where their own entry begins: at position 0 in training, at first_position in general.
    const Tensor<Index, 2> positions = golden.tensor<Index, 2>("position_ids", Shape<2>{entries, length});
    Tensor<Index, 2> first = empty_like(positions);
    for (Index b = 0; b < entries; ++b) std::fill_n(row(first, b), length, positions(b, 0));
    const Index last = *std::max_element(positions.storage().begin(), positions.storage().end());
    const RotaryTable<Real> angles(golden.config().at("rope_theta").get<double>(), width, last + 1);

    const Bias<Real> bias = read_bias<Real>(golden, entries, length);
    const auto scale = static_cast<Real>(golden.entry().value("softmax_scale", 1 / std::sqrt(static_cast<double>(width))));
    LocalOptions<Real> options;
    if (!bias.causal) options.query_positions.assign(bias.numbers.shape()[1], length - 1);  // all see all, but for the bias
    if (bias.more || !bias.causal) options.bias = bias.numbers;

    for (const std::string suffix : {"", "_hf"}) {
        const Variable<Real, 4> query(golden.tensor<Real, 4>("query" + suffix), true),
            key(golden.tensor<Real, 4>("key" + suffix), true), value(golden.tensor<Real, 4>("value"), true);
        Tape tape;
        const auto in_halves = [&](const Variable<Real, 4>& x) { return suffix.empty() ? halves_of_pairs(tape, x) : x; };
        const Variable<Real, 4> q = multiply(tape, rotate(tape, in_halves(query), positions, angles), scale),
                                k = rotate(tape, in_halves(key), positions, angles),
                                context_k = rotate(tape, in_halves(key), first, angles);
        const Attention<Real> local = causal_attention(tape, q, k, value, options),
                              further = context_attention(tape, q, context_k, value, table);
        const Variable<Real, 4> o = merge(tape, further, local).o;
        testing::replay(tape, o, d_o);

        golden.compare("output", o.value(), tolerance.output);
        if constexpr (sizeof(Real) == 4) golden.compare("output_f32", o.value(), tolerance.output);
        golden.compare("grad_query" + suffix, query.gradient(), tolerance.gradients);
        golden.compare("grad_key" + suffix, key.gradient(), tolerance.gradients);
        golden.compare("grad_value", value.gradient(), tolerance.gradients);
    }
}

}  // namespace

void check_crossbatch(Case& golden) {
    in_stated_precisions(golden, [&](auto real, const Tolerance& tolerance) { check<decltype(real)>(golden, tolerance); });
}

}  // namespace fot::golden
