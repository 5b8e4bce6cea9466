#include "memory_curves.hpp"

#include <set>

namespace fot::examples {

MemoryCurveOptions curve_options(const TextSettings& settings, const std::vector<Index>& sizes,
                                 const std::vector<Reading>& readings, Index score_from) {
    MemoryCurveOptions options{
        .conditions = {}, .window = settings.length, .scored_windows = settings.places, .score_from = score_from};
    for (const Index size : sizes)
        for (const Reading& reading : readings) options.conditions.push_back(reading.with(size));
    return options;
}

MemoryCurve measured_curve(Transformer<float>& model, const std::vector<TokenDocument>& documents,
                           const std::vector<TokenDocument>& before, MemoryCurveOptions options, const std::string& what) {
    std::optional<Progress> bar;
    options.progress = [&](Index done, Index all) {
        stop_if_interrupted("trained models are kept; the same command measures again");
        if (!bar) bar.emplace(message("measure ", what), all);
        bar->update(done);
    };
    return memory_curve(model, documents, before, options);
}

Estimate MemoryCurves::bits_per_byte(const std::string& model, const MemoryCondition& at) const {
    return over_seeds(each(model, [&](const MemoryCurve& curve) { return curve.at(at).bits_per_byte(bootstrap_seed); }));
}

std::vector<Estimate> MemoryCurves::differences(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                                                const MemoryCondition& at_b) const {
    std::vector<Estimate> of_each;
    for (std::size_t s = 0; s < of_seeds(a).size(); ++s)
        of_each.push_back(bits_per_byte_difference(of_seeds(a)[s].at(at_a), of_seeds(b)[s].at(at_b), bootstrap_seed));
    return of_each;
}

Estimate MemoryCurves::difference(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                                  const MemoryCondition& at_b) const {
    return over_seeds(differences(a, at_a, b, at_b));
}

Table MemoryCurves::csv(std::uint64_t first_seed) const {
    Table csv({"model", "seed", "scope", "memory_tokens", "top_k", "bits_per_byte", "low", "high", "perplexity"});
    for (const std::string& model : std::set(models().begin(), models().end()))
        for (std::size_t s = 0; s < of_seeds(model).size(); ++s)
            for (const auto& [at, meter] : of_seeds(model)[s]) {
                const Estimate bits = meter.bits_per_byte(bootstrap_seed);
                csv.add(model, first_seed + s, at.scope == MemoryScope::single_document ? "single" : "multi", at.tokens, at.top_k,
                        bits, meter.perplexity(bootstrap_seed).value);
            }
    return csv;
}

}  // namespace fot::examples
