/// Linear maps whose weights stay as a file has them: float, half precision or bfloat16, perhaps mapped from the disk.
///
/// The weights of a large model are most of what it takes of memory, and of the time of generation: for one token every weight is
/// read once and used once. So they are kept as stored, and widened within the product. For a few rows of x each row of the weight
/// is widened on the way into the registers; for many, a block of rows at a time, which then goes through the matrix product.
///
/// There is no gradient: these are the weights of a finished model.
///
/// Read first: nn/linear.hpp, core/dtype.hpp.   Read next: nn/linear_map.hpp.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "fot/core/dtype.hpp"
#include "fot/nn/embedding.hpp"
#include "fot/nn/linear.hpp"

namespace fot {

/// A weight (rows, columns) = (out, in) as stored, row-major.
struct StoredMatrix {
    const void* numbers = nullptr;                ///< rows * columns of them
    Dtype dtype = Dtype::f32;                     ///< f64, f32, f16 or bf16
    Index rows = 0;                               ///< out
    Index columns = 0;                            ///< in
    std::shared_ptr<const void> owner = nullptr;  ///< keeps the numbers alive: a mapped file, or a tensor
};

/// A tensor as a stored matrix, which keeps it.
template <class Real>
StoredMatrix stored_matrix(Tensor<Real, 2> weight) {
    const auto kept = std::make_shared<const Tensor<Real, 2>>(std::move(weight));
    return {kept->data(), dtype_of<Real>(), extent(*kept, 0), extent(*kept, 1), kept};
}

namespace detail {

/// The rows of x up to which a weight is widened number by number.
inline constexpr Index few_rows = 3;
inline constexpr Index widened_rows = 128;

template <class Real, class Stored>
Real widened(Stored stored) {
    if constexpr (std::is_class_v<Stored>)
        return static_cast<Real>(to_float(stored));
    else
        return static_cast<Real>(stored);
}

template <class Real, class Stored>
void widen(const Stored* source, Index count, Real* target) {
    for (Index i = 0; i < count; ++i) target[i] = widened<Real>(source[i]);
}

/// Calls body with a value of the type that stores the weight's numbers. Errors: ConfigError unless they are floating-point.
template <class Body>
void with_weight_type(const StoredMatrix& weight, Body&& body) {
    const bool floating =
        weight.dtype == Dtype::f64 || weight.dtype == Dtype::f32 || weight.dtype == Dtype::f16 || weight.dtype == Dtype::bf16;
    require<ConfigError>(floating, "stored_linear: the weight has dtype ", dtype_name(weight.dtype),
                         ", expected F64, F32, F16 or BF16");
    require<ConfigError>(weight.numbers != nullptr || weight.rows * weight.columns == 0, "stored_linear: the weight of ",
                         weight.rows, " x ", weight.columns, " has no numbers");
    with_stored_type(weight.dtype, [&](auto element) {
        using Stored = decltype(element);
        if constexpr (std::is_class_v<Stored> || std::is_floating_point_v<Stored>) body(element);
    });
}

/// y = x W^T for `count` rows of x.
template <class Real>
void stored_linear_into(const Real* x, Index count, const StoredMatrix& weight, Real* y) {
    const Index in = weight.columns, out = weight.rows;
    with_weight_type(weight, [&](auto element) {
        using Stored = decltype(element);
        const Stored* numbers = static_cast<const Stored*>(weight.numbers);
        if (count <= few_rows) {
            parallel_slices(out, 32, [&](Index first, Index last) {
                for (Index i = first; i < last; ++i)
                    for (Index t = 0; t < count; ++t) {
                        const Stored* w = numbers + i * in;
                        const Real* x_t = x + t * in;
                        Real sum = 0;
#pragma omp simd reduction(+ : sum)
                        for (Index j = 0; j < in; ++j) sum += x_t[j] * widened<Real>(w[j]);
                        y[t * out + i] = sum;
                    }
            });
        } else if constexpr (std::is_same_v<Stored, Real>) {
            gemm(Real(1), matrix(x, count, in), transpose(matrix(numbers, out, in)), Real(0), matrix(y, count, out));
        } else {
            parallel_slices(out, widened_rows, [&](Index first, Index last) {
                Tensor<Real, 2> block = empty<Real, 2>({last - first, in});
                widen(numbers + first * in, (last - first) * in, block.data());
                gemm(Real(1), matrix(x, count, in), transpose(as_matrix(std::as_const(block))), Real(0),
                     matrix(y + first, count, last - first, out));
            });
        }
    });
}

/// The numbers of a stored matrix, widened.
template <class Real>
Tensor<Real, 2> widened_tensor(const StoredMatrix& weight) {
    Tensor<Real, 2> numbers = empty<Real, 2>({weight.rows, weight.columns});
    with_weight_type(weight, [&](auto element) {
        widen(static_cast<const decltype(element)*>(weight.numbers), element_count(numbers), numbers.data());
    });
    return numbers;
}

inline void require_stored(const StoredMatrix& weight, Index columns) {
    require<ShapeError>(weight.columns == columns, "stored_linear: the weight has ", weight.columns, " columns, expected ",
                        columns);
}

}  // namespace detail

/// A linear map of every row.
///
///     y[..., i] = sum_j x[..., j] weight[i, j]
///
/// Shapes: x (..., in), weight (out, in) -> (..., out).
/// Cost:   rows * in * out multiply-adds; reads every stored number once. Scratch: 128 widened rows of the weight for each thread.
/// Errors: ShapeError if the last axis of x is not `in`; ConfigError for a weight of integers, or without numbers.
/// Same as: linear, of the widened weight.
template <class Real, std::size_t N>
Tensor<Real, N> linear(const Tensor<Real, N>& x, const StoredMatrix& weight) {
    detail::require_stored(weight, extent(x, N - 1));
    Shape<N> shape = shape_of(x);
    shape[N - 1] = weight.rows;
    Tensor<Real, N> y = empty<Real, N>(shape);
    detail::stored_linear_into(x.data(), detail::leading_count(x), weight, y.data());
    return y;
}

/// The linear map into the heads: x (B,T,E), weight (H*D,E) -> (B,T,H,D). Errors: as linear; ConfigError if the rows of the weight
/// do not divide into `heads`.
template <class Real>
Tensor<Real, 4> project_heads(const Tensor<Real, 3>& x, const StoredMatrix& weight, Index heads) {
    detail::require_stored(weight, extent(x, 2));
    require<ConfigError>(heads >= 1 && weight.rows % heads == 0, "project_heads: the ", weight.rows,
                         " rows of the weight do not divide into ", heads, " heads");
    Tensor<Real, 4> y = empty<Real, 4>({extent(x, 0), extent(x, 1), heads, weight.rows / heads});
    detail::stored_linear_into(x.data(), extent(x, 0) * extent(x, 1), weight, y.data());
    return y;
}

/// The linear map out of the heads: o (B,T,H,D), weight (E,H*D) -> (B,T,E).   Errors: as linear.
template <class Real>
Tensor<Real, 3> merge_heads(const Tensor<Real, 4>& o, const StoredMatrix& weight) {
    detail::require_stored(weight, extent(o, 2) * extent(o, 3));
    Tensor<Real, 3> y = empty<Real, 3>({extent(o, 0), extent(o, 1), weight.rows});
    detail::stored_linear_into(o.data(), extent(o, 0) * extent(o, 1), weight, y.data());
    return y;
}

/// The row of a stored table that belongs to each token: tokens (B,T), table (V,E) -> (B,T,E).
/// Errors: DataError if a token is outside 0 ... V-1; ConfigError for a table of integers, or without numbers.
template <class Real>
Tensor<Real, 3> embedding(const Tokens& tokens, const StoredMatrix& table) {
    const Index batch = extent(tokens, 0), length = extent(tokens, 1);
    Tensor<Real, 3> x = empty<Real, 3>({batch, length, table.columns});
    require_in_vocabulary(tokens, table.rows);
    detail::with_weight_type(table, [&](auto element) {
        using Stored = decltype(element);
        for (Index i = 0; i < batch * length; ++i)
            detail::widen(static_cast<const Stored*>(table.numbers) + tokens.data()[i] * table.columns, table.columns,
                          x.data() + i * table.columns);
    });
    return x;
}

}  // namespace fot
