/// A tensor as it lies in a file: its type, its shape, and its strides, the distances between its numbers.
///
/// Safetensors files hold tensors row by row. Those of PyTorch may hold a transposed view of a matrix, one piece of a larger one,
/// or the same numbers under two names; strides describe all three.
///
/// Read first: core/dtype.hpp.   Read next: files/checkpoint_folder.hpp.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fot/core/dtype.hpp"
#include "fot/core/parallel.hpp"

namespace fot {

namespace detail {

/// The number of elements of a shape, or -1 if it does not fit an Index or an extent is negative.
inline Index checked_count(const std::vector<Index>& shape, Index bytes_each) {
    Index count = 1;
    for (Index extent : shape) {
        if (extent < 0 || (extent > 0 && count > std::numeric_limits<Index>::max() / bytes_each / extent)) return -1;
        count *= extent;
    }
    return count;
}

}  // namespace detail

/// Number i0, i1, ... is at numbers + sum_j strides[j] i_j elements, which need not be aligned.
struct StoredTensor {
    const char* numbers = nullptr;                ///< the first, as bytes
    Dtype dtype = Dtype::f32;                     ///< of each
    std::vector<Index> shape;                     ///< extents
    std::vector<Index> strides;                   ///< in elements
    std::shared_ptr<const void> owner = nullptr;  ///< keeps the numbers alive: a mapped file

    /// Elements.
    Index count() const {
        Index product = 1;
        for (const Index extent : shape) product *= extent;
        return product;
    }
    /// Bytes of the elements.
    Index bytes() const { return count() * dtype_bytes(dtype); }
    /// Can it be used where it is: row-major, without gaps, aligned for its numbers?
    bool in_place() const {
        if (count() == 0) return true;
        if (reinterpret_cast<std::uintptr_t>(numbers) % static_cast<std::uintptr_t>(dtype_bytes(dtype)) != 0) return false;
        Index expected = 1;
        for (Index j = length_of(shape); j-- > 0; expected *= element(shape, j))
            if (element(shape, j) > 1 && element(strides, j) != expected) return false;
        return true;
    }
};

/// The tensors of a file or folder, by name.
using StoredTensors = std::map<std::string, StoredTensor>;

/// The strides of a tensor that is stored row by row.
inline std::vector<Index> row_major_strides(const std::vector<Index>& shape) {
    std::vector<Index> strides(shape.size(), 1);
    for (Index j = length_of(shape) - 1; j-- > 0;) element(strides, j) = element(strides, j + 1) * element(shape, j + 1);
    return strides;
}

/// The numbers of a tensor, copied row by row to `target`, which has room for its bytes.
inline void copy_row_major(const StoredTensor& tensor, void* target) {
    if (tensor.count() == 0) return;
    std::vector<Index> shape = tensor.shape, strides = tensor.strides;
    shape.insert(shape.begin(), 2, 1);  // at least a matrix
    strides.insert(strides.begin(), 2, 0);
    const Index last = length_of(shape) - 1, rows = element(shape, last - 1), columns = element(shape, last),
                row_stride = element(strides, last - 1), column_stride = element(strides, last);
    detail::with_stored_type(tensor.dtype, [&](auto example) {
        using Stored = decltype(example);
        constexpr Index tile = 64, size = sizeof(Stored);  // whose rows and columns stay in the cache
        for (Index matrix = 0; matrix < tensor.count() / (rows * columns); ++matrix) {
            const char* source = tensor.numbers;
            for (Index j = last - 1, rest = matrix; j-- > 0; rest /= element(shape, j))
                source += rest % element(shape, j) * element(strides, j) * size;
            char* const to = static_cast<char*>(target) + matrix * rows * columns * size;
            parallel_slices(rows, tile, [&](Index first, Index end) {
                for (Index from = 0; from < columns; from += tile)
                    for (Index i = first; i < end; ++i)
                        for (Index k = from; k < std::min(columns, from + tile); ++k)
                            std::memcpy(to + (i * columns + k) * size, source + (i * row_stride + k * column_stride) * size, size);
            });
        }
    });
}

}  // namespace fot
