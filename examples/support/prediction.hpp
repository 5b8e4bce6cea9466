/// How well the next byte of held-out documents is predicted, with the previous context and without: a model that gains nothing
/// from it ignores it.
///
/// Read first: support/held_out_text.hpp, fot/data/documents.hpp.   Read next: distraction_issue.cpp.
#pragma once

#include "fot/model/transformer.hpp"
#include "held_out_text.hpp"

namespace fot::examples {

/// How well the next byte is predicted.
struct Prediction {
    double bits_per_byte = 0, accuracy = 0;
};

/// Both predictions on test documents, at the same places for every model.
struct Predictions {
    Prediction with_previous, local;
};

Predictions measure_predictions(const TextSettings& settings, const CorpusSplit& split, Transformer<float>& model);

}  // namespace fot::examples
