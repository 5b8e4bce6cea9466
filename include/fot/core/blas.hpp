/// Matrix products: one checked `gemm` on strided views, the only place that includes xtensor-blas.
///
/// `gemm` cuts the result into blocks, and cuts a sum of very many products into parts; our threads share these. Each block or
/// part is computed on one thread, by BLAS or in our own tiles (core/product_of_tiles.hpp). So the same threads serve products and
/// loops, and a product within a parallel loop runs on the loop's thread.
///
/// Read first: core/matrix_view.hpp, core/parallel.hpp, core/product_of_tiles.hpp.   Read next: core/autograd.hpp.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <limits>
#include <mutex>
#include <numeric>
#include <type_traits>
#include <utility>

#if __has_include(<xtensor-blas/xblas.hpp>)
#include <xtensor-blas/xblas.hpp>
#else
#error "fot needs xtensor-blas: apt-get install libxtensor-blas-dev libopenblas-dev"
#endif

#include "fot/core/matrix_view.hpp"
#include "fot/core/parallel.hpp"
#include "fot/core/product_of_tiles.hpp"

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
        if (living_++ == 0) hold_back();
    }
    ~BlasOnOneThread() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--living_ == 0) set_free();
    }

   private:
#ifdef _OPENMP
    static void hold_back() {
        threads_before_ = openblas_get_num_threads();
        if (threads_before_ > 1) openblas_set_num_threads(1);
    }
    static void set_free() {
        if (threads_before_ > 1) openblas_set_num_threads(threads_before_);
    }
#else
    static void hold_back() {}
    static void set_free() {}
#endif

    static inline std::mutex mutex_;
    static inline Index living_ = 0, most_ = 0;  // products
    static inline int threads_before_ = 1;
#else
    BlasOnOneThread() {}
#endif
};

/// c = alpha a b + beta c by BLAS, on the calling thread.
template <class Real>
void product_by_blas(Real alpha, MatrixView<const Real> a, MatrixView<const Real> b, Real beta, MatrixView<Real> c) {
    const BlasOnOneThread alone;
    using cxxblas::Transpose;
    const auto as_int = [](Index i) { return static_cast<int>(i); };
    cxxblas::gemm<int>(cxxblas::StorageOrder::RowMajor, a.transposed ? Transpose::Trans : Transpose::NoTrans,
                       b.transposed ? Transpose::Trans : Transpose::NoTrans, as_int(c.rows), as_int(c.columns),
                       as_int(a.used_columns()), alpha, a.data, as_int(a.leading), b.data, as_int(b.leading), beta, c.data,
                       as_int(c.leading));
}

/// Positions first ... last - 1 of an axis: part `i` of `parts` nearly equal ones, cut at multiples of `grain`.
struct Part {
    Index first, last;
    Part(Index extent, Index i, Index parts, Index grain = 1) {
        const Index grains = (extent + grain - 1) / grain;
        first = grains * i / parts * grain;
        last = std::min(extent, grains * (i + 1) / parts * grain);
    }
};

/// Those rows and columns of the matrix as a product uses it.
template <class Real>
MatrixView<Real> block(MatrixView<Real> view, Part rows, Part columns) {
    if (view.transposed) std::swap(rows, columns);
    return {view.row(rows.first) + columns.first, rows.last - rows.first, columns.last - columns.first, view.leading,
            view.transposed};
}

/// Into how many parts the rows and the columns of a result are cut: at most `blocks` blocks, whose largest takes least time.
template <class Real>
Shape<2> cuts(Index rows, Index columns, Index blocks) {
    constexpr Index width = panel_width<Real>, reading = 16;  // of a block's factors: as much time as so many more rows and columns
    const Index panels = (columns + width - 1) / width;
    const auto time = [&](const Shape<2>& cut) {
        return ((rows + cut[0] - 1) / cut[0] + reading) * ((panels + cut[1] - 1) / cut[1] * width + reading);
    };
    Shape<2> best{1, 1};
    for (Index i = 1; i <= std::min(blocks, rows); ++i)
        if (const Shape<2> cut{i, std::min(blocks / i, panels)}; time(cut) < time(best)) best = cut;
    return best;
}

/// Into how many parts the sums of a product are cut. Few and long ones, such as those of a weight's gradient over all tokens,
/// would keep few threads busy otherwise. The answer does not depend on the number of threads: neither does the order of the sums.
inline Index parts_of_sums(Index rows, Index columns, Index depth) {
    constexpr Index few = 1 << 16, long_part = 1024, most_parts = 16;
    return rows * columns > few ? 1 : std::clamp<Index>(depth / long_part, 1, most_parts);
}

}  // namespace detail

/// c = alpha a b + beta c, on all threads (on the calling one alone within a parallel loop).
///
/// c must not overlap a or b. beta = 0 overwrites c whatever it held. Computed in tiles, c does not depend on the number of
/// threads. Computed by BLAS, which adds in a different order at the edge of a block, its last bits do.
///
/// Shapes: a (m, n), b (n, p), c (m, p) as used, that is after their `transposed`; c itself must not be transposed.
/// Cost:   m n p multiply-adds. Scratch: 15 m p numbers at most, where m p is small and n large; for the tiles a mebibyte per
///         thread.
/// Errors: ShapeError if the three shapes do not fit, if a leading dimension is below its columns, or if an extent passes 2^31;
///         Error if OpenBLAS has no working memory.
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
    const Index depth = a.used_columns();
    if (depth == 0) return detail::scale(beta, c);  // an empty sum; BLAS would refuse leading dimension 0

    constexpr double worth_sharing = 1 << 17;  // multiply-adds below which waking a thread costs more than it saves
    const double work = static_cast<double>(c.rows) * static_cast<double>(c.columns) * static_cast<double>(depth),
                 most = in_parallel() ? 1 : static_cast<double>(threads());
    const Index sharers = static_cast<Index>(std::clamp(work / worth_sharing, 1.0, most));
    const Index parts = detail::parts_of_sums(c.rows, c.columns, depth);
    const Shape<2> cut = detail::cuts<Real>(c.rows, c.columns, std::lcm(parts, sharers) / parts);
    const auto product = detail::in_tiles(c) ? detail::product_of_tiles<Real> : detail::product_by_blas<Real>;
    Tensor<Real, 3> sums = empty<Real, 3>({parts - 1, c.rows, c.columns});  // of all parts but the first, which goes into c
    parallel_for(parts * cut[0] * cut[1], [&](Index unit) {
        const Index part = unit % parts;
        const detail::Part k(depth, part, parts), i(c.rows, unit / parts % cut[0], cut[0]),
            j(c.columns, unit / parts / cut[0], cut[1], panel_width<Real>);
        const MatrixView<Real> sum = part == 0 ? c : matrix(row(sums, part - 1), c.rows, c.columns);
        product(alpha, detail::block(a, i, k), detail::block(b, k, j), part == 0 ? beta : Real(0), detail::block(sum, i, j));
    });
    if (parts > 1)
        parallel_slices(c.rows, (1 << 14) / c.columns + 1, [&](Index first, Index last) {
            for (Index part = 1; part < parts; ++part)
                for (Index i = first; i < last; ++i)
                    for (Index j = 0; j < c.columns; ++j) c.row(i)[j] += sums(part - 1, i, j);
        });
}

}  // namespace fot
