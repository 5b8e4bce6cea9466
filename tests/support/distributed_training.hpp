/// A small training by crossbatch: on one tape, and on ranks.
#pragma once

#include "fot/data/documents.hpp"
#include "fot/distributed/crossbatch.hpp"
#include "fot/distributed/thread_communicator.hpp"
#include "fot/train/adamw.hpp"
#include "support/model_check.hpp"
#include "support/random_tokens.hpp"

namespace fot::testing {

/// What one training does: its losses and the weights in the end, and what rank 0 has sent.
template <class Real>
struct Training {
    std::vector<double> losses;
    std::vector<Real> weights;
    std::map<std::string, Traffic> traffic;
    Index most_of_others = 0;

    /// Bytes of an operation.
    Index bytes(const std::string& operation) const {
        const auto at = traffic.find(operation);
        return at == traffic.end() ? 0 : at->second.bytes;
    }
};

struct Setting {
    Index entries = 8, pool = 8, positives = 1, negatives = 3, steps = 5;
    std::vector<Index> memory_layers = {2};
    Index at_a_time = 0;  // contexts that the ranks exchange together; 0: all
};

/// Tables of every kind.
inline const std::vector<Setting> all_settings = {{},
                                                  {.negatives = 7},                             // everything is seen
                                                  {.negatives = 0},                             // nothing of others
                                                  {.positives = 2, .negatives = 5},             // two previous windows each
                                                  {.entries = 5, .pool = 7, .negatives = 4},    // equal shares do not exist
                                                  {.entries = 4, .pool = 12, .negatives = 10},  // few are trained on
                                                  {.positives = 0, .negatives = 0},             // data parallel
                                                  {.negatives = 5, .memory_layers = {1, 2}}};   // two memory layers

template <class Real>
std::vector<Real> weights_of(const Transformer<Real>& model) {
    std::vector<Real> all;
    for (const auto& p : model.parameters()) all.insert(all.end(), p.value().begin(), p.value().end());
    return all;
}

/// `gradients(model, batch, table)` returns the loss and leaves the gradients.
template <class Real, class Gradients>
Training<Real> train(const Setting& setting, Gradients&& gradients_of) {
    const std::vector<TokenDocument> documents = random_documents(std::vector<Index>(20, 40), 3);
    Random random(1), batches(2);
    Transformer<Real> model(small_model_config(setting.memory_layers), random);
    AdamW<Real> optimizer(model.parameters());
    auto gradients = gradients_of(model);
    Training<Real> result;
    for (Index step = 0; step < setting.steps; ++step) {
        const auto batch = sample_contexts<Real>(
            documents, {.entries = setting.entries, .pool = setting.pool, .positives = setting.positives, .length = 6}, batches);
        zero_gradients(model.parameters());
        result.losses.push_back(
            gradients(batch, setting.positives == 0 ? no_contexts(setting.entries) : contexts_of(batch, setting.negatives)));
        optimizer.step(1);
    }
    result.weights = weights_of(model);
    return result;
}

template <class Real>
Training<Real> on_one_tape(const Setting& setting) {
    return train<Real>(setting, [](const Transformer<Real>& model) {
        return [&model](const ContextBatch<Real>& batch, const ContextTable& table) {
            Tape tape;
            const auto loss =
                cross_entropy(tape, model.crossbatch(tape, {batch.previous, batch.current, table}), batch.targets, batch.mask);
            tape.backward(loss);
            return static_cast<double>(loss.value()(0));
        };
    });
}

/// One rank's part.
template <class Real>
Training<Real> on_rank(Communicator& ranks, const Setting& setting) {
    Index most_of_others = 0;
    Training<Real> training = train<Real>(setting, [&](const Transformer<Real>& model) {
        return [&most_of_others, crossbatch = DistributedCrossbatch<Real>(ranks, model, setting.at_a_time)](
                   const ContextBatch<Real>& batch, const ContextTable& table) mutable {
            const double loss = crossbatch.step(batch, table);
            most_of_others = crossbatch.most_of_others();
            return loss;
        };
    });
    training.traffic = ranks.traffic();
    training.most_of_others = most_of_others;
    return training;
}

/// The training as rank 0 of p threads sees it, after a check that all ranks end with the same weights.
template <class Real>
Training<Real> on_ranks(const Setting& setting, Index p) {
    std::vector<Training<Real>> of_ranks(static_cast<std::size_t>(p));
    run_as_ranks(p, [&](Communicator& ranks) { element(of_ranks, ranks.rank()) = on_rank<Real>(ranks, setting); });
    for (const Training<Real>& each : of_ranks) CHECK(each.weights == of_ranks[0].weights);
    return of_ranks[0];
}

/// The largest difference of two lists of the same length.
inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    require<ShapeError>(a.size() == b.size(), "lists of ", a.size(), " and ", b.size());
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) worst = worse(worst, std::abs(a[i] - b[i]));
    return worst;
}

}  // namespace fot::testing
