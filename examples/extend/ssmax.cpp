// Scores of one's own: scalable softmax (arXiv 2501.19399). A query is multiplied by the logarithm of the number of keys it sees,
// so that the best key keeps its weight as a memory grows. The model is trained with eight contexts and reads with memories that
// are up to 64 times larger.
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

/// score = log(n) <q / |q| / tau, k / |k|> for a query that sees n keys.
struct ScalableScoring : UnitScoring<float> {
    using UnitScoring::UnitScoring;
    Variable<float, 4> queries(Tape& tape, const Variable<float, 4>& projected, const KeysSeen& seen) const override {
        Tensor<float, 4> log_n = empty_like(projected.value());
        const auto [entries, length, heads, width] = shape_of(log_n);
        for (Index b = 0; b < entries; ++b)
            for (Index t = 0; t < length; ++t)
                std::fill_n(row(log_n, b, t), heads * width, std::log(static_cast<float>(seen.of(b, t))));
        return product(tape, UnitScoring::queries(tape, projected, seen), Variable<float, 4>(log_n));
    }
};

int main(int argc, char** argv) {
    const CorpusSplit split =
        split_documents(load_directory(argc > 1 ? argv[1] : "/usr/include/c++", "*/bits/*"), 20000, 0.15, 0.15, 7);
    const auto train = byte_documents(split.train), test = byte_documents(split.test);
    Random random(1);
    Transformer<float> model({.width = 64, .heads = 2, .memory_heads = 2}, random);
    model.layer(2).scoring = std::make_unique<ScalableScoring>(2, 8 / std::log(576.0), 1e-6);
    const LanguageModelRecipe crossbatch{.kind = LanguageModelKind::crossbatch, .contexts = ContextSchedule::constant(8)};
    train_language_model(model, crossbatch, train, {.entries = 16, .length = 64}, 200);
    MemoryCurveOptions options{.conditions = {}, .window = 64};
    for (const Index tokens : {0, 512, 2048, 8192, 32768}) options.conditions.push_back({.tokens = tokens, .top_k = 0});
    for (const auto& [condition, meter] : memory_curve(model, test, byte_documents(split.validation), options))
        std::printf("%6td tokens of memory: %.4f bits per byte\n", condition.tokens, meter.bits_per_byte(1).value);
}
