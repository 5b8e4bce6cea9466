#include "positive_masses.hpp"

namespace fot::examples {

PositiveMass measure_positive_mass(const TextSettings& settings, const CorpusSplit& split, const Transformer<float>& model,
                                   const LogMasses& log_masses) {
    const std::vector<TokenDocument> test = byte_documents(split.test);
    std::vector<TokenDocument> held_out = test;
    for (TokenDocument& document : byte_documents(split.validation)) held_out.push_back(std::move(document));
    require<DataError>(held_out.size() >= 2, "text experiment: ", held_out.size(), " held-out documents, expected 2 or more");

    const Index most = 64, length = settings.length;
    const ContextTable table = previous_contexts(1, 1, most - 1, most);
    PositiveMass mass({1, 2, 4, 8, 16, 32, 64});
    Random random(2024);  // the same places for every model and seed
    const auto copy_window = [&](const TokenDocument& document, Index start, std::int32_t* target) {
        std::copy_n(document.tokens.data() + start, length, target);
    };
    for (Index d = 0; d < length_of(test); ++d) {
        const TokenDocument& document = element(test, d);
        // All places of a document are averaged before intervals are drawn: the document is the unit.
        Tensor<float, 4> of_document = empty<float, 4>({1, settings.places * length, settings.memory_heads, most});
        for (Index place = 0; place < settings.places; ++place) {
            Tokens contexts = empty<std::int32_t, 2>({most, length}), current = empty<std::int32_t, 2>({1, length});
            const Index start = random.below(document.length() - 2 * length + 1);
            copy_window(document, start, row(contexts, 0));
            copy_window(document, start + length, row(current, 0));
            for (Index i = 1; i < most; ++i) {
                Index other = d;
                while (other == d) other = random.below(length_of(held_out));
                const TokenDocument& unrelated = element(held_out, other);
                copy_window(unrelated, random.below(unrelated.length() - length + 1), row(contexts, i));
            }
            const Tensor<float, 4> log_mass =
                log_masses ? log_masses(model, {contexts, current, table}) : context_log_mass(model, {contexts, current, table});
            std::copy_n(log_mass.data(), log_mass.size(), row(of_document, Index(0), place * length));
        }
        mass.add(of_document);
    }
    return mass;
}

void PositiveMasses::add(const std::string& model, const PositiveMass& mass) {
    AccuracyCurve curve;
    for (std::size_t i = 0; i < mass.contexts().size(); ++i) curve[mass.contexts()[i]] = bootstrap_mean(mass.per_document(i), 1);
    Measurements::add(model, curve);
}

void report_positive_mass(Example& example, const PositiveMasses& masses, const std::string& title) {
    Table table({"model", "d", "1/d", "r_d"}), csv({"model", "seed", "d", "positive_mass", "low", "high"});
    Plot plot{.name = "positive_mass",
              .title = title,
              .x_label = "contexts d",
              .y_label = "positive attention mass r_d",
              .logarithmic = "xy"};
    Series guide{"1/d: even attention"};
    for (const auto& [d, of_first] : masses.of_seeds(masses.models().front()).front()) guide.add(d, 1 / static_cast<double>(d));
    for (const std::string& model : masses.models()) {
        for (std::size_t s = 0; s < masses.of_seeds(model).size(); ++s)
            for (const auto& [d, share] : masses.of_seeds(model)[s]) csv.add(model, example.seed() + s, d, share);
        for (const auto& [d, share] : shares_over_seeds(masses, model))
            table.add(model, d, fixed(1 / static_cast<double>(d), 4), estimate_text(share, 4));
        report_accuracy(example, "positive_mass", masses, model, plot);
    }
    plot.series.push_back(guide);
    example.show(message("Positive attention mass r_d on held-out documents, ", intervals_over(example)), table);
    example.csv("positive_mass_by_seed", csv);
    example.plot(plot);
}

}  // namespace fot::examples
