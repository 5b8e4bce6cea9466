/// Matrices whose rows lie so far apart that places in them are numbers beyond 2^31 and 2^32, without the memory for what is
/// between.
#pragma once

#include <sys/mman.h>

#include <utility>

#include "fot/core/matrix_view.hpp"
#include "fot/core/random.hpp"

namespace fot::testing {

/// Random rows within addresses that are only reserved: memory is taken by the pages that are written.
template <class Real>
class FarApart {
   public:
    FarApart(Index rows, Index columns, Random& random)
        : bytes_(static_cast<std::size_t>((rows - 1) * leading + columns) * sizeof(Real)),
          start_(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
        if (!reserved()) return;
        ::madvise(start_, bytes_, MADV_NOHUGEPAGE);
        view_ = matrix(static_cast<Real*>(start_), rows, columns, leading);
        near_ = normal_tensor<Real, 2>({rows, columns}, 1, random);
        for (Index i = 0; i < rows; ++i) std::copy_n(row(near_, i), columns, view_.row(i));
    }
    FarApart(const FarApart&) = delete;
    FarApart& operator=(const FarApart&) = delete;
    ~FarApart() {
        if (reserved()) ::munmap(start_, bytes_);
    }

    /// False where so many addresses cannot be had: under a limit, or beside a tool that takes them.
    bool reserved() const { return start_ != MAP_FAILED; }
    MatrixView<Real> view() const { return view_; }
    /// The same numbers, one row after another.
    const Tensor<Real, 2>& near() const { return near_; }

    static constexpr Index leading = Index{1} << 26;  ///< so 33 rows reach over 2^31 numbers, 65 over 2^32

   private:
    std::size_t bytes_;
    void* start_;
    MatrixView<Real> view_{};
    Tensor<Real, 2> near_;
};

}  // namespace fot::testing
