/// Who sees whom in crossbatch training, and where do the gradients go?   A commented walk-through.
///
/// Time:    under a second.
/// Command: build/release/examples/crossbatch_tour
/// Expect:  attention patterns as pictures; r_d = 1/d for random keys; gradients in the keys of every context that is seen.
#include "fot/attention/crossbatch_attention.hpp"
#include "fot/core/random.hpp"
#include "fot/files/replacing_file.hpp"
#include "fot/loss/contrastive_loss.hpp"
#include "fot/measure/positive_mass.hpp"
#include "fot/nn/unit_heads.hpp"
#include "support/attention_picture.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

int main(int argc, char** argv) try {
    Example example(argc, argv, "Who sees whom in crossbatch training, and where do the gradients go?");
    example.parse();
    std::ostream& out = example.out();

    // 1. Four documents, one at each batch index. Each has a previous context. Document 0 sees its own (+) and, as a
    //    distraction, those of documents 1 and 2 (-). The paper calls this d = 3.
    const ContextTable table = previous_contexts(4, 1, 2);
    out << "The paper's form: previous contexts of documents i, i+1, i+2 (mod 4)\n" << attention_pattern(table) << "\n";

    // 2. The released code has no previous contexts: rows of one batch see earlier rows. Four rows hold one document, and with
    //    stepping each of them sees a different number of contexts, so one batch mixes short and long memories.
    out << "The released code's form: range 3, packing 4, stepping\n" << attention_pattern(packed_contexts(8, 3, 4, true)) << "\n";

    // The same as pictures.
    const auto draw = [&](const std::string& name, const ContextTable& whom, const std::string& title) {
        write_text_file(example.output() / name, attention_svg(whom, title));
        example.file(name);
    };
    draw("paper_form.svg", previous_contexts(8, 1, 3), "The paper: own previous context, then those of the next documents");
    draw("released_form.svg", packed_contexts(16, 7, 4, true), "Released code: earlier rows, range 7, packing 4, stepping");

    // 3. Random queries and keys of length one: a model before training. 8 tokens, 2 heads of width 16.
    Random random(example.seed());
    const auto unit = [&](Index entries) {
        return normalize_heads<double>(normal_tensor<double, 4>({entries, 8, 2, 16}, 1, random));
    };
    const Tensor<double, 4> q = 4 * unit(4), k = unit(4), context_k = unit(4);  // a temperature of 1/4 is in the queries
    const Tensor<double, 4> v = normal_tensor<double, 4>({4, 8, 2, 16}, 1, random),
                            context_v = normal_tensor<double, 4>({4, 8, 2, 16}, 1, random);

    // 4. The distraction issue: nothing tells a document's own keys from those of others, so each context gets an equal share.
    const Tensor<double, 4> log_mass = context_log_mass(q, context_k, table);
    PositiveMass mass({1, 2, 3});
    mass.add(log_mass);
    Table shares({"d", "r_d", "1/d"});
    for (std::size_t i = 0; i < 3; ++i)
        shares.add(mass.contexts()[i], fixed(mass.mean(i)), fixed(1.0 / static_cast<double>(mass.contexts()[i])));
    out << "Share of its own context among d, before training\n" << shares << "\n";

    // 5. One softmax over local keys and all contexts: if all values are one the output is one, whatever is seen.
    const auto attend = [&](Tape& tape, const Variable<double, 4>& keys, const Tensor<double, 4>& local_v,
                            const Tensor<double, 4>& v_of_contexts) {
        using Constant = Variable<double, 4>;
        return crossbatch_attention(tape, Constant(q), Constant(k), Constant(local_v), keys, Constant(v_of_contexts), table).o;
    };
    Variable<double, 4> context_keys(context_k, true);
    const Tensor<double, 4> ones = full<double, 4>(shape_of(v), 1.0);
    Tape inference(Tape::inference);
    const Tensor<double, 4> sum_of_weights = attend(inference, context_keys, ones, ones).value();
    double worst = 0;
    for (const double sum : sum_of_weights) worst = std::max(worst, std::abs(sum - 1));
    out << "Largest deviation of a row's weights from the sum one: " << worst << "\n\n";

    // 6. The cure is differentiable: a loss on document 0 alone reaches the keys of every context that it sees, and no other.
    Tape tape;
    const Variable<double, 4> o = attend(tape, context_keys, v, context_v);
    std::fill_n(row(o.gradient(), Index(0)), 8 * 2 * 16, 1.0);
    tape.replay();
    const Tensor<double, 4>& d_context_k = context_keys.gradient();
    Table gradients({"context", "|gradient of its keys|", "for document 0 it is"});
    const char* roles[] = {"its own", "a negative", "a negative", "not seen"};
    std::vector<double> norms;
    for (Index c = 0; c < 4; ++c) {
        double square = 0;
        for (Index i = 0; i < 8 * 2 * 16; ++i) square += row(d_context_k, c)[i] * row(d_context_k, c)[i];
        norms.push_back(std::sqrt(square));
        gradients.add(c, fixed(norms.back()), roles[c]);
    }
    out << gradients << "\n";

    // 7. What crossbatch does implicitly, as a loss of its own: -log of the share of a query's own document.
    const double loss = contrastive_loss(q, context_k, table).value;
    out << "Contrastive loss of the untrained layer: " << fixed(loss) << " nats, log 3 = " << fixed(std::log(3.0)) << "\n";

    example.result("positive_mass.3", mass.mean(2));
    example.result("gradient_norm.negative", norms[1]);
    example.result("gradient_norm.not_seen", norms[3]);
    example.result("contrastive_loss", loss);
    return example.finish();
} catch (...) {
    return report_failure();
}
