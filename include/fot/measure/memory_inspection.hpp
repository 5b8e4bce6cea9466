/// What a memory layer looks at while it reads a window: for each token and head the entries it found, where they come from, and
/// how sharply it prefers them.
///
/// A loss says whether a memory helps; this shows which of its entries are looked at. It is inference on one window of one text,
/// and leaves the memory as it was.
///
/// Source: paper appendix B.4, Table 7 (retrieved keys, their kNN and Focus scores), here for any text.
/// Read first: model/inference.hpp, measure/retrieval.hpp.   Read next: examples/inspect_memory.cpp.
#pragma once

#include "fot/core/largest.hpp"
#include "fot/measure/retrieval.hpp"
#include "fot/model/inference.hpp"

namespace fot {

/// An entry of the memory that a query found.
struct InspectedEntry {
    Index entry;       ///< its number in the memory, 0 the oldest
    Index document;    ///< the document it was marked with
    Index tokens_ago;  ///< how far before the query it was read, in tokens of the whole stream
    double knn_score;  ///< its share of the attention to the entries that were found
};

/// What one token looked at with one head.
struct InspectedQuery {
    double memory_mass = 0;             ///< share of the attention that went to what was found, the rest went to the local context
    double focus_score = 0;             ///< of the best entry among its 64 neighbours in the memory
    std::vector<InspectedEntry> found;  ///< best first
};

/// The queries of a window of tokens (1,T) with the memory as it is: result [token][head]. The memory is not changed.
///
/// `memory_mass` is the gate with which the layer joins memory and local context: in one softmax the share of what was found.
/// Errors: ConfigError unless `layer` is a memory layer, or if top_k < 1; as window_with_memory otherwise.
template <class Real>
std::vector<std::vector<InspectedQuery>> inspect_window(const Transformer<Real>& model, Index layer, const Tokens& tokens,
                                                        MemoryState<Real>& state, Index top_k = 32) {
    require<ConfigError>(layer >= 0 && layer < model.config().layers && model.config().is_memory_layer(layer),
                         "inspect_window: layer ", layer, " of ", model.config().layers, " is not a memory layer");
    require<ConfigError>(top_k >= 1, "inspect_window: top_k ", top_k, ", expected 1 or more");
    require<ShapeError>(extent(tokens, 0) == 1, "inspect_window: ", extent(tokens, 0), " batch entries, expected 1");
    Tape tape(Tape::inference);
    state.require_fits("inspect_window", model.config(), 1);
    const MemorySource<Real> source(state, top_k);
    const Variable<Real, 3> x = model.layers(tape, model.embed(tape, tokens), 0, layer, source);
    const LayerView<Real> view = model.layer(layer).view(tape, x, source);
    const Tensor<Real, 4>& q = view.q.value();
    const Index queries = extent(q, 1), heads = extent(q, 2), width = extent(q, 3);
    const KeyValueMemory<Real>& memory = state.memory(layer, 0);
    const Index group = heads / memory.heads();
    std::vector<std::vector<InspectedQuery>> result(static_cast<std::size_t>(queries),
                                                    std::vector<InspectedQuery>(static_cast<std::size_t>(heads)));
    if (memory.size() == 0) return result;

    const RetrievedEntries<Real> retrieved = memory.retrieve(q, 0, top_k);
    const FoundEntries<Real>& found = retrieved.found;
    AttentionResult<Real> to_found = detail::unwritten_result<Real>({q, q, q});
    found_attention(memory, found, 0, to_found);
    const Attention<Real> local = causal_attention(tape, view.q, view.local_k, view.v), further = as_constant(std::move(to_found));
    const Variable<Real, 3> gate = model.layer(layer).joining->logits(tape, view, local, further);
    const Index kept = extent(found.scores, 2);
    for (Index t = 0; t < queries; ++t)
        for (Index h = 0; h < heads; ++h) {
            InspectedQuery& query = element(element(result, t), h);
            query.memory_mass = detail::logistic(static_cast<double>(gate.value()(0, t, h)));
            const Real* scores = row(found.scores, t, h);
            const std::vector<double> shares = knn_scores(std::span(scores, static_cast<std::size_t>(kept)));
            for (Index j = 0; j < kept; ++j) {
                const Index entry = found.indices(t, h, j);
                query.found.push_back({entry, retrieved.documents(t, h, j), memory.size() - entry + t, element(shares, j)});
            }
            // The keys around the best entry.
            const Index best = query.found[0].entry, first = std::max<Index>(best - focus_reach, 0),
                        last = std::min(best + focus_reach + 1, memory.size());
            Tensor<Real, 2> keys = empty<Real, 2>({last - first, width});
            memory.for_each_block(h / group, first, last, [&](const auto& block, const auto&, Index entry) {
                for (Index i = 0; i < block.rows; ++i)
                    std::copy_n(block.data + i * block.leading, width, row(keys, entry - first + i));
            });
            const Real* q_th = row(q, Index(0), t, h);
            query.focus_score = focus_score(std::span(q_th, static_cast<std::size_t>(width)), keys, best - first);
        }
    return result;
}

}  // namespace fot
