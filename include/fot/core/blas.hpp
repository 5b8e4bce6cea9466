/// Matrix products: one checked `gemm` on strided views, the only place that includes xtensor-blas.
///
/// `gemm` shares the rows (or columns) of the result among our threads, and BLAS computes each share on one. So the same threads
/// serve products and loops, and a product within a parallel loop runs on the loop's thread.
///
/// Where the compiler may use AVX-512, products of floats with a factor of 1 are made of our own tiles instead: OpenBLAS takes AVX2
/// kernels on processors that are newer than itself, and at the sizes of these models our tiles are as fast as its AVX-512 kernels,
/// twice as fast as the others (tests/benchmark/benchmark_gemm).
///
/// Read first: core/matrix_view.hpp, core/parallel.hpp, core/tile_product.hpp.   Read next: core/autograd.hpp.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <type_traits>

#if __has_include(<xtensor-blas/xblas.hpp>)
#include <xtensor-blas/xblas.hpp>
#else
#error "fot needs xtensor-blas: apt-get install libxtensor-blas-dev libopenblas-dev"
#endif

#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/tile_product.hpp"

namespace fot {

namespace detail {

/// OpenBLAS takes 128 MiB of working memory for each product that runs, keeps it for later ones, and where the system does not give
/// it (ulimit -v) asks again for ever. So we ask first.
inline void require_working_memory(Index products) {
    const std::size_t bytes = static_cast<std::size_t>(products) << 27;
    void* const given = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    require<Error>(given != MAP_FAILED, "gemm: OpenBLAS needs 128 MiB of memory for each of ", products,
                   " products at once, and the system does not give it (ulimit -v)");
    ::munmap(given, bytes);
}

/// While one of these lives, OpenBLAS computes on the calling thread alone; after the last it has the threads that it had before.
/// Only where the loops around it are parallel: elsewhere its own threads are all there are. Other BLAS have no such switch.
class BlasOnOneThread {
   public:
    BlasOnOneThread(const BlasOnOneThread&) = delete;
    BlasOnOneThread& operator=(const BlasOnOneThread&) = delete;
#ifdef WITH_OPENBLAS
    BlasOnOneThread() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (living_ == most_) {  // any of those that run may not have taken its own yet
            const Index at_once = std::max<Index>(threads(), living_ + 1);
            require_working_memory(at_once);
            most_ = at_once;
        }
        if (living_++ == 0) change_threads(1);
    }
    ~BlasOnOneThread() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--living_ == 0) change_threads(threads_before_);
    }

   private:
    static void change_threads([[maybe_unused]] int count) {
#ifdef _OPENMP
        if (count == 1) threads_before_ = openblas_get_num_threads();
        if (threads_before_ > 1) openblas_set_num_threads(count);
#endif
    }

    static inline std::mutex mutex_;
    static inline Index living_ = 0, most_ = 0;  // products
    static inline int threads_before_ = 1;
#else
    BlasOnOneThread() {}
#endif
};

/// Are tiles at least as fast as BLAS for such a product? A factor of few rows does not pay for packing the other one.
template <class Real>
constexpr bool in_tiles([[maybe_unused]] Real alpha, [[maybe_unused]] Real beta, [[maybe_unused]] const MatrixView<Real>& c) {
#ifdef __AVX512F__
    return std::is_same_v<Real, float> && alpha == Real(1) && (beta == Real(0) || beta == Real(1)) && c.rows >= 64 &&
           c.columns >= panel_width<Real> / 2;
#else
    return false;
#endif
}

/// c = a b, or c += a b, in tiles. The right factor is packed in pieces that stay in the second-level cache beside those of the
/// left.
template <class Real>
void tiled_product_on_this_thread(MatrixView<const Real> a, MatrixView<const Real> b, bool accumulate, MatrixView<Real> c) {
    constexpr Index most_depth = 256, most_columns = 256, most_rows = 240;
    const Index row_stride = a.transposed ? 1 : a.leading, column_stride = a.transposed ? a.leading : 1, depth = a.used_columns();
    PackedFactor<Real> packed;
    Tensor<Real, 2> unfitting;  // results of columns that do not fill whole panels
    for (Index k = 0; k < depth; k += most_depth)
        for (Index j = 0; j < c.columns; j += most_columns) {
            const Index of_depth = std::min(most_depth, depth - k), columns = std::min(most_columns, c.columns - j);
            const bool add = accumulate || k > 0;
            if (b.transposed)
                pack_transposed(b.data + j * b.leading + k, columns, of_depth, b.leading, packed);
            else
                pack(b.data + k * b.leading + j, of_depth, columns, b.leading, packed);
            for (Index i = 0; i < c.rows; i += most_rows) {
                const Index rows = std::min(most_rows, c.rows - i), padded = packed.padded_columns();
                const LeftFactor<Real> left{a.data + i * row_stride + k * column_stride, row_stride, column_stride};
                Real* target = c.data + i * c.leading + j;
                if (padded == columns && add) {
                    tile_product<true>(rows, left, packed, target, c.leading);
                } else if (padded == columns) {
                    tile_product<false>(rows, left, packed, target, c.leading);
                } else {
                    if (unfitting.size() == 0) unfitting = empty<Real, 2>({most_rows, padded});
                    tile_product<false>(rows, left, packed, unfitting.data(), padded);
                    for (Index r = 0; r < rows; ++r)
                        for (Index each = 0; each < columns; ++each)
                            target[r * c.leading + each] =
                                (add ? target[r * c.leading + each] : Real(0)) + unfitting.data()[r * padded + each];
                }
            }
        }
}

template <class Real>
void gemm_on_this_thread(Real alpha, MatrixView<const Real> a, MatrixView<const Real> b, Real beta, MatrixView<Real> c) {
    if (in_tiles(alpha, beta, c)) return tiled_product_on_this_thread(a, b, beta == Real(1), c);
    const BlasOnOneThread alone;
    using cxxblas::Transpose;
    const auto as_int = [](Index i) { return static_cast<int>(i); };
    cxxblas::gemm<int>(cxxblas::StorageOrder::RowMajor, a.transposed ? Transpose::Trans : Transpose::NoTrans,
                       b.transposed ? Transpose::Trans : Transpose::NoTrans, as_int(c.rows), as_int(c.columns),
                       as_int(a.used_columns()), alpha, a.data, as_int(a.leading), b.data, as_int(b.leading), beta, c.data,
                       as_int(c.leading));
}

/// Rows first ... last-1 of the matrix as the product uses it.
template <class Real>
MatrixView<Real> used_row_range(MatrixView<Real> view, Index first, Index last) {
    view.data += view.transposed ? first : first * view.leading;
    (view.transposed ? view.columns : view.rows) = last - first;
    return view;
}

template <class Real>
MatrixView<Real> used_column_range(MatrixView<Real> view, Index first, Index last) {
    return transpose(used_row_range(transpose(view), first, last));
}

}  // namespace detail

/// c = alpha a b + beta c, on all threads (on the calling one alone within a parallel loop).
///
/// Shapes: a (m, n), b (n, p), c (m, p) as used, that is after their `transposed`; c itself must not be transposed.
/// c must not overlap a or b. beta = 0 overwrites c whatever it held.
/// The last bits depend on the number of threads: BLAS adds in another order at the edge of a share (the last rows or columns of
/// it). Cost:   m n p multiply-adds. Errors: ShapeError if the three shapes do not fit, if a leading dimension is below its
/// columns, or if an extent passes 2^31; Error if OpenBLAS has no working memory.
template <class Real>
void gemm(Real alpha, MatrixView<const std::type_identity_t<Real>> a, MatrixView<const std::type_identity_t<Real>> b, Real beta,
          MatrixView<Real> c) {
    require<ShapeError>(!c.transposed, "gemm: the result must not be a transposed view");
    require<ShapeError>(a.used_rows() == c.rows && b.used_columns() == c.columns && a.used_columns() == b.used_rows(), "gemm: a (",
                        a.used_rows(), ", ", a.used_columns(), ") times b (", b.used_rows(), ", ", b.used_columns(),
                        ") does not give c (", c.rows, ", ", c.columns, ")");
    for (const auto& view : {a, b, MatrixView<const Real>(c)}) {
        require<ShapeError>(view.rows >= 0 && view.columns >= 0 && view.leading >= view.columns, "gemm: a view of ", view.rows,
                            " x ", view.columns, " numbers has leading dimension ", view.leading);
        require<ShapeError>(std::max({view.rows, view.columns, view.leading}) < std::numeric_limits<int>::max(),
                            "gemm: an extent of ", view.rows, " x ", view.columns, " is too large for this BLAS");
    }
    if (c.rows == 0 || c.columns == 0) return;
    if (a.used_columns() == 0) {  // an empty sum; BLAS would refuse leading dimension 0
        for (Index i = 0; i < c.rows; ++i)
            for (Index j = 0; j < c.columns; ++j)
                c.data[i * c.leading + j] = beta == Real(0) ? Real(0) : beta * c.data[i * c.leading + j];
        return;
    }
    constexpr double worth_sharing = 1 << 18;  // multiply-adds below which waking the other threads costs more than it saves
    const bool by_rows = c.rows >= c.columns;
    const double work = static_cast<double>(c.rows) * static_cast<double>(c.columns) * static_cast<double>(a.used_columns());
    const Index parts = work < worth_sharing || in_parallel() ? 1 : std::min(threads(), by_rows ? c.rows : c.columns);
    parallel_for(parts, [&](Index part) {
        const Index total = by_rows ? c.rows : c.columns, first = total * part / parts, last = total * (part + 1) / parts;
        if (by_rows)
            detail::gemm_on_this_thread<Real>(alpha, detail::used_row_range(a, first, last), b, beta,
                                              detail::used_row_range(c, first, last));
        else
            detail::gemm_on_this_thread<Real>(alpha, a, detail::used_column_range(b, first, last), beta,
                                              detail::used_column_range(c, first, last));
    });
}

}  // namespace fot
