/// An explicit contrastive loss that leads at first and then steps back.
///
///     first   0.1 language +     contrast           until keys of a query's own document stand out
///     then        language + 0.1 contrast           so that prediction decides what attention is for
///
/// Here "language" is the next-token loss and "contrast" is `contrastive_loss`, InfoNCE over contexts.
///
/// Why in two phases. A constant weight is a compromise: large, it holds attention at the positives whether that helps a
/// prediction or not, and costs bits; small, it does not overcome the start, where keys of all documents look alike and the
/// next-token loss learns to ignore all of them.
///
/// Why on one head. Retrieval in trained models is the work of a few heads. A contrast on one of them leaves the others free to
/// attend to whatever predicts well.
///
/// Source: Memory Sparse Attention (MSA, Chen et al. 2026, arXiv 2603.23516) has the two phases. In its ablation, leaving out the
///         continued pre-training in which they take place lowers the mean score of four question-answering benchmarks by 31 %.
///         Multi-Document Attention Focusing (MuDAF, Liu et al. 2025, arXiv 2502.13963) contrasts on chosen heads. Departures:
///         positives are the contexts of a query's own document, not labelled passages.
/// Cost:   that of contrastive_loss, on one head 1/H of it. Parameters: none.
///
/// Read first: loss/contrastive_loss.hpp.   Read next: remedies/untied_contexts.hpp.
#pragma once

#include "fot/loss/contrastive_loss.hpp"
#include "fot/nn/slices.hpp"

namespace fot {

/// Weights of the two losses, both in nats.
struct LossWeights {
    double language = 1;  ///< of the next-token loss
    double contrast = 0;  ///< of InfoNCE
};

/// The schedule.
struct AnnealedContrast {
    Index leading_steps = 200;  ///< steps of the first phase; 0: the second from the start
    double smaller = 0.1;       ///< weight of the loss that does not lead

    /// Weights of step 0, 1, ...   Errors: ConfigError for a negative step or number of steps, or a weight outside 0 ... 1.
    LossWeights at(Index step) const {
        require<ConfigError>(step >= 0 && leading_steps >= 0, "AnnealedContrast: step ", step, " of ", leading_steps,
                             " leading ones, expected 0 or more");
        require<ConfigError>(smaller >= 0 && smaller <= 1, "AnnealedContrast: smaller weight ", smaller, ", expected 0 ... 1");
        return step < leading_steps ? LossWeights{smaller, 1} : LossWeights{1, smaller};
    }
};

/// Both losses under their weights, on the tape. `contrast` is a loss of weight 1.
template <class Real>
Variable<Real, 1> weighted_losses(Tape& tape, const Variable<Real, 1>& language, const Variable<Real, 1>& contrast,
                                  const LossWeights& weights) {
    return add(tape, multiply(tape, language, static_cast<Real>(weights.language)),
               multiply(tape, contrast, static_cast<Real>(weights.contrast)));
}

/// contrastive_loss of one query head and of the keys that it reads.
///
/// Shapes: q (B,T,H,D), context_k (P,S,G,D), G divides H.   Errors: as contrastive_loss; ConfigError if there is no such head.
template <class Real>
Variable<Real, 1> contrastive_loss_of_head(Tape& tape, const Variable<Real, 4>& q, const Variable<Real, 4>& context_k,
                                           const ContextTable& table, Index head) {
    const Index key_head = head * extent(context_k.value(), 2) / extent(q.value(), 2);
    return contrastive_loss(tape, slice<2>(tape, q, head, 1), slice<2>(tape, context_k, key_head, 1), table);
}

}  // namespace fot
