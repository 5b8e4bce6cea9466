// A joining of one's own: a gate that each query computes from its layer's input, in place of the Memorizing Transformer's one
// number per head. The gate's linear map is trained with the model and kept in the model's checkpoints.
#include <cstdio>
#include <fot/fot.hpp>

using namespace fot;

/// o = g o_memory + (1 - g) o_local with g = sigmoid(W h), W (H,E).
struct QueryGate : Joining<float> {
    Variable<float, 2> map;
    QueryGate(Index heads, Index width) : map(zeros<float, 2>({heads, width}), true) {}
    Variable<float, 3> logits(Tape& tape, const LayerView<float>& at, const Attention<float>&,
                              const Attention<float>&) const override {
        return linear(tape, at.h, map);
    }
    void add_parameters(const std::string& prefix, std::vector<Parameter<float>>& list) override {
        list.push_back(parameter(prefix + "query_gate", Role::gate, map));
    }
};

int main(int argc, char** argv) {
    const CorpusSplit split =
        split_documents(load_directory(argc > 1 ? argv[1] : "/usr/include/c++", "*/bits/*"), 20000, 0.15, 0.15, 7);
    const auto train = byte_documents(split.train), test = byte_documents(split.test);
    Random random(1);
    Transformer<float> model({.width = 64, .heads = 2, .memory_heads = 2}, random);
    model.layer(2).joining = std::make_unique<QueryGate>(2, 64);
    const LanguageModelRecipe crossbatch{.kind = LanguageModelKind::crossbatch, .contexts = ContextSchedule::constant(8)};
    train_language_model(model, crossbatch, train, {.entries = 16, .length = 64}, 200);
    MemoryCurveOptions options{.conditions = {}, .window = 64};
    for (const Index tokens : {0, 512, 2048, 8192, 32768}) options.conditions.push_back({.tokens = tokens, .top_k = 0});
    for (const auto& [condition, meter] : memory_curve(model, test, byte_documents(split.validation), options))
        std::printf("%6td tokens of memory: %.4f bits per byte\n", condition.tokens, meter.bits_per_byte(1).value);
}
