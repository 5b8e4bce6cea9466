/// A whole matrix product computed in the tiles of core/tile_product.hpp, on the calling thread. In builds with AVX2 and OpenMP
/// `gemm` uses it for all results but those of few columns.
///
/// An OpenBLAS that does not recognise a processor uses older kernels: AVX2 kernels on AMD processors with AVX-512, SSE kernels on
/// new Intel processors (core/blas_kernels.hpp). The tiles are twice as fast as AVX2 kernels on these AMD processors, and about as
/// fast as OpenBLAS's AVX-512 kernels (tests/benchmark/benchmark_gemm). They also add up every result in one order, whatever part
/// of the product it is computed in, so that a product is bitwise the same for any number of threads (paper_notes.md, "When results
/// are bitwise the same").
///
/// Read first: core/matrix_view.hpp, core/tile_product.hpp.   Read next: core/blas.hpp.
#pragma once

#include <algorithm>

#include "fot/core/matrix_view.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

namespace detail {

/// Are tiles faster than BLAS for this product? They need AVX2, and enough columns to fill a good part of a vector. Without OpenMP
/// the threads of BLAS are all that there are.
template <class Real>
constexpr bool in_tiles([[maybe_unused]] const MatrixView<Real>& c) {
#if defined(_OPENMP) && defined(__AVX2__) && defined(__FMA__)
    return c.columns > panel_width<Real> / 4;
#else
    return false;
#endif
}

/// c = beta c; 0 overwrites whatever c held.
template <class Real>
void scale(Real beta, MatrixView<Real> c) {
    for (Index i = 0; i < c.rows; ++i)
        for (Index j = 0; j < c.columns; ++j) c.row(i)[j] = beta == Real(0) ? Real(0) : beta * c.row(i)[j];
}

/// c = a b, or c += a b, for a packed factor whose columns may not fill its last panel: then the results go through a scratch tile.
template <class Real>
void product_with_packed(bool add, LeftFactor<Real> a, const PackedFactor<Real>& b, Tensor<Real, 1>& scratch, MatrixView<Real> c) {
    const Index padded = b.padded_columns();
    if (padded == c.columns) {
        if (add)
            tile_product<true>(c.rows, a, b, c.data, c.leading);
        else
            tile_product<false>(c.rows, a, b, c.data, c.leading);
        return;
    }
    if (element_count(scratch) < c.rows * padded) scratch = empty<Real, 1>({c.rows * padded});
    tile_product<false>(c.rows, a, b, scratch.data(), padded);
    for (Index i = 0; i < c.rows; ++i)
        for (Index j = 0; j < c.columns; ++j) c.row(i)[j] = (add ? c.row(i)[j] : Real(0)) + scratch(i * padded + j);
}

/// c = alpha a b + beta c. The right factor is packed in pieces that stay in the second-level cache beside those of the left;
/// pieces of the same columns come one after another, so that a block of results stays there too.
template <class Real>
void product_of_tiles(Real alpha, MatrixView<const Real> a, MatrixView<const Real> b, Real beta, MatrixView<Real> c) {
    constexpr Index most_depth = 256, most_columns = 256, most_rows = 240;
    const Index row_stride = a.transposed ? 1 : a.leading, column_stride = a.transposed ? a.leading : 1;
    PackedFactor<Real> packed;
    Tensor<Real, 1> scratch;
    if (beta != Real(0) && beta != Real(1)) scale(beta, c);
    for (Index j = 0; j < c.columns; j += most_columns)
        for (Index k = 0; k < a.used_columns(); k += most_depth) {
            const Index depth = std::min(most_depth, a.used_columns() - k), columns = std::min(most_columns, c.columns - j);
            if (b.transposed)
                pack_transposed(b.row(j) + k, columns, depth, b.leading, packed);
            else
                pack(b.row(k) + j, depth, columns, b.leading, packed);
            if (alpha != Real(1)) packed.numbers *= alpha;
            for (Index i = 0; i < c.rows; i += most_rows) {
                const LeftFactor<Real> left{a.data + i * row_stride + k * column_stride, row_stride, column_stride};
                product_with_packed(beta != Real(0) || k > 0, left, packed, scratch,
                                    matrix(c.row(i) + j, std::min(most_rows, c.rows - i), columns, c.leading));
            }
        }
}

}  // namespace detail

}  // namespace fot
