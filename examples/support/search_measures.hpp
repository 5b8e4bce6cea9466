/// How hard it is to find keys: recall against the share of keys scored, where queries lie, and whether a few keys are found by
/// all.
///
///     recall@k        of the k keys that a search finds, the share that are as good as the k best
///     scored share    inner products of a search, of the M that an exact one takes
///     distance        1 - cosine of a query and the key nearest to it
///     hubness         skewness of how often each key is among the k best of a query (Radovanovic et al. 2010)
///
/// A search has a setting (lists probed, breadth of a walk): the larger, the more it scores and finds. Recall is measured along a
/// ladder of settings, and the share at a given recall read off between two of them.
///
/// Read first: support/memory_snapshot.hpp, fot/memory/memory_index.hpp.   Read next: exact_or_approximate.cpp.
#pragma once

#include "fot/measure/intervals.hpp"
#include "fot/memory/inverted_lists.hpp"
#include "fot/memory/key_graph.hpp"
#include "memory_snapshot.hpp"

namespace fot::examples {

/// Queries of a head, and the document of each: what intervals are drawn over.
struct QuerySet {
    Tensor<float, 2> rows;              ///< (N,D)
    std::vector<Index> documents = {};  ///< (N)
};

/// Every `stride`-th query of head h of a snapshot, counted over all windows.
inline QuerySet queries_of(const MemorySnapshot& snapshot, Index h, Index stride) {
    std::vector<const float*> rows;
    QuerySet set;
    Index next = 0;  // of the present window
    for (const SnapshotWindow& window : snapshot.windows) {
        const Index queries = extent(window.q.value(), 1);
        for (; next < queries; next += stride) {
            rows.push_back(row(window.q.value(), Index(0), next, h));
            set.documents.push_back(window.document);
        }
        next -= queries;
    }
    set.rows = empty<float, 2>({length_of(rows), snapshot.memory().width()});
    for (Index n = 0; n < length_of(rows); ++n) std::copy_n(element(rows, n), snapshot.memory().width(), row(set.rows, n));
    return set;
}

/// Random keys as queries, in ten groups that stand for documents.
inline QuerySet keys_as_queries(const Tensor<float, 2>& keys, Index count, std::uint64_t seed) {
    QuerySet set{empty<float, 2>({count, extent(keys, 1)})};
    Random random(seed);
    for (Index n = 0; n < count; ++n) {
        std::copy_n(row(keys, random.below(extent(keys, 0))), extent(keys, 1), row(set.rows, n));
        set.documents.push_back(n * 10 / count);
    }
    return set;
}

/// What a search of one head is asked, and what it should find.
struct SearchTask {
    KeySearch<float>& search;
    const QuerySet& queries;
    SearchResult<float> right;  ///< the k best keys of each query
};

/// What searches find at one setting: those of all heads.
struct RecallPoint {
    Index setting;
    std::map<Index, std::vector<double>> recall = {};  ///< of the queries of each document
    double scored_share = 0;

    /// Mean recall over the queries of some documents, by their places in the map; they may come again.
    double mean_recall(const std::vector<Index>& chosen) const {
        std::vector<double> all;
        for (const Index place : chosen) {
            const std::vector<double>& of_document = std::next(recall.begin(), place)->second;
            all.insert(all.end(), of_document.begin(), of_document.end());
        }
        return mean(all);
    }
    /// The same over all.
    double mean_recall() const { return mean_recall(consecutive(0, length_of(recall))); }
};

/// The share of k scores that are as good as the last of the k best. Whether a key is the right one is asked of its score, since
/// many keys are equal: the first token of a window has seen nothing else, so that its key says which byte it is and no more.
inline double share_as_good(const float* found, const float* best, Index k) {
    const float last = best[k - 1], rounding = 1e-5f * (1 + std::abs(last));
    const auto good = std::count_if(found, found + k, [&](float score) { return score >= last - rounding; });
    return static_cast<double>(good) / static_cast<double>(k);
}

/// Recall with larger and larger settings, until a little more than the wanted recall is reached, or the settings end.
/// `set(search, setting)` makes a search ready.
template <class Set>
std::vector<RecallPoint> recall_ladder(const std::vector<SearchTask>& tasks, const Set& set, const std::vector<Index>& settings,
                                       double wanted) {
    std::vector<RecallPoint> points;
    for (const Index setting : settings) {
        RecallPoint& point = points.emplace_back(RecallPoint{setting});
        double scored = 0, all = 0;
        for (const SearchTask& task : tasks) {
            stop_if_interrupted("trained models are kept; the same command measures again");
            set(task.search, setting);
            const Index count = extent(task.right.indices, 0), k = extent(task.right.indices, 1);
            const KeysFound<float> found = task.search.find(as_matrix(task.queries.rows), k);
            scored += static_cast<double>(found.scored);
            all += static_cast<double>(count * task.search.size());
            for (Index n = 0; n < count; ++n)
                point.recall[element(task.queries.documents, n)].push_back(
                    share_as_good(row(found.best.scores, n), row(task.right.scores, n), k));
        }
        point.scored_share = scored / all;
        if (points.size() >= 2 && point.mean_recall() >= wanted + (1 - wanted) / 2) break;
    }
    return points;
}

/// The share of the keys that must be scored for a recall: between two settings, linear in the logarithm of the share. 1 if no
/// setting reaches the recall, for an exact search takes no more. The interval is over documents.
inline Estimate scored_share_at(const std::vector<RecallPoint>& points, double recall) {
    const auto share = [&](const std::vector<Index>& documents) {
        double recall_before = 0, log_before = std::log(points.front().scored_share);
        for (const RecallPoint& point : points) {
            const double now = point.mean_recall(documents), log_now = std::log(point.scored_share);
            if (now >= recall)
                return std::min(1.0,
                                std::exp(log_before + (recall - recall_before) / (now - recall_before) * (log_now - log_before)));
            recall_before = now;
            log_before = log_now;
        }
        return 1.0;
    };
    return bootstrap(length_of(points.front().recall), share, 1);
}

/// The first setting with that recall; the last one if none has it.
inline Index setting_at(const std::vector<RecallPoint>& points, double recall) {
    for (const RecallPoint& point : points)
        if (point.mean_recall() >= recall) return point.setting;
    return points.back().setting;
}

/// The last point that scores no more than that share of the keys; the first one if all score more.
inline const RecallPoint& within(const std::vector<RecallPoint>& points, double share) {
    const auto above = std::ranges::find_if(points, [&](const RecallPoint& point) { return point.scored_share > share; });
    return above == points.begin() ? points.front() : *std::prev(above);
}

/// Rows divided by their lengths.
inline Tensor<float, 2> of_length_one(Tensor<float, 2> rows) {
    for (Index i = 0; i < extent(rows, 0); ++i) {
        const float length = std::sqrt(inner_product(row(rows, i), row(rows, i), extent(rows, 1)));
        for (Index d = 0; d < extent(rows, 1); ++d) rows(i, d) /= length > 0 ? length : 1;
    }
    return rows;
}

/// The median of 1 - cosine with the nearest key. `rank` 1: for queries that are keys themselves, the nearest other key.
inline double distance_to_keys(const Tensor<float, 2>& keys, const Tensor<float, 2>& queries, Index rank) {
    const SearchResult<float> nearest = exact_search(of_length_one(keys), of_length_one(queries), rank + 1);
    std::vector<double> distances;
    for (Index n = 0; n < extent(queries, 0); ++n) distances.push_back(1 - static_cast<double>(nearest.scores(n, rank)));
    return median(distances);
}

/// The skewness of the number of queries that each of M keys is found by:  E[(c - mean)^3] / deviation^3.
inline double hubness(const SearchResult<float>& found, Index keys) {
    std::vector<double> counts(static_cast<std::size_t>(keys), 0.0);
    for (const Index key : found.indices.storage()) ++element(counts, key);
    const double centre = mean(counts);
    double squares = 0, cubes = 0;
    for (const double count : counts) {
        squares += (count - centre) * (count - centre);
        cubes += (count - centre) * (count - centre) * (count - centre);
    }
    const double n = static_cast<double>(keys), deviation = std::sqrt(squares / n);
    return deviation > 0 ? cubes / n / (deviation * deviation * deviation) : 0;
}

}  // namespace fot::examples
