/// Answer to exercise 12: a remedy for distraction, at inference.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <vector>

#include "fot/model/memory_source.hpp"

namespace exercises {

using namespace fot;

/// The memories of a state, of which each query sees only the documents that it attends to most.
class BestDocuments : public Source<double> {
   public:
    /// The state must outlive the source.   Errors: ConfigError if `documents` is below 1.
    BestDocuments(const MemoryState<double>& state, Index documents) : state_(state), documents_(documents) {
        require<ConfigError>(documents >= 1, "BestDocuments: ", documents, " documents, expected 1 or more");
    }

    Attention<double> attend(Tape&, const LayerView<double>& at) const override {
        const Tensor<double, 4>& q = at.q.value();
        const auto [entries, queries, heads, width] = shape_of(q);
        AttentionResult<double> result{zeros_like(q), full<double, 3>({entries, heads, queries}, -infinity)};
        bool any = false;
        for (Index b = 0; b < entries; ++b) {
            const KeyValueMemory<double>& memory = state_.memory(at.layer, b);
            if (memory.size() == 0) continue;
            any = true;
            const RetrievedEntries<double> all = memory.retrieve(q, b, memory.size());  // every entry, best first
            for (Index t = 0; t < queries; ++t)
                for (Index h = 0; h < heads; ++h) result.log_sum_exp(b, h, t) = attend_to_best(all, t, h, row(result.o, b, t, h));
        }
        if (!any) return {};
        return {Variable<double, 4>(result.o), Variable<double, 3>(result.log_sum_exp)};
    }

    Index key_count(Index layer, Index b) const override { return state_.memory(layer, b).size(); }

   private:
    static constexpr double infinity = std::numeric_limits<double>::infinity();

    /// Writes o of one query and head; returns the log-sum-exp of the scores that are left to it.
    double attend_to_best(const RetrievedEntries<double>& all, Index t, Index h, double* o) const {
        const Index size = extent(all.found.scores, 2), width = extent(all.values, 3);
        const double* scores = row(all.found.scores, t, h);
        const Index* document = row(all.documents, t, h);
        std::map<Index, double> mass;
        for (Index j = 0; j < size; ++j) mass[document[j]] += std::exp(scores[j] - scores[0]);
        std::vector<double> largest;
        for (const auto& [number, of_document] : mass) largest.push_back(of_document);
        std::sort(largest.begin(), largest.end(), std::greater<>());
        const double least = element(largest, std::min(documents_, length_of(largest)) - 1);  // of the documents that are seen
        std::vector<double> seen_scores, seen_values;
        for (Index j = 0; j < size; ++j) {
            if (mass[document[j]] < least) continue;
            seen_scores.push_back(scores[j]);
            const double* value = row(all.values, t, h, j);
            seen_values.insert(seen_values.end(), value, value + width);
        }
        return found_attention(seen_scores.data(), seen_values.data(), length_of(seen_scores), width, o);
    }

    const MemoryState<double>& state_;
    Index documents_;
};

}  // namespace exercises
