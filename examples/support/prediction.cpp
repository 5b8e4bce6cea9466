#include "prediction.hpp"

#include <algorithm>
#include <cmath>

#include "fot/data/documents.hpp"
#include "fot/nn/cross_entropy.hpp"

namespace fot::examples {

Predictions measure_predictions(const TextSettings& settings, const CorpusSplit& split, Transformer<float>& model) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    const ContextTable own = previous_contexts(length_of(test), 1, 0);
    Random random(2025);
    Predictions predictions;
    for (Index batch = 0; batch < settings.places; ++batch) {
        const ContextBatch<float> drawn =
            sample_contexts<float>(test, {.entries = length_of(test), .positives = 1, .length = settings.length}, random);
        Tape tape(Tape::inference);
        const auto add = [&](Prediction& prediction, const Variable<float, 3>& logits) {
            const double batches = static_cast<double>(settings.places);
            const Tensor<std::uint8_t, 2> correct = correct_predictions(logits.value(), drawn.targets);
            const auto right = static_cast<double>(std::ranges::count_if(correct.storage(), [](auto each) { return each != 0; }));
            prediction.bits_per_byte +=
                cross_entropy(logits.value(), drawn.targets, drawn.mask, Reduction::token_mean) / (batches * std::log(2.0));
            prediction.accuracy += right / (batches * static_cast<double>(correct.size()));
        };
        add(predictions.with_previous, model.crossbatch(tape, {drawn.previous, drawn.current, own}));
        add(predictions.local, model.local(tape, drawn.current));
    }
    return predictions;
}

}  // namespace fot::examples
