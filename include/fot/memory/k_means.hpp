/// k-means: a few means that stand for many keys; each key is represented by its nearest mean (Lloyd 1957).
///
///     assign   mean(i) = the mean nearest to key i              an exact search of the means, with the keys as queries
///     update   mean_j  = average of the keys that chose j       and both are repeated a few times
///
/// Nearest is meant in one of two ways:
///
///     spherical   largest <key, mean>, means of length one: for keys of length one, where it is the smallest angle
///     Euclidean   smallest |key - mean|, which is the largest <key, mean> - |mean|^2 / 2: an inner product with one component more
///
/// A mean that no key has chosen is moved to the key that is worst served, the one with the lowest score with its mean, or the
/// largest distance from it.
///
/// Read first: memory/exact_search.hpp.   Read next: memory/inverted_lists.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"
#include "fot/memory/exact_search.hpp"

namespace fot {

/// How means are found.
struct KMeansOptions {
    Index iterations = 10;      ///< of assigning and updating
    Index keys_per_mean = 256;  ///< learn from a random sample of so many keys for each mean; 0: from all
    bool spherical = true;      ///< for keys of length one; false: Euclidean
    std::uint64_t seed = 1;     ///< of the sample, and of the keys that the means begin with
};

/// The mean of each key.
template <class Real>
struct NearestMeans {
    std::vector<Index> mean;      ///< (M) its number
    std::vector<Real> closeness;  ///< (M) <key, mean>; Euclidean: -|key - mean|^2 / 2
};

namespace detail {

/// Rows with one number more at the end, `last(i)`.
template <class Real, class Last>
Tensor<Real, 2> with_last_column(MatrixView<const Real> rows, Last&& last) {
    Tensor<Real, 2> wider = empty<Real, 2>({rows.rows, rows.columns + 1});
    for (Index i = 0; i < rows.rows; ++i) {
        std::copy_n(rows.row(i), rows.columns, row(wider, i));
        wider(i, rows.columns) = last(i);
    }
    return wider;
}

}  // namespace detail

/// The mean nearest to each key: keys (M,D), means (C,D).
/// Cost: M C D multiply-adds.   Errors: ConfigError without means; ShapeError if the widths differ.
template <class Real>
NearestMeans<Real> nearest_means(MatrixView<const Real> keys, const Tensor<Real, 2>& means, bool spherical) {
    require<ConfigError>(extent(means, 0) >= 1, "nearest_means: no means");
    const auto half_square = [](const auto& rows, Index i) { return inner_product(rows.row(i), rows.row(i), rows.columns) / 2; };
    SearchResult<Real> found;
    if (spherical) {
        found = exact_search(as_matrix(means), keys, 1);
    } else {
        const Tensor<Real, 2> wide_means = detail::with_last_column(as_matrix(means),
                                                                    [&](Index j) { return -half_square(as_matrix(means), j); }),
                              wide_keys = detail::with_last_column(keys, [](Index) { return Real(1); });
        found = exact_search(wide_means, wide_keys, 1);
    }
    NearestMeans<Real> nearest{{found.indices.begin(), found.indices.end()}, {found.scores.begin(), found.scores.end()}};
    if (!spherical)
        for (Index i = 0; i < keys.rows; ++i) element(nearest.closeness, i) -= half_square(keys, i);
    return nearest;
}

namespace detail {

/// The averages of the keys that chose each mean, in double.
template <class Real>
void update_means(MatrixView<const Real> keys, const NearestMeans<Real>& nearest, bool spherical, Tensor<Real, 2>& means) {
    const Index count = extent(means, 0), width = extent(means, 1);
    Tensor<double, 2> sums = zeros<double, 2>({count, width});
    std::vector<Index> members(static_cast<std::size_t>(count), 0);
    for (Index i = 0; i < keys.rows; ++i) {
        const Index j = element(nearest.mean, i);
        ++element(members, j);
        for (Index d = 0; d < width; ++d) sums(j, d) += static_cast<double>(keys.row(i)[d]);
    }
    std::vector<Index> worst(static_cast<std::size_t>(keys.rows));  // keys, the worst served first
    std::iota(worst.begin(), worst.end(), Index(0));
    const auto empty_means = std::ranges::count(members, 0);
    std::partial_sort(worst.begin(), worst.begin() + empty_means, worst.end(),
                      [&](Index a, Index b) { return element(nearest.closeness, a) < element(nearest.closeness, b); });
    auto next_worst = worst.begin();
    for (Index j = 0; j < count; ++j) {
        if (element(members, j) == 0) {
            const Real* key = keys.row(*next_worst++);
            std::copy_n(key, width, row(sums, j));
        }
        const double length = std::sqrt(inner_product(row(sums, j), row(sums, j), width)),
                     divisor = spherical ? length : static_cast<double>(std::max<Index>(element(members, j), 1));
        for (Index d = 0; d < width; ++d) means(j, d) = static_cast<Real>(sums(j, d) / (divisor > 0 ? divisor : 1));
    }
}

}  // namespace detail

/// `count` means of the keys (M,D): (count,D).
///
/// Cost:   in each iteration a search of `count` keys by as many queries as keys are learned from.
/// Errors: ConfigError unless 1 <= count <= M, and the options are 0 or more.
template <class Real>
Tensor<Real, 2> k_means(MatrixView<const Real> keys, Index count, const KMeansOptions& options = {}) {
    require<ConfigError>(count >= 1 && count <= keys.rows, "k_means: ", count, " means of ", keys.rows,
                         " keys, expected 1 or more, and no more than there are keys");
    require<ConfigError>(options.iterations >= 0 && options.keys_per_mean >= 0, "k_means: ", options.iterations, " iterations, ",
                         options.keys_per_mean, " keys per mean, expected 0 or more");
    const bool all = options.keys_per_mean == 0 || options.keys_per_mean > keys.rows / count;
    const Index sampled = all ? keys.rows : options.keys_per_mean * count;
    std::vector<Index> order(static_cast<std::size_t>(keys.rows));
    std::iota(order.begin(), order.end(), Index(0));
    Random(options.seed).shuffle(order);
    Tensor<Real, 2> sample = empty<Real, 2>({sampled, keys.columns}), means = empty<Real, 2>({count, keys.columns});
    for (Index i = 0; i < sampled; ++i) std::copy_n(keys.row(element(order, i)), keys.columns, row(sample, i));

    // At first each mean is a key.
    NearestMeans<Real> nearest{std::vector<Index>(static_cast<std::size_t>(count)),
                               std::vector<Real>(static_cast<std::size_t>(count), Real(0))};
    std::iota(nearest.mean.begin(), nearest.mean.end(), Index(0));
    const MatrixView<const Real> learned = as_matrix(std::as_const(sample));
    detail::update_means(learned.rows_from(0, count), nearest, options.spherical, means);
    for (Index iteration = 0; iteration < options.iterations; ++iteration) {
        nearest = nearest_means(learned, means, options.spherical);
        detail::update_means(learned, nearest, options.spherical, means);
    }
    return means;
}

/// The same for a whole tensor.
template <class Real>
Tensor<Real, 2> k_means(const Tensor<Real, 2>& keys, Index count, const KMeansOptions& options = {}) {
    return k_means(as_matrix(keys), count, options);
}

}  // namespace fot
