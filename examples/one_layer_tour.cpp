/// Do training and inference compute the same?   A commented walk-through.
///
/// A memory layer asks a source for further keys, and nothing else differs between training by crossbatch and reading with a
/// memory. So a model that sees two earlier windows as contexts must give the logits of one that has read them into its memory.
/// Here the weights are random, in double precision. What a model has learned does not matter.
///
/// Source: paper appendix B.3, equations (1) and (2).
/// Time:    under a second.
/// Command: build/release/examples/one_layer_tour
/// Expect:  with one memory layer no difference but rounding if the whole memory is read, and some if only the best keys are; with
///          two memory layers a difference even then (paper_notes.md, "Why one memory layer").
#include "fot/model/inference.hpp"
#include "fot/nn/slices.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

constexpr Index vocabulary = 50, length = 64;

/// A window of each of some texts, of random tokens.
Tokens random_windows(Index texts, Random& random) {
    Tokens tokens = empty<std::int32_t, 2>({texts, length});
    for (Index i = 0; i < texts * length; ++i) tokens.data()[i] = static_cast<std::int32_t>(random.below(vocabulary));
    return tokens;
}

double largest_difference(const Tensor<double, 3>& a, const Tensor<double, 3>& b) {
    double largest = 0;
    for (Index i = 0; i < element_count(a); ++i) largest = std::max(largest, std::abs(a.data()[i] - b.data()[i]));
    return largest;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do training and inference compute the same?");
    example.parse();
    Random random(example.seed());
    const Tokens earlier = random_windows(2, random), current = random_windows(1, random);
    Table table({"memory layers", "source", "further keys", "largest difference of logits to training"});
    for (const std::vector<Index>& memory_layers : {std::vector<Index>{2}, {1, 2}}) {
        const Transformer<double> model(
            {.vocabulary = vocabulary, .width = 32, .layers = 3, .memory_layers = memory_layers, .heads = 2}, random);
        const Index last = model.config().last_memory_layer();
        Tape tape(Tape::inference);

        // 1. Training: the earlier windows go through the model on their own, and the current one sees both as contexts.
        const ContextTable sees_both{.available = 2, .contexts = {{0, 1}}, .positives = {1}};
        const Contexts<double> contexts(model.keys_and_values(tape, earlier), sees_both);
        const Tensor<double, 3> in_training = model.forward(tape, current, contexts).value();

        // 2. Inference: the earlier windows are read one after another. Each looks at the memory first and is then remembered.
        MemoryState<double> memory(model.config(), 1);
        for (Index window = 0; window < 2; ++window) read_window(model, slice<0>(earlier, window, 1), memory);

        // 3. The same call with other sources.
        const MemorySource<double> whole(memory, 0), best(memory, 16);
        const NoSource<double> none;
        const std::tuple<const char*, const Source<double>*, Index> sources[] = {
            {"whole_memory", &whole, whole.key_count(last, 0)}, {"best_16", &best, 16}, {"no_source", &none, 0}};
        for (const auto& [name, source, keys] : sources) {
            const double difference = largest_difference(model.forward(tape, current, *source).value(), in_training);
            table.add(memory_layers.size(), name, keys, message(difference));
            example.result(message("difference.", memory_layers.size(), ".", name), difference);
        }
    }
    example.out() << "A window of " << length << " tokens after two others, which are contexts in training: " << 2 * length
                  << " further keys\n"
                  << table << "\n";
    return example.finish();
} catch (...) {
    return report_failure();
}
