/// Sharper attention for queries whose attention is spread over many keys, in inference alone.
///
///     H = log Z - <q, d log Z / d q>         entropy of a query's softmax over all of its keys, in nats; Z is the denominator
///     q becomes b q,   b = max(1, p(H))
///     p(H) = -0.037 H^4 + 0.481 H^3 - 2.3 H^2 + 4.917 H - 1.791
///
/// Why. The scores of a model lie between bounds, so its softmax over more and more keys must become flat. A query that is sure
/// keeps its temperature, and one whose attention is spread is made sharper. SSMax and LogN (remedies/length_temperature.hpp) ask
/// how many keys there are; this remedy asks how flat the attention is.
///
/// When it cannot help. Like every temperature it does not part keys that overlap. And p(H) exceeds 1 only between H = 0.85
/// and 5.94 (it is 2.42 at most, at 4.41): attention that is sharper than that is left as it is, and so is attention that is
/// flatter, for example even attention to 400 keys or more.
///
/// Every softmax has log Z. Its derivative is the mean key under the softmax, so <q, d log Z / d q> is the mean score. So any
/// source can be read in this way whose attention is one softmax and passes gradients to the queries.
///
/// Local and further keys must have the same temperature. So this source attends to both and returns the whole; its log-sum-exp is
/// infinite, so that nothing is left for the layer's own local attention.
///
/// Source: Velickovic et al. 2024, arXiv 2410.01104: the polynomial. Its further condition, H > 0.5, never decides. Departure: of a
///         memory only the k best keys count.
/// Cost:   local attention three times (the layer's own is not used), the source's twice, and one gradient. No parameters.
///
/// Read first: model/joining.hpp, remedies/length_temperature.hpp.   Read next: remedies/learned_sink.hpp.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <typeinfo>
#include <utility>

#include "fot/attention/causal_attention.hpp"
#include "fot/model/joining.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// What a query is multiplied with, given the entropy of its attention in nats: 1 or more.
inline double adaptive_factor(double entropy) {
    return std::max(1.0, (((-0.037 * entropy + 0.481) * entropy - 2.3) * entropy + 4.917) * entropy - 1.791);
}

/// Another source and the local context, read with adaptive temperature: Contexts, or a MemorySource with a top_k of 1 or more.
/// What else the source is made of gets gradients, too, where it needs them (zero_gradients).
///
/// Errors: ConfigError while the tape records, or if the other source passes no gradient to the queries; those of the
///         other source on a tape that records.
template <class Real>
class AdaptiveTemperature : public Source<Real> {
   public:
    /// `joining` is that of the memory layer, of every one if there are several.
    /// Errors: ConfigError without a source, or unless the joining is OneSoftmax itself.
    AdaptiveTemperature(std::unique_ptr<Source<Real>> source, const Joining<Real>& joining) : source_(std::move(source)) {
        require<ConfigError>(source_ != nullptr, "AdaptiveTemperature: no source, expected the one to be read");
        require<ConfigError>(typeid(joining) == typeid(OneSoftmax<Real>),
                             "AdaptiveTemperature: the layer joins local and further keys by another rule, expected one softmax");
    }

    Attention<Real> attend(Tape& tape, const LayerView<Real>& at) const override {
        require<ConfigError>(!tape.recording(), "AdaptiveTemperature: expected an inference tape");
        Tape trial;
        LayerView<Real> asked = at;
        asked.q = Variable<Real, 4>(at.q.value(), true);
        const Variable<Real, 3> log_sum_exp = whole_attention(trial, asked).log_sum_exp;
        trial.backward(sum(trial, log_sum_exp));
        asked.q = scaled_heads(tape, at.q, Variable<Real, 3>(factors(asked.q, log_sum_exp.value())));
        const Real all = std::numeric_limits<Real>::infinity();
        return {whole_attention(tape, asked).o, Variable<Real, 3>(full<Real, 3>(shape_of(log_sum_exp.value()), all))};
    }
    Index key_count(Index layer, Index b) const override { return source_->key_count(layer, b); }

   private:
    /// Local and further keys in one softmax.
    Attention<Real> whole_attention(Tape& tape, const LayerView<Real>& at) const {
        const Attention<Real> local = causal_attention(tape, at.q, at.local_k, at.v, {.query_positions = at.wanted}),
                              further = source_->attend(tape, at);
        require<ConfigError>(!tape.recording() || !further.o || further.log_sum_exp.needs_gradient(),
                             "AdaptiveTemperature: the source passes no gradient to the queries, which the entropy needs");
        return further.o ? merge(tape, further, local) : local;
    }

    /// The factors (B,T,H) of queries (B,T,H,D), from log Z (B,H,T) and its gradient, which lies at the queries.
    static Tensor<Real, 3> factors(const Variable<Real, 4>& q, const Tensor<Real, 3>& log_sum_exp) {
        const auto [entries, length, heads, width] = shape_of(q.value());
        Tensor<Real, 3> list = empty<Real, 3>({entries, length, heads});
        for (Index b = 0; b < entries; ++b)
            for (Index t = 0; t < length; ++t)
                for (Index h = 0; h < heads; ++h) {
                    const Real mean_score = inner_product(row(q.value(), b, t, h), row(q.gradient(), b, t, h), width);
                    list(b, t, h) = static_cast<Real>(adaptive_factor(static_cast<double>(log_sum_exp(b, h, t) - mean_score)));
                }
        return list;
    }

    std::unique_ptr<Source<Real>> source_;
};

}  // namespace fot
