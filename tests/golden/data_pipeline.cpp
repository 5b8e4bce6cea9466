/// Kind `data_pipeline`: documents -> batches as the released code packs them ("linear", "doc_aware", "doc_aware_k<N>"), exactly.
///
/// Read first: data/documents.hpp.   Read next: golden/optimizer.cpp.
#include <type_traits>

#include "golden/packed_documents.hpp"
#include "golden/golden.hpp"

namespace fot::golden {

namespace {

/// The stored documents. Document i is from source i mod the number of sources.
std::vector<TokenDocument> read_documents(Case& golden) {
    const auto tokens = golden.numbers<std::int32_t>("docs_flat");
    const auto lengths = golden.numbers<std::int32_t>("docs_len");
    const auto sources = golden.config().at("sources").get<std::vector<std::string>>();
    require<DataError>(!sources.empty(), "config has no sources");
    std::vector<TokenDocument> documents;
    Index start = 0;
    for (const std::int32_t length : lengths) {
        require<DataError>(length >= 0 && start + length <= static_cast<Index>(tokens.size()),
                           "'docs_len' adds up to more than the ", tokens.size(), " tokens of 'docs_flat'");
        documents.push_back({sources[documents.size() % sources.size()],
                             {tokens.begin() + start, tokens.begin() + start + length},
                             prefix_loss_mask(length, golden.config().at("no_loss_prefix_tokens").get<Index>())});
        start += length;
    }
    require<DataError>(start == static_cast<Index>(tokens.size()), "'docs_len' adds up to ", start, ", 'docs_flat' has ",
                       tokens.size(), " tokens");
    return documents;
}

/// Draws as many batches as are stored and compares everything in them.
template <class Pipeline>
void check(Case& golden, Pipeline pipeline) {
    const std::vector<Index>& stored = golden.shape("input_tokens");
    std::vector<std::int32_t> input, target;
    std::vector<float> mask;
    std::vector<std::int64_t> documents_taken, total_tokens;
    std::vector<std::map<std::string, Index>> sources;
    for (Index i = 0; i < (stored.empty() ? 0 : stored[0]); ++i) {
        const std::optional<PackedBatch<float>> batch = pipeline.template next<float>();
        if (!batch) return golden.fail("the pipeline ended after " + std::to_string(i) + " batches");
        input.insert(input.end(), batch->current.storage().begin(), batch->current.storage().end());
        target.insert(target.end(), batch->targets.storage().begin(), batch->targets.storage().end());
        mask.insert(mask.end(), batch->mask.storage().begin(), batch->mask.storage().end());
        documents_taken.push_back(batch->documents_taken);
        total_tokens.push_back(batch->total_tokens);
        sources.push_back(batch->tokens_per_source);
    }
    golden.compare_exactly("input_tokens", input.data(), static_cast<Index>(input.size()));
    golden.compare_exactly("target_tokens", target.data(), static_cast<Index>(target.size()));
    golden.compare_exactly("loss_masks", mask.data(), static_cast<Index>(mask.size()));
    golden.compare_exactly("dataset_example_index", documents_taken.data(), static_cast<Index>(documents_taken.size()));
    golden.compare_exactly("dataset_total_tokens", total_tokens.data(), static_cast<Index>(total_tokens.size()));

    if (!golden.entry().contains("tokens_per_source")) return;
    const auto stated = golden.entry()["tokens_per_source"].get<std::vector<std::map<std::string, Index>>>();
    const auto differs = std::mismatch(stated.begin(), stated.end(), sources.begin(), sources.end());
    if (differs.first != stated.end() || differs.second != sources.end())
        golden.fail("tokens_per_source differs from batch " + std::to_string(differs.first - stated.begin()) + " on");
}

}  // namespace

void check_data_pipeline(Case& golden) {
    const Json& config = golden.config();
    if (golden.entry().at("tolerance") != "exact") golden.fail("tolerance is not \"exact\"");
    const DocumentStream stream = document_stream(read_documents(golden), true, config.at("min_example_length").get<Index>());
    const Index entries = config.at("batch_size").get<Index>(), length = config.at("seq_len").get<Index>();
    const std::string name = config.at("pipeline").get<std::string>();
    const bool pad = config.value("pad", false);
    if (name == "linear")
        check(golden, LinearPipeline(stream, entries, length));
    else if (name == "doc_aware")
        check(golden, DocumentAwarePipeline(stream, entries, length, 1, pad));
    else if (name.starts_with("doc_aware_k"))
        check(golden, DocumentAwarePipeline(stream, entries, length, config.at("k").get<Index>(), pad));
    else
        golden.fail("unknown pipeline '" + name + "'");
}

}  // namespace fot::golden
