/// Documents -> batches as the released code packs them.
///
/// It has no previous contexts: rows of one batch see earlier rows, and what they hold is decided by how documents are packed.
/// `LinearPipeline` ("linear") and `DocumentAwarePipeline` ("doc_aware", "doc_aware_k") pack exactly as it does.
///
/// Source: the released training code.
/// Read first: data/documents.hpp.   Read next: attention/contexts.hpp (packed_contexts).
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fot/data/text.hpp"

namespace fot {

/// Hands out documents one by one; nothing at the end.
using DocumentStream = std::function<std::optional<TokenDocument>()>;

/// The documents in order, once or (`cyclic`) again and again; those shorter than `min_length` tokens are left out.
/// Errors: DataError if a cyclic stream would hold no token.
inline DocumentStream document_stream(std::vector<TokenDocument> documents, bool cyclic, Index min_length = 0) {
    std::erase_if(documents, [&](const TokenDocument& document) { return document.length() < min_length; });
    const bool any = std::any_of(documents.begin(), documents.end(), [](const TokenDocument& d) { return d.length() > 0; });
    require<DataError>(!cyclic || any, "document_stream: ", documents.size(), " documents have ", min_length,
                       " tokens or more, expected one with any token");
    return [documents = std::move(documents), cyclic, next = std::size_t{0}]() mutable -> std::optional<TokenDocument> {
        if (next == documents.size() && cyclic) next = 0;
        if (next == documents.size()) return std::nullopt;
        return documents[next++];
    };
}

/// The released code's loss mask: 0 for the first token (bos), 0 for the next `no_loss_prefix_tokens`, else 1.
/// Errors: ConfigError if a number is negative.
inline std::vector<float> prefix_loss_mask(Index length, Index no_loss_prefix_tokens = 0) {
    require<ConfigError>(length >= 0 && no_loss_prefix_tokens >= 0, "prefix_loss_mask: ", no_loss_prefix_tokens, " of ", length,
                         " tokens, expected 0 or more of both");
    std::vector<float> mask(static_cast<std::size_t>(length), 1.f);
    std::fill_n(mask.begin(), length > no_loss_prefix_tokens ? no_loss_prefix_tokens + 1 : length, 0.f);
    return mask;
}

/// A batch of the released code, and what has gone into it.
template <class Real>
struct PackedBatch {
    Tokens previous;                                 ///< (0,T): the packed form has no contexts of an earlier pass
    Tokens current;                                  ///< (B,T)
    Tokens targets;                                  ///< (B,T) the tokens that follow
    Tensor<Real, 2> mask;                            ///< (B,T) what the target counts in the loss
    Index documents_taken = 0;                       ///< from the stream so far (dataset_example_index)
    Index total_tokens = 0;                          ///< inputs so far, this batch included (dataset_total_tokens)
    std::map<std::string, Index> tokens_per_source;  ///< inputs of this batch; "doc_aware" only
};

namespace detail {

/// Tokens that wait to become a batch, with their masks; taken from the front.
struct TokenQueue {
    std::vector<std::int32_t> tokens;
    std::vector<float> mask;
    std::size_t first = 0;

    Index size() const { return static_cast<Index>(tokens.size() - first); }

    void append(const TokenDocument& document) {
        fot::require_valid(document);
        tokens.erase(tokens.begin(), tokens.begin() + static_cast<Index>(first));
        mask.erase(mask.begin(), mask.begin() + static_cast<Index>(first));
        first = 0;
        tokens.insert(tokens.end(), document.tokens.begin(), document.tokens.end());
        for (Index t = 0; t < document.length(); ++t) mask.push_back(document.mask_at(t));
    }

    /// Takes `count` inputs; the target of the last one stays, as the first input of the next call.
    template <class Real>
    void take(Index count, std::int32_t* input, std::int32_t* target, Real* target_mask) {
        std::copy_n(tokens.data() + first, count, input);
        std::copy_n(tokens.data() + first + 1, count, target);
        std::transform(mask.data() + first + 1, mask.data() + first + 1 + count, target_mask,
                       [](float m) { return static_cast<Real>(m); });
        first += static_cast<std::size_t>(count);
    }
};

template <class Real>
PackedBatch<Real> empty_packed_batch(Index entries, Index length) {
    return {empty<std::int32_t, 2>({0, length}),
            empty<std::int32_t, 2>({entries, length}),
            empty<std::int32_t, 2>({entries, length}),
            empty<Real, 2>({entries, length}),
            0,
            0,
            {}};
}

}  // namespace detail

/// "linear": documents one after another, cut into batches of B T tokens without regard to where they end.
/// Errors: ConfigError for B or T below 1, or no stream.
class LinearPipeline {
   public:
    /// B entries of T = `length` tokens a batch.
    LinearPipeline(DocumentStream stream, Index entries, Index length)
        : stream_(std::move(stream)), entries_(entries), length_(length) {
        require<ConfigError>(entries >= 1 && length >= 1, "LinearPipeline: ", entries, " entries of ", length,
                             " tokens, expected 1 or more of both");
        require<ConfigError>(stream_ != nullptr, "LinearPipeline: there is no stream of documents");
    }

    /// The next batch; none when the stream does not fill one any more.
    template <class Real>
    std::optional<PackedBatch<Real>> next() {
        const Index chunk = entries_ * length_;
        while (queue_.size() < chunk + 1) {
            const std::optional<TokenDocument> document = stream_();
            if (!document) return std::nullopt;
            ++documents_taken_;
            queue_.append(*document);
        }
        PackedBatch<Real> batch = detail::empty_packed_batch<Real>(entries_, length_);
        queue_.take(chunk, batch.current.data(), batch.targets.data(), batch.mask.data());
        batch.documents_taken = documents_taken_;
        batch.total_tokens = total_tokens_ += chunk;
        return batch;
    }

   private:
    DocumentStream stream_;
    Index entries_, length_, documents_taken_ = 0, total_tokens_ = 0;
    detail::TokenQueue queue_;
};

/// "doc_aware": each batch index is filled from documents of its own, one after another; the next document of the stream goes
/// to the first index that runs short. "doc_aware_k" (`packing` k): k successive rows are one such index with windows k times as
/// long, so that row j of a pack follows row j - 1 in the document.
///
/// A document's end may lie within a row; with `pad` it never does: documents are filled up with zeros that do not count, to a
/// multiple of k T, and no first token is a target that counts.
/// Errors: ConfigError for B, T or k below 1, B that is not a multiple of k, or no stream.
class DocumentAwarePipeline {
   public:
    /// B entries of T = `length` tokens a batch.
    DocumentAwarePipeline(DocumentStream stream, Index entries, Index length, Index packing = 1, bool pad = false)
        : stream_(std::move(stream)), entries_(entries), length_(length), packing_(packing), pad_(pad) {
        require<ConfigError>(entries >= 1 && length >= 1 && packing >= 1, "DocumentAwarePipeline: ", entries, " entries of ",
                             length, " tokens with packing ", packing, ", expected 1 or more of each");
        require<ConfigError>(entries % packing == 0, "DocumentAwarePipeline: ", entries,
                             " entries are not a multiple of the packing ", packing);
        require<ConfigError>(stream_ != nullptr, "DocumentAwarePipeline: there is no stream of documents");
        slots_.resize(static_cast<std::size_t>(entries / packing));
    }

    /// The next batch; none when the stream cannot fill every index any more.
    template <class Real>
    std::optional<PackedBatch<Real>> next() {
        for (Slot& slot : slots_)
            while (slot.queue.size() < window() + 1)
                if (!take_document(slot)) return std::nullopt;
        PackedBatch<Real> batch = detail::empty_packed_batch<Real>(entries_, length_);
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            const Index first_row = static_cast<Index>(i) * packing_;
            slots_[i].queue.take(window(), row(batch.current, first_row), row(batch.targets, first_row),
                                 row(batch.mask, first_row));
            count_sources(slots_[i], batch.tokens_per_source);
        }
        batch.documents_taken = documents_taken_;
        batch.total_tokens = total_tokens_ += entries_ * length_;
        return batch;
    }

   private:
    struct Slot {
        detail::TokenQueue queue;
        std::deque<std::pair<std::string, Index>> sources;  // of the tokens in the queue: source, how many
    };

    Index window() const { return packing_ * length_; }

    bool take_document(Slot& slot) {
        std::optional<TokenDocument> document = stream_();
        if (!document) return false;
        ++documents_taken_;
        fot::require_valid(*document);
        if (pad_ && document->length() > 0) {
            const auto padded = static_cast<std::size_t>((document->length() + window() - 1) / window() * window());
            document->loss_mask.resize(document->tokens.size(), 1.f);
            document->loss_mask.front() = 0;
            document->tokens.resize(padded, 0);
            document->loss_mask.resize(padded, 0.f);
        }
        slot.queue.append(*document);
        if (document->length() > 0) slot.sources.emplace_back(document->source, document->length());
        return true;
    }

    void count_sources(Slot& slot, std::map<std::string, Index>& tokens_per_source) const {
        for (Index left = window(); left > 0;) {
            auto& [source, remaining] = slot.sources.front();
            const Index taken = std::min(left, remaining);
            tokens_per_source[source] += taken;
            left -= taken;
            remaining -= taken;
            if (remaining == 0) slot.sources.pop_front();
        }
    }

    DocumentStream stream_;
    Index entries_, length_, packing_;
    bool pad_;
    std::vector<Slot> slots_;
    Index documents_taken_ = 0, total_tokens_ = 0;
};

}  // namespace fot
