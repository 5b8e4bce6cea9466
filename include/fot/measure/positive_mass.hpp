/// Positive attention mass r_d: the share of a query's attention to contexts that falls on the query's own document.
///
/// With L_i the log-sum-exp of the query's scores with its i-th context, where context 1 is the previous one of the query's
/// document,
///
///     r_d = exp(L_1) / sum_{i=1..d} exp(L_i)            averaged over queries, heads and documents
///
/// If attention is spread evenly over documents, r_d = 1/d: that is the distraction issue. The local context is left out of both
/// sums.
///
/// With w > 1 the numerator sums the w previous contexts of the query's own document. The denominator sums d contexts, of which w
/// are its own: here d counts contexts, not documents, so even attention gives w/d. (In a recipe, `LanguageModelRecipe::contexts`
/// counts documents.)
///
/// A high r_d is not an aim in itself: a model can pay for it in prediction (loss/contrastive_loss.hpp).
///
/// Source: paper section 3.3, Figure 3.
/// Read first: attention/context_mass.hpp.   Read next: examples/distraction_issue.cpp.
#pragma once

#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "fot/attention/context_mass.hpp"
#include "fot/core/largest.hpp"
#include "fot/model/transformer.hpp"

namespace fot {

/// The log mass of each context for the queries of the current windows in the last memory layer: from the layer's queries and keys,
/// so that no attention, feed-forward part or logits of hundreds of contexts are computed to be thrown away.
///
/// Shapes: input of B current windows and P previous contexts -> (B,T,H,C), as context_log_mass.
/// Errors: ConfigError if the model has no memory layer; as CrossbatchInput::check and context_log_mass.
template <class Real>
Tensor<Real, 4> context_log_mass(const Transformer<Real>& model, const CrossbatchInput& input) {
    const Index layer = model.config().last_memory_layer();
    require<ConfigError>(layer >= 0, "context_log_mass: expected a model with a memory layer");
    input.check();
    Tape tape(Tape::inference);
    const Contexts<Real> contexts(model.keys_and_values(tape, input.previous), input.table);
    const Variable<Real, 3> x = model.layers(tape, model.embed(tape, input.current), 0, layer, contexts);
    return context_log_mass(model.layer(layer).view(tape, x, contexts).q.value(), contexts.of_layer(layer).k.value(), input.table);
}

/// The share of the first `positives` of `contexts` contexts, from their log masses.
/// Errors: ConfigError unless 1 <= positives <= contexts; NumericError if a log mass is NaN or +infinity, or no context has any:
/// 0/0.
template <class Real>
double positive_share(const Real* log_mass, Index contexts, Index positives) {
    require<ConfigError>(positives >= 1 && positives <= contexts, "positive_share: ", positives, " positives among ", contexts,
                         " contexts");
    const double whole = log_sum_exp(log_mass, contexts);
    require<NumericError>(std::isfinite(whole), "positive_share: none of ", contexts,
                          " contexts has a mass, expected one at least");
    return std::exp(log_sum_exp(log_mass, positives) - whole);
}

/// r_d of every query for d = `contexts`: log masses (B,T,H,C) -> (B,T,H).
/// Errors: as positive_share; ConfigError if there are not as many contexts.
template <class Real>
Tensor<double, 3> positive_mass_per_query(const Tensor<Real, 4>& log_mass, Index contexts, Index positives = 1) {
    require<ConfigError>(contexts <= extent(log_mass, 3), "positive_mass: ", contexts, " contexts, measured for ",
                         extent(log_mass, 3));
    Tensor<double, 3> mass = empty<double, 3>({extent(log_mass, 0), extent(log_mass, 1), extent(log_mass, 2)});
    for (Index b = 0; b < extent(mass, 0); ++b)
        for (Index t = 0; t < extent(mass, 1); ++t)
            for (Index h = 0; h < extent(mass, 2); ++h) mass(b, t, h) = positive_share(row(log_mass, b, t, h), contexts, positives);
    return mass;
}

/// Collects r_d over batches, for several d at once: per head, per document and in the mean.
class PositiveMass {
   public:
    /// `contexts`: the d to measure.
    /// Errors: ConfigError if one is below 1.
    explicit PositiveMass(std::vector<Index> contexts)
        : contexts_(std::move(contexts)), per_document_(contexts_.size()), per_head_(contexts_.size()) {
        for (const Index d : contexts_) require<ConfigError>(d >= 1, "PositiveMass: cannot measure r_d for d = ", d);
    }

    /// Takes in the log masses (B,T,H,C) of one batch; each entry counts as one document. Every entry must have exactly `positives`
    /// contexts of its own, before the others, and at least d in all: a context that is not there has no mass and raises r_d.
    /// Errors: ConfigError unless 1 <= positives <= d <= C for every d, ShapeError if H changes or is 0, or without queries,
    ///         NumericError as positive_share. Then, and if memory runs out, nothing is taken in.
    template <class Real>
    void add(const Tensor<Real, 4>& log_mass, Index positives = 1) {
        const Index entries = extent(log_mass, 0), queries = extent(log_mass, 1), heads = extent(log_mass, 2);
        require<ShapeError>(queries >= 1 && heads >= 1, "PositiveMass: ", queries, " queries of ", heads,
                            " heads, expected one or more of each");
        PositiveMass sum = *this;
        for (std::size_t i = 0; i < contexts_.size(); ++i) {
            const Tensor<double, 3> mass = positive_mass_per_query(log_mass, contexts_[i], positives);
            std::vector<double>& per_head = sum.per_head_[i];
            require<ShapeError>(documents_ == 0 || length_of(per_head) == heads, "PositiveMass: ", heads,
                                " heads after batches of ", per_head.size());
            per_head.resize(static_cast<std::size_t>(heads), 0.0);
            for (Index b = 0; b < entries; ++b) {
                double document = 0;
                for (Index h = 0; h < heads; ++h) {
                    double head = 0;
                    for (Index t = 0; t < queries; ++t) head += mass(b, t, h);
                    element(per_head, h) += head / static_cast<double>(queries);
                    document += head;
                }
                sum.per_document_[i].push_back(document / static_cast<double>(queries * heads));
            }
        }
        sum.documents_ += entries;
        *this = std::move(sum);
    }

    /// The numbers d of contexts that r_d is measured for.
    const std::vector<Index>& contexts() const { return contexts_; }
    /// Documents measured so far.
    Index documents() const { return documents_; }

    /// r_d for the i-th d, averaged over everything. NaN before the first batch.
    double mean(std::size_t i) const {
        const std::vector<double>& values = per_document(i);
        return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(documents_);
    }
    /// r_d for the i-th d, head by head.
    std::vector<double> per_head(std::size_t i) const {
        std::vector<double> means = per_head_.at(i);
        for (double& mean : means) mean /= static_cast<double>(documents_);
        return means;
    }
    /// r_d for the i-th d, document by document: what a bootstrap interval is drawn from.
    const std::vector<double>& per_document(std::size_t i) const { return per_document_.at(i); }

   private:
    std::vector<Index> contexts_;
    std::vector<std::vector<double>> per_document_, per_head_;  // of each d
    Index documents_ = 0;
};

}  // namespace fot
