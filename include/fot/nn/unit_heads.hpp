/// Queries and keys of length one, with a temperature (QK-norm): what makes scores comparable among millions of keys.
///
/// Why length one. A score is <q, k>, so a long key gets a large score from every query that points its way. In a local context of
/// a few hundred keys that does little harm. Among the keys of a large memory, most of which training never saw, there is always a
/// longest one. With unit vectors a score is a cosine, between -1 and 1, and only the direction of a key counts.
///
/// Why a temperature. The softmax of cosines is nearly flat: the best key gets at most e^2 times the weight of the worst, too
/// little against thousands of others. So each cosine is divided by a temperature tau before the softmax. A key whose cosine
/// exceeds that of M others by c has more weight than all of them if c / tau > log M. How sharp a head should be depends on what it
/// looks for, so every head learns its own. The parameter is log(1 / tau): tau stays positive, and an optimiser step changes tau by
/// a fraction of its current value. The factor 1 / tau is multiplied into the queries, in the pass that normalises them, so that
/// attention has no scale of its own.
///
/// When. The paper's small models have both. LongLLaMA continues a LLaMA, which has neither: its scores are <q, k> / sqrt(D).
///
/// Source: paper appendix B.1; Henry et al. 2020 (QK-norm). LongLLaMA: appendix A.2.
/// Read first: nn/rms_norm.hpp.   Read next: nn/rotary.hpp.
#pragma once

#include "fot/nn/rms_norm.hpp"

namespace fot {

namespace detail {

/// 1 / tau of each head; 1 without temperatures.
template <class Real>
Tensor<Real, 1> inverse_temperatures(const char* who, const Tensor<Real, 1>* log_inverse_temperature, Index heads) {
    Tensor<Real, 1> factors = full<Real, 1>({heads}, Real(1));
    if (!log_inverse_temperature) return factors;
    require_shape(who, *log_inverse_temperature, {heads});
    for (Index h = 0; h < heads; ++h) factors(h) = std::exp((*log_inverse_temperature)(h));
    return factors;
}

}  // namespace detail

/// Every head vector made a unit vector, then multiplied by its head's inverse temperature.
///
///     y[b,t,h,:] = exp(log_inverse_temperature[h]) x[b,t,h,:] / sqrt(sum_i x[b,t,h,i]^2 + epsilon)
///
/// NaN if the squares are too large for a Real, or if a vector is zero and epsilon is 0. With epsilon above 0 a zero vector stays
/// zero: it scores 0 with every query.
///
/// A null pointer for the temperatures stands for factors of 1: keys, and queries of a model without temperature.
/// Shapes: x (B,T,H,D), log_inverse_temperature (H) -> (B,T,H,D).
/// Cost:   one pass, about 4 operations a number.
/// Errors: ShapeError if there is not one temperature per head; ConfigError unless epsilon is 0, or finite and above 0 as a
///         Real.
template <class Real>
Tensor<Real, 4> normalize_heads(const Tensor<Real, 4>& x,
                                const std::type_identity_t<Tensor<Real, 1>>* log_inverse_temperature = nullptr,
                                double epsilon = 1e-6) {
    const Index tokens = extent(x, 0) * extent(x, 1), heads = extent(x, 2), width = extent(x, 3);
    const bool counts = static_cast<Real>(epsilon) > 0 && std::isfinite(static_cast<Real>(epsilon));  // 1e-50 does not, in float
    require<ConfigError>(epsilon == 0 || counts, "normalize_heads: epsilon is ", epsilon,
                         ", expected 0, or a number that is finite and above 0 in the type of the heads");
    const Tensor<Real, 1> inverse_temperature =
        detail::inverse_temperatures("normalize_heads: log_inverse_temperature", log_inverse_temperature, heads);
    Tensor<Real, 4> y = empty_like(x);
    parallel_slices(tokens, detail::norm_rows_per_slice, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i)
            for (Index h = 0; h < heads; ++h) {
                const Real* x_ih = x.data() + (i * heads + h) * width;
                Real* __restrict y_ih = y.data() + (i * heads + h) * width;
                const Real factor =
                    inverse_temperature(h) * detail::inverse_root(inner_product(x_ih, x_ih, width) + static_cast<Real>(epsilon));
                for (Index j = 0; j < width; ++j) y_ih[j] = x_ih[j] * factor;
            }
    });
    return y;
}

/// Vector-Jacobian product of `normalize_heads`. A null pointer stands for what is not there or not needed.
/// The gradient of the temperatures is summed in double over slices of tokens, then over the slices in their order.
///
/// Shapes: d_y, x (B,T,H,D), log_inverse_temperature (H); adds to d_x (B,T,H,D) and d_log_inverse_temperature (H).
/// Errors: ShapeError otherwise.
template <class Real>
void normalize_heads_vjp(const Tensor<Real, 4>& d_y, const Tensor<Real, 4>& x,
                         const std::type_identity_t<Tensor<Real, 1>>* log_inverse_temperature, double epsilon,
                         std::type_identity_t<Tensor<Real, 4>>* d_x,
                         std::type_identity_t<Tensor<Real, 1>>* d_log_inverse_temperature) {
    const Index tokens = extent(x, 0) * extent(x, 1), heads = extent(x, 2), width = extent(x, 3),
                grain = detail::norm_rows_per_slice, slices = (tokens + grain - 1) / grain;
    require_shape("normalize_heads vjp: d_y", d_y, shape_of(x));
    if (d_x) require_shape("normalize_heads vjp: d_x", *d_x, shape_of(x));
    if (d_log_inverse_temperature)
        require_shape("normalize_heads vjp: d_log_inverse_temperature", *d_log_inverse_temperature, Shape<1>{heads});
    const Tensor<Real, 1> inverse_temperature =
        detail::inverse_temperatures("normalize_heads vjp: log_inverse_temperature", log_inverse_temperature, heads);
    Tensor<double, 2> partial = zeros<double, 2>({slices, heads});
    parallel_slices(tokens, grain, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i)
            for (Index h = 0; h < heads; ++h) {
                const Index start = (i * heads + h) * width;
                const Real *x_ih = x.data() + start, *d_y_ih = d_y.data() + start;
                const Real inverse_length = detail::inverse_root(inner_product(x_ih, x_ih, width) + static_cast<Real>(epsilon));
                // y[j] = x[j] * factor, factor = exp(log_inverse_temperature) * inverse_length
                const Real factor = inverse_temperature(h) * inverse_length, d_factor = inner_product(d_y_ih, x_ih, width);
                partial(first / grain, h) += static_cast<double>(d_factor * factor);
                if (!d_x) continue;
                // d(factor)/d(x[j]) = -factor x[j] / length^2
                const Real pull = d_factor * factor * inverse_length * inverse_length;
                Real* __restrict d_x_ih = d_x->data() + start;
                for (Index j = 0; j < width; ++j) d_x_ih[j] += d_y_ih[j] * factor - x_ih[j] * pull;
            }
    });
    for (Index h = 0; d_log_inverse_temperature && h < heads; ++h) {
        double sum = 0;
        for (Index slice = 0; slice < slices; ++slice) sum += partial(slice, h);
        (*d_log_inverse_temperature)(h) += static_cast<Real>(sum);
    }
}

/// `normalize_heads` on the tape, without temperature: for keys.
template <class Real>
Variable<Real, 4> normalize_heads(Tape& tape, const Variable<Real, 4>& x, double epsilon = 1e-6) {
    const auto backward = [x, epsilon](const Tensor<Real, 4>& d_y) {
        normalize_heads_vjp(d_y, x.value(), nullptr, epsilon, &x.gradient(), nullptr);
    };
    return tape.record(normalize_heads(x.value(), nullptr, epsilon), backward, x);
}

/// `normalize_heads` on the tape, times the learned inverse temperature of each head: for queries.
template <class Real>
Variable<Real, 4> normalize_heads(Tape& tape, const Variable<Real, 4>& x, const Variable<Real, 1>& log_inverse_temperature,
                                  double epsilon = 1e-6) {
    const auto backward = [x, log_inverse_temperature, epsilon](const Tensor<Real, 4>& d_y) {
        normalize_heads_vjp(d_y, x.value(), &log_inverse_temperature.value(), epsilon, x.needed_gradient(),
                            log_inverse_temperature.needed_gradient());
    };
    return tape.record(normalize_heads(x.value(), &log_inverse_temperature.value(), epsilon), backward, x, log_inverse_temperature);
}

}  // namespace fot
