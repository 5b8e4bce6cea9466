/// Sharper attention for queries whose attention is spread over many keys, in inference alone.
///
///     H = log Z - <q, d log Z / d q>         entropy of a query's softmax over all of its keys, in nats; Z is the denominator
///     q becomes b q,   b = max(1, p(H)) if H > 0.5, otherwise 1
///     p(H) = -0.037 H^4 + 0.481 H^3 - 2.3 H^2 + 4.917 H - 1.791
///
/// Why. The scores of a model lie between bounds, so its softmax over more and more keys must become flat. A query that is sure
/// keeps its temperature, and one whose attention is spread is made sharper. SSMax and LogN (remedies/length_temperature.hpp) ask
/// how many keys there are; this remedy asks how flat the attention is.
///
/// When it cannot help. Like every temperature it does not part keys that overlap. And p(H) is below 1 from H = 5.95 on, the
/// entropy of even attention to 382 keys: attention that is as flat as that is left as it is.
///
/// The derivative of log Z is the mean key under the softmax, so its product with q is the mean score. All attention to keys gives
/// log Z and its derivative; therefore any source can be read in this way that passes gradients to the queries.
///
/// Local and further keys must have the same temperature. So this source attends to both and returns the whole; its log-sum-exp is
/// infinite, so that nothing is left for the layer's own local attention.
///
/// Source: Velickovic et al. 2024, arXiv 2410.01104: the polynomial and 0.5. Departure: of a memory only the k best keys count.
/// Cost:   the attention and the search twice, and one gradient. No parameters.
///
/// Read first: model/joining.hpp, remedies/length_temperature.hpp.   Read next: remedies/learned_sink.hpp.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "fot/attention/causal_attention.hpp"
#include "fot/model/joining.hpp"
#include "fot/nn/scaled_heads.hpp"

namespace fot {

/// What a query is multiplied with, given the entropy of its attention in nats: 1 or more.
inline double adaptive_factor(double entropy) {
    if (!(entropy > 0.5)) return 1;
    return std::max(1.0, (((-0.037 * entropy + 0.481) * entropy - 2.3) * entropy + 4.917) * entropy - 1.791);
}

/// Another source and the local context, read with adaptive temperature.
///
/// Errors: ConfigError while the tape records; ShapeError unless all positions of the window ask; those of the other source on a
///         tape that records: a MemorySource must have a top_k of 1 or more.
template <class Real>
class AdaptiveTemperature : public Source<Real> {
   public:
    /// `joining` is that of the memory layer.   Errors: ConfigError without a source, or unless it is one softmax.
    AdaptiveTemperature(std::unique_ptr<Source<Real>> source, const Joining<Real>& joining) : source_(std::move(source)) {
        require<ConfigError>(source_ != nullptr, "AdaptiveTemperature: no source, expected the one to be read");
        require<ConfigError>(dynamic_cast<const OneSoftmax<Real>*>(&joining) != nullptr,
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
    Index keys(Index layer, Index b) const override { return source_->keys(layer, b); }

   private:
    /// Local and further keys in one softmax.
    Attention<Real> whole_attention(Tape& tape, const LayerView<Real>& at) const {
        require_shape("AdaptiveTemperature: queries", at.q.value(), {-1, extent(at.local_k.value(), 1), -1, -1});
        const Attention<Real> local = causal_attention(tape, at.q, at.local_k, at.v), further = source_->attend(tape, at);
        return further.o ? merge(tape, further, local) : local;
    }

    /// Of each query, (B,T,H), from log Z and its gradient.
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
