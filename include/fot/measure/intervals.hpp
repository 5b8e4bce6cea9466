/// How sure a number is: 95 % intervals for accuracies, for means over documents and for means over seeds.
///
/// A verdict on a claim compares an interval with the range that the claim states (paper_notes.md, "The rule of verdicts"), so
/// every measured number can carry one. Three sources of chance, three methods:
///
///     right or wrong answers          Wilson's score interval             Proportion
///     which documents were held out   percentile bootstrap on documents   bootstrap_ratio, bootstrap_mean, ..._difference
///     the seed of the training run    Student's t on the seeds' results   over_seeds
///
/// Tokens of one document depend on each other, documents hardly do, so the bootstrap draws documents. Two models that read the
/// same documents are compared by the bootstrap of their difference. It is far narrower than the two models' own intervals suggest,
/// because a hard document is hard for both.
///
/// What an interval does not say: an interval over documents says nothing about another training run, and an interval over seeds
/// says nothing about other documents.
///
/// Source: Wilson 1927; Efron 1979; Student 1908. The paper gives minimum and maximum over 10 seeds in Figure 10, one run elsewhere
/// (appendix J).
/// Read first: core/random.hpp.   Read next: measure/perplexity.hpp, measure/retrieval.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/core/random.hpp"

namespace fot {

/// The numbers from `low` to `high`.
struct Interval {
    double low = 0;   ///< its lower end
    double high = 0;  ///< its upper end
};

/// A measured number and its 95 % interval.
struct Estimate {
    double value = 0;   ///< what was measured
    Interval interval;  ///< around it
};

/// 97.5 % quantile of the normal distribution: 95 % of it lies within this many standard deviations.
inline constexpr double normal_quantile = 1.959963984540054;

/// Counted answers: how many of how many were right.
struct Proportion {
    Index successes = 0;  ///< right answers
    Index trials = 0;     ///< all answers

    /// Counts one more answer.
    void add(bool success) {
        successes += success ? 1 : 0;
        ++trials;
    }
    /// Counts an answer for each element, a success where it is not 0.
    template <class Range>
    void add_each(const Range& outcomes) {
        for (const auto& outcome : outcomes) add(outcome != 0);
    }
    /// Counts the answers of another as well.
    Proportion& operator+=(const Proportion& other) {
        successes += other.successes;
        trials += other.trials;
        return *this;
    }
    /// The share of successes; NaN without trials.
    double value() const { return static_cast<double>(successes) / static_cast<double>(trials); }

    /// Wilson's 95 % score interval of the share.
    ///
    ///     (s + z^2/2 -+ z sqrt(s (n - s) / n + z^2/4)) / (n + z^2)       s of n, z = 1.96
    ///
    /// Unlike share -+ z * standard error it stays within [0, 1] and does not shrink to a point at 0 or n successes.
    /// `together`: the number of trials that may fail together, such as the tokens of one answer, and then count as one trial. If
    /// they do not always fail together, the interval is too wide. No trials: [0, 1].
    /// Errors: DataError unless 0 <= successes <= trials and together >= 1.
    Interval interval(Index together = 1) const {
        require<DataError>(successes >= 0 && successes <= trials, "Proportion: ", successes, " successes in ", trials, " trials");
        require<DataError>(together >= 1, "Proportion: ", together, " trials together, expected 1 or more");
        if (trials == 0) return {0, 1};
        const double each = static_cast<double>(together), s = static_cast<double>(successes) / each,
                     n = static_cast<double>(trials) / each, z = normal_quantile;
        const double centre = s + z * z / 2, half = z * std::sqrt(s * (n - s) / n + z * z / 4);
        return {successes == 0 ? 0.0 : (centre - half) / (n + z * z), successes == trials ? 1.0 : (centre + half) / (n + z * z)};
    }
};

/// The mean, summed in order.   Errors: DataError without values.
inline double mean(const std::vector<double>& values) {
    require<DataError>(!values.empty(), "mean: no values");
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// The number below which a `share` of the values lies, linear between neighbours in the sorted order.
///
/// Errors: DataError without values or if the share lies outside [0, 1]; NumericError if a value is not a number.
inline double quantile(std::vector<double> values, double share) {
    require<DataError>(!values.empty(), "quantile: no values");
    require<DataError>(share >= 0 && share <= 1, "quantile: share ", share, " lies outside [0, 1]");
    for (const double value : values) require<NumericError>(!std::isnan(value), "quantile: a value is not a number");
    std::sort(values.begin(), values.end());
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(place);
    const double part = place - std::floor(place);
    if (part == 0 || values[below] == values[below + 1]) return values[below];  // two infinities, too
    return values[below] + part * (values[below + 1] - values[below]);
}

/// The value in the middle; the mean of the two in the middle if their number is even.
inline double median(std::vector<double> values) { return quantile(std::move(values), 0.5); }

/// Value and percentile bootstrap interval of any statistic of a set of documents.
///
/// `statistic(chosen)` gets document numbers below `documents`, as a vector, and returns a number. Its value is taken on 0, 1, ...;
/// its interval covers the middle 95 % of its values on 2000 draws of as many documents, with replacement.
/// The same seed gives the same interval. One document tells nothing about the others: the interval is infinite.
///
/// Errors: DataError if documents < 1; NumericError if the statistic is not a number.
template <class Statistic>
Estimate bootstrap(Index documents, Statistic&& statistic, std::uint64_t seed) {
    require<DataError>(documents >= 1, "bootstrap: no documents");
    std::vector<Index> chosen(static_cast<std::size_t>(documents));
    std::iota(chosen.begin(), chosen.end(), Index(0));
    const double value = statistic(std::as_const(chosen));
    require<NumericError>(!std::isnan(value), "bootstrap: the statistic is not a number");
    if (documents == 1) return {value, {-INFINITY, INFINITY}};

    Random random(seed);
    std::vector<double> values(2000);
    for (double& resampled : values) {
        for (Index& document : chosen) document = random.below(documents);
        resampled = statistic(std::as_const(chosen));
    }
    return {value, {quantile(values, 0.025), quantile(values, 0.975)}};
}

/// A mean over documents weighted by their size, as a ratio of sums: loss in nats per token, bits per byte.
///
///     value = scale * sum_i numerators[i] / sum_i denominators[i]       i: documents
///
/// Errors: as `bootstrap`; ShapeError if the lengths differ; NumericError if a numerator is not finite or a denominator not above
///         0.
inline Estimate bootstrap_ratio(const std::vector<double>& numerators, const std::vector<double>& denominators, std::uint64_t seed,
                                double scale = 1) {
    require<ShapeError>(numerators.size() == denominators.size(), "bootstrap_ratio: ", numerators.size(), " numerators, ",
                        denominators.size(), " denominators");
    for (std::size_t i = 0; i < numerators.size(); ++i)
        require<NumericError>(std::isfinite(numerators[i]) && std::isfinite(denominators[i]) && denominators[i] > 0,
                              "bootstrap_ratio: document ", i, " has ", numerators[i], " / ", denominators[i],
                              ", expected finite numbers, the denominator above 0");
    const auto ratio_of_sums = [&](const std::vector<Index>& chosen) {
        double numerator = 0, denominator = 0;
        for (const Index document : chosen) {
            numerator += element(numerators, document);
            denominator += element(denominators, document);
        }
        return scale * (numerator / denominator);
    };
    return bootstrap(length_of(numerators), ratio_of_sums, seed);
}

/// The plain mean over documents.
inline Estimate bootstrap_mean(const std::vector<double>& values, std::uint64_t seed) {
    return bootstrap_ratio(values, std::vector<double>(values.size(), 1.0), seed);
}

/// How much more model `a` has than model `b` on the same documents, drawn together in every resample (paired).
///
///     value = scale * (sum_i a[i] - sum_i b[i]) / sum_i denominators[i]
///
/// Errors: as `bootstrap_ratio`.
inline Estimate bootstrap_ratio_difference(std::vector<double> a, const std::vector<double>& b,
                                           const std::vector<double>& denominators, std::uint64_t seed, double scale = 1) {
    require<ShapeError>(a.size() == b.size(), "bootstrap_ratio_difference: ", a.size(), " documents of a, ", b.size(), " of b");
    std::transform(a.begin(), a.end(), b.begin(), a.begin(), std::minus());
    return bootstrap_ratio(a, denominators, seed, scale);
}

/// The mean difference a[i] - b[i] over documents (paired).
inline Estimate bootstrap_mean_difference(const std::vector<double>& a, const std::vector<double>& b, std::uint64_t seed) {
    return bootstrap_ratio_difference(a, b, std::vector<double>(a.size(), 1.0), seed);
}

/// 97.5 % quantile of Student's t distribution: from a table up to 10 degrees of freedom, then Fisher's expansion in
/// 1 / degrees, which is right to 4 digits there.   Errors: ConfigError below 1 degree of freedom.
inline double student_quantile(Index degrees) {
    require<ConfigError>(degrees >= 1, "student_quantile: ", degrees, " degrees of freedom, expected 1 or more");
    constexpr double table[] = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582,
                                2.446912,  2.364624, 2.306004, 2.262157, 2.228139};
    if (degrees <= 10) return table[degrees - 1];
    const double z = normal_quantile, z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, n = static_cast<double>(degrees);
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

/// Results of the same experiment with several seeds: their median, and the 95 % interval of their MEAN. A few seeds give no
/// interval of a median. The printed median need not lie within the interval.
///
///     mean -+ t(n-1) * sqrt(sum_i (x_i - mean)^2 / (n-1)) / sqrt(n)       n seeds
///
/// With two seeds t is 12.7, too wide to say anything. Below three seeds the interval is therefore the smallest that covers the
/// seeds' own intervals (over documents or over answers). It says nothing about other seeds.
/// Errors: DataError without seeds; NumericError if a value is not finite.
inline Estimate over_seeds(const std::vector<Estimate>& of_each) {
    require<DataError>(!of_each.empty(), "over_seeds: no seeds");
    std::vector<double> values;
    Interval covered = of_each.front().interval;
    for (const Estimate& seed : of_each) {
        require<NumericError>(std::isfinite(seed.value), "over_seeds: a value is ", seed.value);
        values.push_back(seed.value);
        covered = {std::min(covered.low, seed.interval.low), std::max(covered.high, seed.interval.high)};
    }
    if (values.size() < 3) return {median(values), covered};
    const double centre = mean(values), n = static_cast<double>(values.size());
    double squares = 0;
    for (const double value : values) squares += (value - centre) * (value - centre);
    const double half = student_quantile(length_of(values) - 1) * std::sqrt(squares / (n - 1) / n);
    return {median(values), {centre - half, centre + half}};
}

}  // namespace fot
