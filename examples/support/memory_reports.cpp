#include "memory_reports.hpp"

namespace fot::examples {

void report_curves(Example& example, const MemoryCurves& curves, const std::vector<Index>& sizes, const Reading& reading,
                   const std::string& title, const std::vector<Series>& others, const std::string& set) {
    Plot plot{.name = in_set("bits_per_byte", set), .title = title, .x_label = "memory tokens", .y_label = "bits per byte"};
    Table table({"model", "memory tokens", "bits/byte"});
    for (const std::string& model : curves.models()) {
        Series& series = plot.series.emplace_back(Series{model});
        for (const Index size : sizes) {
            if (!curves.has(model, reading.with(size))) continue;
            const Estimate estimate = curves.bits_per_byte(model, reading.with(size));
            table.add(model, count_text(size), estimate_text(estimate));
            example.result(message(in_set("bits_per_byte", set), ".", model, ".", size), estimate.value);
            if (size > 0) series.add(size, estimate);
        }
    }
    plot.series.insert(plot.series.end(), others.begin(), others.end());
    example.show(message(title, " on test documents, ", intervals_over(example)), table);
    example.csv(in_set("bits_per_byte_by_seed", set), curves.csv(example.seed()));
    example.plot(plot);
}

void report_changes(Example& example, const MemoryCurves& curves, const Reading& reading, Index from, Index to) {
    Table table({"model", message(count_text(to), " - ", count_text(from), " memory tokens")});
    for (const std::string& model : curves.models()) {
        const Estimate estimate = curves.difference(model, reading.with(to), model, reading.with(from));
        table.add(model, estimate_text(estimate));
        example.result(message("change.", model, ".", from, "-", to), estimate);
    }
    example.show(message("What more memory changes, bits per byte (below 0: it helps), ", intervals_over(example)), table);
}

void compare_models(Example& example, const MemoryCurves& curves, const std::vector<Index>& sizes, std::vector<ComparedPair> pairs,
                    const std::string& set) {
    std::vector<std::string> names;
    std::erase_if(pairs, [&](const ComparedPair& pair) {
        if (!curves.has(pair.a) || !curves.has(pair.b)) return true;
        const bool again = std::ranges::count(names, pair.name()) > 0;
        names.push_back(pair.name());
        return again || (pair.a == pair.b && pair.a_reads == pair.b_reads);
    });
    if (pairs.empty()) return;
    Table csv({"a", "b", "memory_tokens", "seed", "difference", "low", "high"});
    Table table({"first", "second", "memory tokens", "first - second"});
    for (const ComparedPair& pair : pairs)
        for (const Index size : sizes) {
            const MemoryCondition a = pair.a_reads.with(size), b = pair.b_reads.with(size);
            if ((pair.a == pair.b && a == b) || !curves.has(pair.a, a) || !curves.has(pair.b, b)) continue;
            const std::vector<Estimate> of_each = curves.differences(pair.a, a, pair.b, b);
            for (std::size_t s = 0; s < of_each.size(); ++s)
                csv.add(pair.name_of_a(), pair.name_of_b(), size, example.seed() + s, of_each[s]);
            const Estimate estimate = over_seeds(of_each);
            table.add(pair.name_of_a(), pair.name_of_b(), count_text(size), estimate_text(estimate));
            example.result(message(in_set("difference", set), ".", pair.name(), ".", size), estimate);
        }
    example.show(message("Differences on the same documents", set.empty() ? "" : " of " + set,
                         ", bits per byte (below 0: the first is better), ", intervals_over(example)),
                 table);
    example.csv(in_set("differences", set), csv);
}

}  // namespace fot::examples
