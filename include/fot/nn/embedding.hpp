/// Token embedding: a row of a table for each token.
///
/// The same table may serve as the weight of the output projection (nn/linear.hpp: it has one row per token), and then both
/// gradients add up in it.
///
/// Source: Vaswani et al. 2017; paper appendix B.1.
/// Read first: core/autograd.hpp.   Read next: nn/linear.hpp.
#pragma once

#include "fot/core/autograd.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

/// Errors: DataError, naming the first, if a token is outside 0 ... vocabulary-1.
inline void require_in_vocabulary(const Tokens& tokens, Index vocabulary) {
    for (Index b = 0; b < extent(tokens, 0); ++b)
        for (Index t = 0; t < extent(tokens, 1); ++t)
            require<DataError>(tokens(b, t) >= 0 && tokens(b, t) < vocabulary, "embedding: token ", tokens(b, t), " at position (",
                               b, ", ", t, ") is outside the vocabulary of ", vocabulary);
}

/// The row of the table that belongs to each token.
///
///     x[b,t,:] = table[tokens[b,t],:]
///
/// Shapes: tokens (B,T), table (V,E) -> (B,T,E).
/// Cost:   a copy.
/// Errors: DataError if a token is outside 0 ... V-1.
template <class Real>
Tensor<Real, 3> embedding(const Tokens& tokens, const Tensor<Real, 2>& table) {
    const Index batch = extent(tokens, 0), length = extent(tokens, 1), width = extent(table, 1);
    require_in_vocabulary(tokens, extent(table, 0));
    Tensor<Real, 3> x = empty<Real, 3>({batch, length, width});
    parallel_slices(batch * length, 256, [&](Index first, Index last) {
        for (Index i = first; i < last; ++i) std::copy_n(row(table, tokens.data()[i]), width, x.data() + i * width);
    });
    return x;
}

/// Vector-Jacobian product of `embedding`. Threads share the columns, so each number of d_table is one sum in the order of the
/// tokens and comes out the same with any number of threads.
///
/// Shapes: tokens (B,T), d_x (B,T,E); adds to d_table (V,E).
/// Errors: ShapeError if they do not fit; DataError if a token is outside 0 ... V-1.
template <class Real>
void embedding_vjp(const Tensor<Real, 3>& d_x, const Tokens& tokens, Tensor<Real, 2>& d_table) {
    const Index count = element_count(tokens), width = extent(d_table, 1);
    require_shape("embedding vjp: d_x", d_x, {extent(tokens, 0), extent(tokens, 1), width});
    require_in_vocabulary(tokens, extent(d_table, 0));
    parallel_slices(width, 64, [&](Index first, Index last) {
        for (Index i = 0; i < count; ++i) {
            // x[i,:] = table[tokens[i],:]
            const Real* d_x_i = d_x.data() + i * width;
            Real* d_row = row(d_table, tokens.data()[i]);
            for (Index e = first; e < last; ++e) d_row[e] += d_x_i[e];
        }
    });
}

/// `embedding` on the tape.
template <class Real>
Variable<Real, 3> embedding(Tape& tape, const Tokens& tokens, const Variable<Real, 2>& table) {
    const auto backward = [tokens, table](const Tensor<Real, 3>& d_x) { embedding_vjp(d_x, tokens, table.gradient()); };
    return tape.record(embedding(tokens, table.value()), backward, table);
}

}  // namespace fot
