/// What tests of searches share: keys of whole numbers, of length one and around centres, and how two findings compare.
#pragma once

#include <algorithm>
#include <cmath>

#include "fot/core/random.hpp"
#include "fot/memory/exact_search.hpp"
#include "support/difference.hpp"

namespace fot::testing {

/// Small whole numbers: every product and sum is exact, and equal scores abound.
inline Tensor<float, 2> whole_numbers(Index rows, Index columns, Random& random, Index spread = 3) {
    Tensor<float, 2> numbers = empty<float, 2>({rows, columns});
    for (float& x : numbers.storage()) x = static_cast<float>(random.below(2 * spread + 1) - spread);
    return numbers;
}

template <class Real>
bool same(const SearchResult<Real>& a, const SearchResult<Real>& b) {
    return a.scores.storage() == b.scores.storage() && a.indices.storage() == b.indices.storage();
}

template <class Real>
void normalize_rows(Tensor<Real, 2>& rows) {
    for (Index i = 0; i < extent(rows, 0); ++i) {
        Real square = 0;
        for (Index d = 0; d < extent(rows, 1); ++d) square += rows(i, d) * rows(i, d);
        for (Index d = 0; d < extent(rows, 1); ++d) rows(i, d) /= std::sqrt(square);
    }
}

/// Random directions.
template <class Real>
Tensor<Real, 2> unit_rows(Index rows, Index width, Random& random) {
    Tensor<Real, 2> result = normal_tensor<Real, 2>({rows, width}, 1, random);
    normalize_rows(result);
    return result;
}

/// Directions around random ones of these centres.
template <class Real>
Tensor<Real, 2> rows_around(const Tensor<Real, 2>& centres, Index rows, double deviation, Random& random) {
    Tensor<Real, 2> result = normal_tensor<Real, 2>({rows, extent(centres, 1)}, deviation, random);
    for (Index i = 0; i < rows; ++i) {
        const Index centre = random.below(extent(centres, 0));
        for (Index d = 0; d < extent(centres, 1); ++d) result(i, d) += centres(centre, d);
    }
    normalize_rows(result);
    return result;
}

/// The share of the right keys that were found.
template <class Real>
double recall(const SearchResult<Real>& found, const SearchResult<Real>& right) {
    Index both = 0;
    for (Index n = 0; n < extent(right.indices, 0); ++n)
        for (Index j = 0; j < extent(right.indices, 1); ++j) {
            const Index* first = row(found.indices, n);
            const Index* last = first + extent(found.indices, 1);
            both += std::find(first, last, right.indices(n, j)) != last;
        }
    return static_cast<double>(both) / static_cast<double>(right.indices.size());
}

}  // namespace fot::testing
