/// Curves of bits per byte over memory sizes: of several models, of several seeds, on the same documents.
///
/// Read first: support/memory_options.hpp.   Read next: support/memory_reports.hpp.
#pragma once

#include "measurements.hpp"
#include "memory_options.hpp"

namespace fot::examples {

/// How a model reads, whatever the size of its memory.
struct Reading {
    MemoryScope scope = MemoryScope::multi_document;
    Index top_k = 128;
    bool bare = false;                               ///< no memory, whatever the size that others have
    Index most = std::numeric_limits<Index>::max();  ///< the most tokens, likewise

    MemoryCondition with(Index tokens) const { return {scope, bare ? 0 : std::min(tokens, most), top_k}; }
    bool operator==(const Reading&) const = default;
};

/// Every memory size, read in each of the ways.
MemoryCurveOptions curve_options(const TextSettings& settings, const std::vector<Index>& sizes,
                                 const std::vector<Reading>& readings, Index score_from = 0);

/// One model under all conditions.
using MemoryCurve = std::map<MemoryCondition, PerplexityMeter>;

/// Measures a model, with a progress bar; Ctrl-C leaves.
MemoryCurve measured_curve(Transformer<float>& model, const std::vector<TokenDocument>& documents,
                           const std::vector<TokenDocument>& before, MemoryCurveOptions options, const std::string& what);

/// Curves of models.
class MemoryCurves : public Measurements<MemoryCurve> {
   public:
    using Measurements<MemoryCurve>::has;
    bool has(const std::string& model, const MemoryCondition& at) const { return of_seeds(model).front().contains(at); }

    /// Bits per byte: the median of the seeds; the interval is over seeds, with fewer than three of them over documents.
    Estimate bits_per_byte(const std::string& model, const MemoryCondition& at) const;

    /// Bits per byte of a minus b on the same documents, seed by seed (of models that began alike): below 0 where a is better.
    /// Intervals are over documents.
    std::vector<Estimate> differences(const std::string& a, const MemoryCondition& at_a, const std::string& b,
                                      const MemoryCondition& at_b) const;

    /// The same of all seeds together, as bits_per_byte.
    Estimate difference(const std::string& a, const MemoryCondition& at_a, const std::string& b, const MemoryCondition& at_b) const;

    /// Rows of (model, seed, scope, memory tokens, top_k, bits per byte, interval over documents), for a CSV file.
    Table csv(std::uint64_t first_seed) const;

   private:
    static constexpr std::uint64_t bootstrap_seed = 1;
};

}  // namespace fot::examples
