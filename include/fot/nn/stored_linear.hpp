/// Linear maps whose weights stay as they lie in a file: float, half precision or bfloat16, perhaps mapped from the disk.
///
/// The weights of a large model take most of its memory and of the time of generation, because for one token every weight is read
/// once and used once. So they are kept as stored, and widened within the product. For a few rows of x each row of the weight
/// is widened on the way into the registers; for many, a block of rows at a time, which then goes through the matrix product.
///
/// Processors with AVX512_BF16 multiply bfloat16 numbers twice as fast as floats. A weight in bfloat16 can use that for many rows
/// of x, if these are rounded to bfloat16 as well (`rounded_inputs`). The error of y is then about 2 parts in 1000 of its size
/// (root mean squares), so this is an option.
///
/// There is no gradient: these are the weights of a finished model.
///
/// Read first: nn/linear.hpp, core/dtype.hpp.   Read next: nn/linear_map.hpp.
#pragma once

#include <array>
#include <memory>
#include <numeric>
#include <type_traits>
#include <utility>

#include "fot/core/bfloat16_products.hpp"
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
    bool rounded_inputs = false;                  ///< if bf16: five rows of x or more are rounded to bfloat16, too
};

namespace detail {

/// The rows of x up to which a weight is widened one number at a time.
inline constexpr Index few_rows = 4;
/// Rows of a weight that are widened together, and rows of x that they are widened for.
inline constexpr Index widened_rows = 128, rows_together = 512;

/// sum_j x[j] w[j], w widened: as many sums side by side as keep the processor busy.
template <class Real, class Stored>
Real inner_product_of_stored(const Real* x, const Stored* w, Index count) {
    constexpr Index side_by_side = 32;
    std::array<Real, side_by_side> sums{};
    Index first = 0;
    for (; count - first >= side_by_side; first += side_by_side)
        for (Index j = 0; j < side_by_side; ++j) element(sums, j) += x[first + j] * widened<Real>(w[first + j]);
    for (; first < count; ++first) sums[0] += x[first] * widened<Real>(w[first]);
    return std::accumulate(sums.begin(), sums.end(), Real(0));
}

/// Calls body with a value of the type that stores the weight's numbers.
/// Errors: ConfigError unless they are floating-point.
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

/// The numbers of a stored matrix, widened.
template <class Real>
Tensor<Real, 2> widened_tensor(const StoredMatrix& weight) {
    Tensor<Real, 2> numbers = empty<Real, 2>({weight.rows, weight.columns});
    with_weight_type(weight, [&](auto element) {
        widen(static_cast<const decltype(element)*>(weight.numbers), element_count(numbers), numbers.data());
    });
    return numbers;
}

}  // namespace detail

/// out of a stored weight: with the next two functions linear, project_heads and merge_heads (nn/linear.hpp) take it.
inline Index rows_of(const StoredMatrix& weight) { return weight.rows; }
/// Throws ShapeError, in the name of `who`, unless the weight takes in `columns` numbers.
inline void require_columns(const char* who, const StoredMatrix& weight, Index columns) {
    require<ShapeError>(weight.columns == columns, who, ": the stored weight has ", weight.columns, " columns, expected ", columns);
}
namespace detail {

/// Calls body(rows of the weight, rows of x) for blocks of y, on all threads.
template <class Body>
void for_blocks(const StoredMatrix& weight, Index count, Body&& body) {
    const Index blocks = (weight.rows + widened_rows - 1) / widened_rows, slices = (count + rows_together - 1) / rows_together;
    parallel_for(blocks * slices,
                 [&](Index unit) { body(Part(weight.rows, unit % blocks, blocks), Part(count, unit / blocks, slices)); });
}

/// y = x W^T for many rows of x, W widened block by block.
template <class Stored, class Real>
void multiply_widened(MatrixView<const Real> x, const StoredMatrix& weight, MatrixView<Real> y) {
    const Stored* numbers = static_cast<const Stored*>(weight.numbers);
    for_blocks(weight, x.rows, [&](Part i, Part t) {
        Tensor<Real, 2> block_of_w = empty<Real, 2>({i.last - i.first, x.columns});
        widen(numbers + i.first * x.columns, element_count(block_of_w), block_of_w.data());
        gemm(Real(1), x.rows_from(t.first, t.last - t.first), transpose(as_matrix(std::as_const(block_of_w))), Real(0),
             block(y, t, i));
    });
}

/// The same for a W in bfloat16, x rounded to bfloat16.
template <class Real, class Products = BFloat16Products>
void multiply_rounded(MatrixView<const Real> x, const StoredMatrix& weight, MatrixView<Real> y) {
    if constexpr (Products::fast && std::is_same_v<Real, float>) {
        const Tensor<BFloat16Pair, 2> pairs = bfloat16_pairs(x);
        const auto w = matrix(static_cast<const BFloat16*>(weight.numbers), weight.rows, weight.columns);
        for_blocks(weight, x.rows, [&](Part i, Part t) {
            Products::multiply(as_matrix(pairs).rows_from(t.first, t.last - t.first), w.rows_from(i.first, i.last - i.first),
                               block(y, t, i));
        });
    } else {
        Tensor<Real, 2> rounded = empty<Real, 2>({x.rows, x.columns});
        for (Index i = 0; i < element_count(rounded); ++i) rounded.data()[i] = to_float(to_bfloat16(x.data[i]));
        multiply_widened<BFloat16>(as_matrix(std::as_const(rounded)), weight, y);
    }
}

}  // namespace detail

/// y = x W^T for `count` rows of x.
///
/// Cost:   count * in * out multiply-adds; reads every stored number once for 512 rows of x. Scratch: 128 widened rows of the
///         weight for each thread.
/// Errors: ConfigError for a weight of integers, or without numbers.
/// Same as: multiply_rows, of the widened weight; with `rounded_inputs` and five rows of x or more also of x rounded to bfloat16.
template <class Real>
void multiply_rows(const Real* x, Index count, const StoredMatrix& weight, Real* y) {
    const Index in = weight.columns, out = weight.rows;
    const MatrixView<const Real> rows = matrix(x, count, in);
    const MatrixView<Real> result = matrix(y, count, out);
    detail::with_weight_type(weight, [&](auto element) {
        using Stored = decltype(element);
        const Stored* numbers = static_cast<const Stored*>(weight.numbers);
        if (count <= detail::few_rows)
            parallel_slices(out, 32, [&](Index first, Index last) {
                for (Index i = first; i < last; ++i)
                    for (Index t = 0; t < count; ++t)
                        y[t * out + i] = detail::inner_product_of_stored(x + t * in, numbers + i * in, in);
            });
        else if constexpr (std::is_same_v<Stored, Real>)
            gemm(Real(1), rows, transpose(matrix(numbers, out, in)), Real(0), result);
        else if (std::is_same_v<Stored, BFloat16> && weight.rounded_inputs)
            detail::multiply_rounded(rows, weight, result);
        else
            detail::multiply_widened<Stored>(rows, weight, result);
    });
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
            widen(static_cast<const Stored*>(table.numbers) + tokens.data()[i] * table.columns, table.columns,
                  x.data() + i * table.columns);
    });
    return x;
}

}  // namespace fot
