/// Who holds what, and what is sent, when crossbatch training runs on several ranks?   A commented walk-through.
///
/// Time:    under a second.
/// Command: build/release/examples/crossbatch_ranks_tour
/// Expect:  the halo, the contexts that a rank gets from others, as a picture; bytes equal to the formulas; one loss, to the last
///          bit, for every number of ranks.
#include "fot/distributed/crossbatch.hpp"
#include "fot/distributed/thread_communicator.hpp"
#include "fot/files/replacing_file.hpp"
#include "support/example.hpp"
#include "support/halo_picture.hpp"

using namespace fot;
using namespace fot::examples;

int main(int argc, char** argv) try {
    Example example(argc, argv, "Who holds what, and what is sent, when crossbatch training runs on several ranks?");
    example.parse();
    std::ostream& out = example.out();

    // 1. Eight documents on four ranks, in blocks of two. Each document's entry sees its own previous context and those of the next
    //    three documents (d = 4). Those that a rank does not have itself follow its own: the halo.
    const Index documents = 8, d = 4, p = 4;
    const BatchShares shares{previous_contexts(documents, 1, d - 1), documents, p};
    out << documents << " contexts on " << p << " ranks: # a rank has, + it gets from others, . its entries do not see\n\n"
        << halo_pattern(shares) << "\n";
    write_text_file(example.output() / "halo.svg", halo_svg(shares));
    example.file("halo.svg");

    // 2. A small model, the same on every rank: only what its memory layer computes of previous contexts is ever sent.
    const TransformerConfig config{
        .vocabulary = 16, .width = 16, .layers = 2, .memory_layers = {1}, .heads = 2, .memory_heads = 2, .feed_forward = 32};
    const Index length = 8, of_context = 2 * length * config.width * static_cast<Index>(sizeof(float));  // bytes of keys and values
    ContextBatch<float> batch{.previous = zeros<std::int32_t, 2>({documents, length}),
                              .current = zeros<std::int32_t, 2>({documents, length}),
                              .targets = zeros<std::int32_t, 2>({documents, length}),
                              .mask = full<float, 2>({documents, length}, 1.0f),
                              .documents = consecutive(0, documents)};
    Random text(example.seed());
    for (Tokens* tokens : {&batch.previous, &batch.current, &batch.targets})
        for (std::int32_t& token : tokens->storage()) token = static_cast<std::int32_t>(text.below(config.vocabulary));

    // 3. One step on 1, 2, 3 and 4 ranks, here threads. The order of all sums is a tree over documents, whoever has them: the
    // losses
    //    and every gradient are the same numbers.
    Table table({"ranks", "loss, nats", "gradients", "MB of a context", "contexts sent", "by formula", "gradients sent"});
    std::vector<float> of_one;
    double loss_of_one = 0;
    bool same = true;
    for (Index ranks = 1; ranks <= p; ++ranks)
        run_as_ranks(ranks, [&](Communicator& here) {
            Random weights(example.seed());
            const Transformer<float> model(config, weights);
            const double loss = DistributedCrossbatch<float>(here, model).step(batch, shares.table);
            std::vector<float> gradients;
            for (const Parameter<float>& each : model.parameters())
                gradients.insert(gradients.end(), each.gradient().begin(), each.gradient().end());
            if (here.rank() != 0) return;
            if (ranks == 1) {
                of_one = gradients;
                loss_of_one = loss;
            }
            const bool equal = gradients == of_one && loss == loss_of_one;
            same &= equal;
            table.add(ranks, fixed(loss, 12), equal ? "the same bits" : "DIFFERENT",
                      fixed(static_cast<double>(of_context) / 1e6, 4), here.bytes_sent("keys and values") / of_context,
                      ranks == 1 ? 0 : std::min(d - 1, documents - documents / ranks),
                      here.bytes_sent("gradients of keys and values") / of_context);
        });
    example.show("One step of training, as rank 0 sees it", table);
    out << "\nWith 3 ranks their shares are unequal, so that their parts of the sum are several nodes of the tree: gradients are "
           "sent\n"
           "for each. With 1, 2 and 4 ranks a rank's part is one node.\n";
    example.result("same_bits", same ? 1 : 0);
    return example.finish();
} catch (...) {
    return report_failure();
}
