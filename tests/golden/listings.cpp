/// Kinds `listing_train`, `listing_wd` and `listing_qknorm`: the training listing of the paper, where each entry sees the previous
/// contexts of its own and of the next documents.
///
/// Read first: attention/crossbatch_attention.hpp, nn/unit_heads.hpp.   Read next: golden/memory.cpp.
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/nn/arithmetic.hpp"
#include "fot/nn/unit_heads.hpp"
#include "golden/golden.hpp"
#include "support/tape_check.hpp"

namespace fot::golden {

namespace {

/// Who sees whom: the stored lists of flat context numbers window * B + entry, else the paper's d and w.
ContextTable context_table(Case& golden, Index entries, Index sources) {
    const Index windows = golden.config().value("w", Index(1));
    if (!golden.contains("context_index"))
        return previous_contexts(entries, windows, windows * (golden.config().at("d").get<Index>() - 1));
    const Tensor<Index, 2> stored = golden.tensor<Index, 2>("context_index");
    require_shape("context_index", stored, Shape<2>{entries, -1});
    ContextTable table{sources, {}, {}};
    for (Index entry = 0; entry < entries; ++entry) {
        const std::vector<Index> listed(row(stored, entry), row(stored, entry) + extent(stored, 1));
        std::vector<Index> list;
        for (const bool own : {true, false})  // a ContextTable has the positives first; attention does not mind the order
            for (const Index context : listed)
                if ((context % entries == entry) == own) list.push_back(context);
        table.positives.push_back(
            std::count_if(list.begin(), list.end(), [&](Index context) { return context % entries == entry; }));
        table.contexts.push_back(std::move(list));
    }
    return table;
}

template <class Real>
void check(Case& golden, const Tolerance& tolerance, bool normalised) {
    const Shape<4> shape = normalised ? shape_of(golden.tensor<Real, 4>("Ql")) : heads_shape(golden, "Ql");
    const auto [entries, length, heads, width] = shape;
    const auto input = [&](const char* name, const Shape<4>& of_shape) {
        return Variable<Real, 4>(golden.tensor<Real, 4>(name, of_shape), true);
    };
    const Variable<Real, 4> query = input("Ql", shape), key = input("Kl", shape), value = input("Vl", shape);
    const Shape<4> previous{-1, length, heads, width};  // (w, B, ...) stored: the flat number of a context is its row here
    const Variable<Real, 4> previous_key = input("Kp", previous), previous_value = input("Vp", previous);
    const Tensor<Real, 4> d_o = golden.tensor<Real, 4>("out_grad", shape);
    const ContextTable table = context_table(golden, entries, extent(previous_key.value(), 0));
    const auto scale = static_cast<Real>(golden.config().value("attn_scf", 1.0));

    Tape tape;
    Variable<Real, 4> q = query, k = key, context_k = previous_key;
    Variable<Real, 1> sharpness;  // of each head: log(1 / tau), the library's form of the temperature
    Tensor<Real, 1> tau;
    if (normalised) {
        tau = golden.tensor<Real, 1>("tau");
        sharpness = Variable<Real, 1>(empty_like(tau), true);
        for (Index h = 0; h < element_count(tau); ++h) sharpness.value()(h) = -std::log(tau(h));
        constexpr double no_epsilon = 0;
        q = normalize_heads(tape, query, sharpness, no_epsilon);
        k = normalize_heads(tape, key, no_epsilon);
        context_k = normalize_heads(tape, previous_key, no_epsilon);
    }
    q = multiply(tape, q, scale);
    const Variable<Real, 4> o = crossbatch_attention(tape, q, k, value, context_k, previous_value, table).o;
    testing::replay(tape, o, d_o);

    golden.compare("output", o.value(), tolerance.output);
    golden.compare("grad_Ql", query.gradient(), tolerance.gradients);
    golden.compare("grad_Kl", key.gradient(), tolerance.gradients);
    golden.compare("grad_Vl", value.gradient(), tolerance.gradients);
    golden.compare("grad_Kp", previous_key.gradient(), tolerance.gradients);
    golden.compare("grad_Vp", previous_value.gradient(), tolerance.gradients);
    if (normalised) {
        Tensor<Real, 1> d_tau = empty_like(tau);  // d log(1 / tau) = -d tau / tau
        for (Index h = 0; h < element_count(tau); ++h) d_tau(h) = -sharpness.gradient()(h) / tau(h);
        golden.compare("grad_tau", d_tau, tolerance.gradients);
    }
}

}  // namespace

void check_listing(Case& golden) {
    in_stated_precisions(golden, [&](auto real, const Tolerance& tolerance) { check<decltype(real)>(golden, tolerance, false); });
}

void check_listing_qknorm(Case& golden) {
    in_stated_precisions(golden, [&](auto real, const Tolerance& tolerance) { check<decltype(real)>(golden, tolerance, true); });
}

}  // namespace fot::golden
