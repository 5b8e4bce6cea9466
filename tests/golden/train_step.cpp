/// Kind `train_step`: a whole step of continued pre-training as released. Packed crossbatch in the memory layers, logits, the
/// row-averaged loss, and the gradient of every weight.
///
/// Read first: model/transformer.hpp, model/long_llama.hpp.   Read next: golden/data_pipeline.cpp.
#include "fot/model/long_llama_files.hpp"
#include "fot/nn/cross_entropy.hpp"
#include "fot/train/gradient_clipping.hpp"
#include "golden/golden.hpp"

namespace fot::golden {

namespace {

/// The share of right predictions among the counted tokens of each row, then the mean over rows.
template <class Real>
double row_accuracy(const Tensor<Real, 3>& logits, const Tokens& targets, const Tensor<Real, 2>& mask) {
    const Tensor<std::uint8_t, 2> correct = correct_predictions(logits, targets);
    double sum = 0;
    for (Index b = 0; b < extent(mask, 0); ++b) {
        double right = 0, counted = 0;
        for (Index t = 0; t < extent(mask, 1); ++t) {
            right += static_cast<double>(mask(b, t)) * correct(b, t);
            counted += static_cast<double>(mask(b, t));
        }
        sum += right / std::max(counted, 1e-10);
    }
    return sum / static_cast<double>(extent(mask, 0));
}

Tokens tokens_of(Case& golden, const std::string& name) { return golden.tensor<std::int32_t, 2>(name); }

template <class Real>
void check(Case& golden) {
    const Json &config = golden.config(), &tolerance = golden.entry().at("tolerance");
    const LongLlamaConfig shape = long_llama_config(config, "config");
    const LongLlama<Real> loaded = load_long_llama<Real>(
        golden.folder() / golden.entry().at("weights").get<std::string>(), [&](LongLlamaConfig& of_folder) { of_folder = shape; },
        Weights::trained);
    const Transformer<Real>& model = loaded.decoder();

    const Tokens input = tokens_of(golden, "input_tokens"), targets = tokens_of(golden, "target_tokens");
    const Tensor<Real, 2> mask = golden.tensor<Real, 2>("loss_masks");
    const ContextTable table =
        packed_contexts(extent(input, 0), config.at("cross_batch_range").get<Index>(), config.at("dataset_packing").get<Index>(),
                        config.at("cross_batch_stepping").get<bool>());
    Tape tape;
    const Variable<Real, 3> logits = model.forward(tape, input, PackedContexts<Real>(table, extent(input, 1)));
    golden.compare("logits", logits.value(), tolerance.at("f32_logits").get<double>());
    const double accuracy = row_accuracy(logits.value(), targets, mask);
    golden.compare("accuracy", &accuracy, 1, 1e-9);
    const Variable<Real, 1> loss = cross_entropy(tape, logits, targets, mask, Reduction::row_mean);
    golden.compare("loss", loss.value(), tolerance.at("f32_loss").get<double>());
    tape.backward(loss);
    for (const Parameter<Real>& each : model.parameters()) {
        const std::string name = "grad." + hugging_face_name(each.name);
        double largest = 0;
        for (const double number : golden.numbers<double>(name)) largest = std::max(largest, std::abs(number));
        golden.compare(name, each.gradient().data(), length_of(each.gradient()),
                       largest * tolerance.at("f32_grads_relative_to_max").get<double>());
    }
    const double norm = clip_by_global_norm(model.parameters(), 1e30);
    golden.compare("grad_global_norm", &norm, 1, 1e-4 * golden.numbers<double>("grad_global_norm")[0]);
}

}  // namespace

void check_train_step(Case& golden) {
    check<double>(golden);
    check<float>(golden);
}

}  // namespace fot::golden
