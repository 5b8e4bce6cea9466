/// Hard negatives by memory: contexts of the training set whose keys a batch's queries would attend to most.
///
///     keys.add(k);                              // keys of many contexts, as the model computes them now and then
///     mass = keys.attention_mass(q, k);         // which of them would distract these queries?
///     hardest_contexts(mass, allowed, count)    // the negatives of this step
///
/// Crossbatch takes the contexts of whatever documents are in the batch as negatives. Most of them distract nobody: the query has
/// no key there that looks right. Those that would distract can be found as a memory finds its entries, by search, in a memory of
/// the training set's own keys. The keys grow stale as the model learns, so they are computed again from time to time. Whether
/// harder negatives help is open (examples/measurements.md).
///
/// The mass of a context is a query's softmax over the k best keys of the whole set, summed over the context's keys among them.
///
/// Source: paper section 6 names hard negatives as future work; mining with a stale index is ANCE's (Xiong et al. 2021).
/// Read first: memory/key_search.hpp, attention/contexts.hpp.   Read next: examples/more_negatives.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "fot/memory/key_search.hpp"

namespace fot {

/// Keys of many contexts of one length, by head.
template <class Real>
class ContextKeys {
   public:
    /// For contexts of `length` tokens in a memory layer of H heads of width D. `make` makes the search of a head.
    /// Errors: ConfigError for sizes below 1.
    ContextKeys(Index heads, Index width, Index length, const std::function<std::unique_ptr<KeySearch<Real>>(Index width)>& make)
        : width_(width), length_(length) {
        require<ConfigError>(heads >= 1 && width >= 1 && length >= 1, "ContextKeys: ", heads, " heads of width ", width,
                             ", contexts of ", length, " tokens, expected 1 or more of each");
        for (Index h = 0; h < heads; ++h) searches_.push_back(make(width));
    }

    /// Contexts that were added.
    Index contexts() const { return searches_[0]->size() / length_; }

    /// Adds contexts: keys (P,S,H,D), S = `length`.   Errors: ShapeError for other shapes.
    void add(const Tensor<Real, 4>& keys) {
        require_shape("ContextKeys::add: keys", keys, Shape<4>{-1, length_, length_of(searches_), width_});
        for (Index h = 0; h < length_of(searches_); ++h)
            for (Index context = 0; context < extent(keys, 0); ++context) element(searches_, h)->add(head(keys, context, h));
    }

    /// How much attention queries (B,T,H,D) of each batch entry would give each context: (B, contexts). A row adds up to T H, one
    /// for each query and head.
    ///
    ///     mass[b,c] = sum_{t,h} sum_{j of the k best, in context c} softmax_j <q[b,t,h], key_j>
    ///
    /// Errors: ShapeError if the queries do not fit; ConfigError if k < 1; NumericError if a query has no finite score.
    Tensor<double, 2> attention_mass(const Tensor<Real, 4>& queries, Index k) const {
        require_shape("ContextKeys::attention_mass: queries", queries, Shape<4>{-1, -1, length_of(searches_), width_});
        require<ConfigError>(k >= 1, "ContextKeys::attention_mass: k = ", k, ", expected 1 or more");
        const Index entries = extent(queries, 0), tokens = extent(queries, 1), heads = length_of(searches_);
        Tensor<double, 2> mass = zeros<double, 2>({entries, contexts()});
        for (Index h = 0; h < heads; ++h) {
            // All entries' queries of a head lie H D numbers apart: one search for them.
            const MatrixView<const Real> of_head = matrix(queries.data() + h * width_, entries * tokens, width_, heads * width_);
            const SearchResult<Real> found = element(searches_, h)->find(of_head, k).best;
            const Index count = extent(found.scores, 1);
            for (Index n = 0; n < entries * tokens; ++n) {
                const double whole = log_sum_exp(row(found.scores, n), count);
                require<NumericError>(std::isfinite(whole) || contexts() == 0,
                                      "ContextKeys::attention_mass: a query has no finite score, expected finite queries and keys");
                for (Index j = 0; j < count && found.indices(n, j) >= 0; ++j)
                    mass(n / tokens, found.indices(n, j) / length_) += std::exp(static_cast<double>(found.scores(n, j)) - whole);
            }
        }
        return mass;
    }

   private:
    Index width_, length_;
    std::vector<std::unique_ptr<KeySearch<Real>>> searches_;  // one per head
};

/// The `count` contexts that draw most attention from a batch as a whole, the most first, equal ones by ascending number.
///
/// `distracts(b, context)` says whether a context is of another document than batch entry b; mass (B, contexts) counts where it is.
/// A context that distracts no entry is not among them. It is one list for all entries, so that a step encodes as many contexts as
/// with random negatives.
/// Errors: ConfigError if there are not so many contexts; NumericError if a mass is not a number.
template <class Distracts>
std::vector<Index> hardest_contexts(const Tensor<double, 2>& mass, const Distracts& distracts, Index count) {
    std::vector<std::pair<double, Index>> order;  // negative mass, context
    for (Index c = 0; c < extent(mass, 1); ++c) {
        double sum = 0;
        bool any = false;
        for (Index b = 0; b < extent(mass, 0); ++b) {
            if (!distracts(b, c)) continue;
            sum += mass(b, c);
            any = true;
        }
        require<NumericError>(!std::isnan(sum), "hardest_contexts: the mass of context ", c, " is not a number");
        if (any) order.emplace_back(-sum, c);
    }
    require<ConfigError>(count >= 0 && count <= length_of(order), "hardest_contexts: ", count, " contexts, there are ",
                         order.size(), " that distract");
    std::partial_sort(order.begin(), order.begin() + count, order.end());
    std::vector<Index> hardest;
    for (Index i = 0; i < count; ++i) hardest.push_back(element(order, i).second);
    return hardest;
}

}  // namespace fot
