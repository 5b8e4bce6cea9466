#include "claims.hpp"

#include <cmath>
#include <cstdlib>
#include <regex>
#include <sstream>

#include "sizes.hpp"

namespace fot::examples {

const std::vector<Claim>& claims() {
    constexpr Index sixteen_million = 16777216;
    static const std::vector<Claim> list{
        {"distraction_issue",
         "C1",
         "standard model: own share of attention, 64 documents",
         "Figure 3: near 1/64 = 0.0156",
         "positive_mass.standard.64",
         {0.5 / 64, 2.0 / 64},
         "",
         0,
         4},
        {"distraction_issue", "C1", "one context: its share minus the standard model's", "Figure 3: above 0",
         "positive_mass.crossbatch_1.64", higher_than_zero, "positive_mass.standard.64", 0, 4},
        {"distraction_issue", "C1", "most contexts: the same difference", "Figure 3: above 0", "positive_mass.crossbatch_(*).64",
         higher_than_zero, "positive_mass.standard.64", 0, 4},
        {"distraction_issue", "C7", "bits per byte, full memory: most contexts minus one", "Figure 6: below 0",
         "difference.crossbatch_(*)-crossbatch_1.(*)", lower_than_zero},
        {"dictionary_lookup",
         "C2",
         "accuracy, the paper's data",
         "Figure 10: above 0.92 at 16M",
         "accuracy.uniform.(*)",
         {0.92, unlimited},
         "",
         sixteen_million,
         4},
        {"dictionary_lookup",
         "C2",
         "accuracy, our harder data",
         "Figure 10: above 0.92 at 16M",
         "accuracy.hard.(*)",
         {0.92, unlimited},
         "",
         sixteen_million,
         4},
        {"dictionary_lookup",
         "C13",
         "kNN score of the best key",
         "Table 7: 0.90 at 16M",
         "knn_score.uniform.(*)",
         {0.9, unlimited},
         "",
         sixteen_million},
        {"dictionary_lookup",
         "C13",
         "its Focus score",
         "Table 7: 0.99 at 16M",
         "focus_score.uniform.(*)",
         {0.99, unlimited},
         "",
         sixteen_million},
        {"dictionary_without_memory",
         "C2",
         "accuracy of a standard transformer that reads 16K tokens",
         "Figure 10: it fails (here: below 0.5)",
         "accuracy.without_memory.(*)",
         {-unlimited, 0.5},
         "",
         16384,
         4},
        {"fine_tune_existing_model", "C4", "bits per byte: crossbatch minus Memorizing Transformer", "Table 3: below 0",
         "difference.crossbatch_(*)-mt_merged.(*)", lower_than_zero},
        {"fine_tune_existing_model", "C4", "bits per byte at two windows: crossbatch minus Transformer-XL", "Table 3: as good",
         "difference.crossbatch_(*)-xl.(*)", equal_bits},
        {"fine_tune_existing_model", "C12", "bits per byte of short texts: crossbatch minus standard", "Table 5: as good",
         "difference.crossbatch_(*)-standard.short", equal_bits},
        {"fine_tune_existing_model", "C14", "bits per byte at two windows: crossbatch minus long contexts", "Table 2: below 0",
         "difference.crossbatch_(*)-long.(*)", lower_than_zero},
        {"context_extrapolation", "C5", "bits per byte: two contexts minus one", "Figure 9: below 0",
         "difference.crossbatch_2-crossbatch_1.(*)", lower_than_zero},
        {"context_extrapolation", "C5", "bits per byte: w = 2 minus w = 1", "Table 11: below 0",
         "difference.crossbatch_1_w2-crossbatch_1.(*)", lower_than_zero},
        {"context_extrapolation", "C6", "bits per byte: differentiable keys minus constant ones", "Table 8: below 0",
         "difference.crossbatch_1-crossbatch_1_detached.(*)", lower_than_zero},
        {"context_extrapolation", "C15", "bits per byte: one context minus MT", "Table 8: below 0",
         "difference.crossbatch_1-mt_merged.(*)", lower_than_zero},
        {"multi_document_perplexity", "C16", "bits per byte: eight contexts minus MT on a memory of eight documents",
         "Figure 5: below 0", "difference.crossbatch_8-mt_8.(*)", lower_than_zero},
        {"multi_document_perplexity", "C16", "bits per byte: eight contexts minus the same with constant keys and values",
         "Table 8: below 0", "difference.crossbatch_8-crossbatch_8_detached.(*)", lower_than_zero},
        {"memorizing_transformer", "C8", "bits per byte: crossbatch, tuned, minus MT", "Figure 7: below 0",
         "difference.crossbatch_(*)_tuned-mt_merged.(*)", lower_than_zero},
        {"memorizing_transformer", "C9", "bits per byte: one softmax minus a gate, MT", "Figure 4: as good",
         "difference.mt_merged-mt.(*)", equal_bits},
        {"passkey",
         "C10",
         "every digit right, longest prompt, continued model",
         "Figure 1: 0.73 at 256K tokens",
         "accuracy.fot.(*)",
         {0.73, unlimited},
         "",
         262144},
        {"few_shot", "C11", "accuracy: four windows of demonstrations minus one", "Table 1: above 0", "gain.fot", higher_than_zero},
        {"exact_or_approximate", "C17", "bits per byte, standard model: whole memory minus best k", "4.1: as good",
         "difference.standard.whole-exact.(*)", equal_bits},
        {"exact_or_approximate", "C17", "bits per byte, most contexts: whole memory minus best k", "4.1: as good",
         "difference.crossbatch_(*).whole-exact.(*)", equal_bits},
    };
    return list;
}

namespace {

/// A result that was looked for; NaN where there is nothing.
struct Result {
    double value = std::numeric_limits<double>::quiet_NaN();
    Interval interval{value, value};
    std::vector<Index> sizes = {};  ///< the whole numbers in its name that were looked for
    std::string name = {};
};

/// Of the results with such a name, that of the largest numbers, the first of which counts most.
Result largest_result(const Results& results, const std::string& name) {
    std::string escaped;
    for (const char letter : name) escaped += letter == '.' ? "\\." : std::string(1, letter);
    const std::regex pattern(std::regex_replace(escaped, std::regex(R"(\(\*\))"), "([0-9]{1,15})"));
    Result largest;
    for (const auto& [known, text] : results) {
        std::smatch match;
        if (!std::regex_match(known, match, pattern)) continue;
        std::vector<Index> sizes;
        for (std::size_t i = 1; i < match.size(); ++i) sizes.push_back(std::stoll(match[i]));
        if (!largest.name.empty() && sizes <= largest.sizes) continue;
        largest = {.sizes = sizes, .name = known};
        std::vector<double> numbers;  // "-", as tables have it, is none
        std::istringstream line(text);
        for (std::string word; line >> word;) numbers.push_back(word == "-" ? std::nan("") : std::strtod(word.c_str(), nullptr));
        largest.value = numbers.empty() ? std::nan("") : numbers[0];
        if (numbers.size() >= 3) largest.interval = {numbers[1], numbers[2]};
    }
    return largest;
}

}  // namespace

Table verdicts(const std::string& program, const Results& results, Index seeds, Table table) {
    for (const Claim& claim : claims()) {
        if (program != claim.program) continue;
        Result found = largest_result(results, claim.result);
        const bool is_difference = *claim.minus != '\0';
        const Result other = is_difference ? largest_result(results, claim.minus) : Result();
        if (found.name.empty() || (is_difference && other.name.empty())) {
            table.add(claim.id, claim.what, claim.paper, "-", "not measured");
            continue;
        }
        if (is_difference) {
            found.value -= other.value;
            found.interval = difference_of(found.interval, other.interval);
        }
        const bool smaller = claim.memory_tokens > 0 && found.sizes.back() < claim.memory_tokens,
                   of_failure = !is_difference && claim.range.low == -unlimited;  // a model may succeed with a smaller memory
        std::string said = verdict(found.interval, claim.range, smaller ? std::min<Index>(seeds, 1) : seeds);
        if (smaller && said == "agrees")
            said += " up to " + count_text(found.sizes.back());
        else if (smaller && of_failure)
            said = "not measured";
        const bool bare = std::isnan(found.interval.low);
        table.add(claim.id, message(claim.what, " (", found.name.substr(found.name.find('.') + 1), ")"), claim.paper,
                  bare ? fixed(found.value, claim.digits) : estimate_text({found.value, found.interval}, claim.digits), said);
    }
    return table;
}

}  // namespace fot::examples
