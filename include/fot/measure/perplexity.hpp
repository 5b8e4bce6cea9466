/// Perplexity and bits per byte on held-out documents, with bootstrap intervals over documents.
///
///     perplexity    = exp(sum of nats / sum of tokens)              depends on the vocabulary
///     bits per byte = sum of nats / (ln 2 * sum of bytes)           compares models of different vocabularies
///
/// A model's loss is summed per document, in nats, beside the number of tokens it predicted and of the bytes they stand for. One
/// meter per condition: one model, one memory size, single-document or multi-document.
///
/// Source: paper Tables 3, 8, 10, 11 and Figures 4 to 9 (perplexity). Bits per byte are ours; for bytes as tokens they are log2 of
/// the perplexity.
/// Read first: measure/intervals.hpp.   Read next: measure/memory_curve.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "fot/measure/intervals.hpp"

namespace fot {

/// The loss of one document.
struct DocumentLoss {
    double nats = 0;   ///< summed over its tokens
    Index tokens = 0;  ///< predicted
    Index bytes = 0;   ///< that they stand for
};

/// Sums losses per document and turns them into perplexity and bits per byte.
class PerplexityMeter {
   public:
    /// Adds a window's loss to its document: the sum (not the mean) over `tokens` predicted tokens that stand for `bytes` bytes.
    ///
    /// A document may come in any number of windows, and documents in any order.
    /// Errors: DataError if tokens < 1, bytes < 0 or document < 0; NumericError if nats is not finite.
    void add(Index document, double nats, Index tokens, Index bytes) {
        require<DataError>(document >= 0, "PerplexityMeter::add: document ", document, " is negative");
        require<DataError>(tokens >= 1 && bytes >= 0, "PerplexityMeter::add: document ", document, " has ", tokens, " tokens, ",
                           bytes, " bytes, expected 1 or more and 0 or more");
        require<NumericError>(std::isfinite(nats), "PerplexityMeter::add: the loss of document ", document, " is ", nats);
        DocumentLoss& loss = losses_[document];
        loss.nats += nats;
        loss.tokens += tokens;
        loss.bytes += bytes;
    }

    /// The same for a byte-level model: a token is a byte.
    void add(Index document, double nats, Index tokens) { add(document, nats, tokens, tokens); }

    /// Number of documents.
    Index documents() const { return static_cast<Index>(losses_.size()); }
    /// Losses by the document's number.
    const std::map<Index, DocumentLoss>& losses() const { return losses_; }

    /// sum nats / sum tokens.   Errors: DataError without documents.
    Estimate nats_per_token(std::uint64_t seed) const { return bootstrap_ratio(nats(), tokens(), seed); }

    /// exp(sum nats / sum tokens); its interval is that of the exponent, carried over.
    Estimate perplexity(std::uint64_t seed) const {
        const Estimate loss = nats_per_token(seed);
        return {std::exp(loss.value), {std::exp(loss.interval.low), std::exp(loss.interval.high)}};
    }

    /// sum nats / (ln 2 * sum bytes).   Errors: DataError without documents; NumericError if a document has no bytes.
    Estimate bits_per_byte(std::uint64_t seed) const { return bootstrap_ratio(nats(), bytes(), seed, 1 / std::log(2.0)); }

    /// Of each document, by ascending number: its summed loss.
    std::vector<double> nats() const { return column(&DocumentLoss::nats); }
    /// Likewise: its tokens.
    std::vector<double> tokens() const { return column(&DocumentLoss::tokens); }
    /// Likewise: its bytes.
    std::vector<double> bytes() const { return column(&DocumentLoss::bytes); }

   private:
    template <class Number>
    std::vector<double> column(Number DocumentLoss::*member) const {
        std::vector<double> values;
        for (const auto& [document, loss] : losses_) values.push_back(static_cast<double>(loss.*member));
        return values;
    }

    std::map<Index, DocumentLoss> losses_;
};

/// The indices of the windows of a document that are predicted: `count` of the whole ones that begin at token `from` or later,
/// evenly spread, the last one among them. (A prediction needs the token after it, so the last token of a document is in no
/// window.)
inline std::vector<Index> scored_windows(Index length, Index window, Index count, Index from = 0) {
    require<ConfigError>(window >= 1 && count >= 1 && from >= 0, "scored_windows: ", count, " windows of ", window,
                         " tokens from token ", from, " on, expected 1 or more of the first two and 0 or more of the last");
    const Index skipped = from / window + (from % window > 0), whole = std::max<Index>(length - 1, 0) / window,
                there = std::max<Index>(whole - skipped, 0), chosen = std::min(count, there);
    std::vector<Index> numbers;
    for (Index i = 1; i <= chosen; ++i) numbers.push_back(skipped + there * i / chosen - 1);
    return numbers;
}

/// Bits per byte of `a` minus those of `b` on the same documents (paired bootstrap).
///
/// Errors: DataError unless both have read as many tokens and bytes of the same documents; NumericError if a document has no bytes.
inline Estimate bits_per_byte_difference(const PerplexityMeter& a, const PerplexityMeter& b, std::uint64_t seed) {
    require<DataError>(a.documents() == b.documents(), "bits_per_byte_difference: ", a.documents(), " documents against ",
                       b.documents());
    for (const auto& [document, loss] : a.losses()) {
        const auto other = b.losses().find(document);
        require<DataError>(other != b.losses().end(), "bits_per_byte_difference: only one has read document ", document);
        require<DataError>(loss.tokens == other->second.tokens && loss.bytes == other->second.bytes,
                           "bits_per_byte_difference: document ", document, " has ", loss.tokens, " tokens, ", loss.bytes,
                           " bytes against ", other->second.tokens, ", ", other->second.bytes);
    }
    return bootstrap_ratio_difference(a.nats(), b.nats(), a.bytes(), seed, 1 / std::log(2.0));
}

}  // namespace fot
