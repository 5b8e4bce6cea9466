/// What can the memory do on its own?   A commented walk-through.
///
/// Time:    under a second.
/// Command: build/release/examples/exact_memory_tour
/// Expect:  exact top-k with ties to the lower index, the same from a stream of blocks; what the top k leave out; bytes in
///          bfloat16.
#include "fot/core/random.hpp"
#include "fot/measure/retrieval.hpp"
#include "fot/memory/exact_search.hpp"
#include "fot/memory/key_value_memory.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

int main(int argc, char** argv) try {
    Example example(argc, argv, "What can the memory do on its own?");
    example.parse();
    std::ostream& out = example.out();
    Random random(example.seed());

    // 1. One call, no index to build: the k keys of largest inner product with each query. Keys 0 and 3 are equal: the lower
    //    index comes first.
    Tensor<float, 2> few = zeros<float, 2>({4, 2});
    few(0, 0) = few(3, 0) = 1;
    few(1, 1) = 2;
    Tensor<float, 2> east = zeros<float, 2>({1, 2});
    east(0, 0) = 1;
    const SearchResult<float> small = exact_search(few, east, 10);  // k is larger than the memory: all 4 come back
    Table order({"rank", "key", "score"});
    for (Index j = 0; j < extent(small.indices, 1); ++j)
        order.add(j, small.indices(0, j), fixed(static_cast<double>(small.scores(0, j)), 1));
    out << "Four keys, k = 10\n" << order << "\n";

    // 2. A memory need not be stored to be searched: blocks of keys may come by as a stream.
    const Tensor<float, 2> keys = normal_tensor<float, 2>({20000, 32}, 1, random),
                           queries = normal_tensor<float, 2>({64, 32}, 1, random);
    const SearchResult<float> at_once = exact_search(keys, queries, 16);
    StreamingSearch<float> search(queries, 16);
    for (Index first = 0; first < 20000; first += 777)
        search.add(matrix(row(keys, first), std::min<Index>(777, 20000 - first), Index(32)), first);
    const SearchResult<float> streamed = search.result();
    const bool equal =
        std::equal(at_once.indices.data(), at_once.indices.data() + at_once.indices.size(), streamed.indices.data()) &&
        std::equal(at_once.scores.data(), at_once.scores.data() + at_once.scores.size(), streamed.scores.data());
    out << "20000 keys at once and in blocks of 777: " << (equal ? "bitwise equal" : "DIFFERENT") << "\n\n";

    // 3. What do the top k leave out? Their share of the softmax over everything says it. The scores of normal keys have a standard
    //    deviation of sqrt(D) = 5.7, and a few keys get nearly all attention. Divided by sqrt(D), attention spreads over thousands.
    const Tensor<float, 2> steep = exact_search(keys, queries, 20000).scores, even = steep / std::sqrt(32.0f);
    const std::vector<Index> ks{1, 16, 128, 1024};
    const auto kept = [&](const Tensor<float, 2>& scores) {
        Tensor<double, 1> totals = empty<double, 1>({extent(scores, 0)});
        for (Index n = 0; n < extent(scores, 0); ++n) totals(n) = log_sum_exp(row(scores, n), extent(scores, 1));
        std::vector<double> shares;
        for (const Index k : ks) shares.push_back(mean(kept_mass(scores, totals, k)));
        return shares;
    };
    const std::vector<double> of_steep = kept(steep), of_even = kept(even);
    Table shares({"k", "attention kept, scores <q, k>", "scores <q, k> / sqrt(D)"});
    for (std::size_t i = 0; i < ks.size(); ++i) shares.add(ks[i], fixed(of_steep[i]), fixed(of_even[i]));
    out << "The best of 20000 normal keys, D = 32\n" << shares << "\n";

    // 4. The memory of a layer: keys and values of two heads, each entry with its document. The oldest leave at capacity.
    KeyValueMemory<float> memory(2, 32, Storage::full, 300), compact(2, 32, Storage::bfloat16, 300);
    for (Index document = 0; document < 4; ++document) {
        const Tensor<float, 3> k = normal_tensor<float, 3>({100, 2, 32}, 1, random),
                               v = normal_tensor<float, 3>({100, 2, 32}, 1, random);
        memory.append(k, v, document);
        compact.append(k, v, document);
    }
    const RetrievedEntries<float> found = memory.retrieve(normal_tensor<float, 3>({1, 2, 32}, 1, random), 3);
    out << "400 entries offered to a memory of 300: holds " << memory.size() << ", the oldest is entry " << memory.position(0)
        << " of the stream, from document " << memory.document(0) << "\n";
    for (Index h = 0; h < 2; ++h) {
        out << "  head " << h << " retrieves from documents";
        for (Index j = 0; j < 3; ++j) out << " " << found.documents(0, h, j);
        out << "\n";
    }
    out << "  " << memory.bytes() << " bytes in float, " << compact.bytes() << " in bfloat16\n";

    example.result("streamed_equals_at_once", equal ? 1 : 0);
    example.result("kept_mass.16", of_steep[1]);
    example.result("kept_mass_scaled.16", of_even[1]);
    example.result("memory_entries", memory.size());
    return example.finish();
} catch (...) {
    return report_failure();
}
