// What a program would take in place of exact search over floats: FAISS's scalar quantisers, whose candidates are scored again in
// float ("refined"), and hnswlib's brute force. Compiled by side_by_side.sh, where FAISS and hnswlib are installed:
//
//     g++ -std=c++17 -O3 -march=native -fopenmp quantised_search.cpp -o quantised_search -lfaiss -lopenblas
//     ./quantised_search KIND [keys 1000000] [queries 256] [width 64] [k 32]     KIND: fp16, 8bit or hnswlib
//
// The data are those of benchmark_search. Prints the median of three runs, and the share of the exact k best that was found.
#include <faiss/IndexFlat.h>
#include <faiss/IndexRefine.h>
#include <faiss/IndexScalarQuantizer.h>
#include <hnswlib/hnswlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

using Indices = std::vector<faiss::Index::idx_t>;

struct Data {
    long keys, queries, width, k;
    std::vector<float> key, query;
};

template <class Search>
Indices timed(const std::string& kind, const Data& data, const Search& search) {
    Indices found(static_cast<std::size_t>(data.queries * data.k));
    std::vector<double> times;
    for (int repeat = 0; repeat <= 3; ++repeat) {  // the first one warms up
        const auto start = std::chrono::steady_clock::now();
        search(found);
        const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
        if (repeat > 0) times.push_back(taken.count());
    }
    std::sort(times.begin(), times.end());
    std::printf("result %s_search_ms %.2f\n", kind.c_str(), times[1]);
    return found;
}

Indices found_by_faiss(const std::string& kind, const Data& data, faiss::Index& index) {
    std::vector<float> scores(static_cast<std::size_t>(data.queries * data.k));
    return timed(kind, data,
                 [&](Indices& found) { index.search(data.queries, data.query.data(), data.k, scores.data(), found.data()); });
}

Indices found_by_quantiser(const std::string& kind, const Data& data) {
    const auto type = kind == "fp16" ? faiss::ScalarQuantizer::QT_fp16 : faiss::ScalarQuantizer::QT_8bit;
    faiss::IndexScalarQuantizer quantised(static_cast<int>(data.width), type, faiss::METRIC_INNER_PRODUCT);
    faiss::IndexRefineFlat refined(&quantised);
    refined.train(data.keys, data.key.data());
    refined.add(data.keys, data.key.data());
    refined.k_factor = 2;  // twice as many candidates as are wanted
    return found_by_faiss(kind, data, refined);
}

Indices found_by_hnswlib(const std::string& kind, const Data& data) {
    hnswlib::InnerProductSpace space(static_cast<std::size_t>(data.width));
    hnswlib::BruteforceSearch<float> all(&space, static_cast<std::size_t>(data.keys));
    for (long i = 0; i < data.keys; ++i) all.addPoint(data.key.data() + i * data.width, static_cast<std::size_t>(i));
    return timed(kind, data, [&](Indices& found) {
#pragma omp parallel for schedule(dynamic)
        for (long q = 0; q < data.queries; ++q) {
            auto best = all.searchKnn(data.query.data() + q * data.width, static_cast<std::size_t>(data.k));
            for (auto at = found.begin() + q * data.k; !best.empty(); best.pop())
                *at++ = static_cast<faiss::Index::idx_t>(best.top().second);
        }
    });
}

double share_of_exact(const Data& data, Indices found) {
    faiss::IndexFlatIP flat(data.width);
    flat.add(data.keys, data.key.data());
    std::vector<float> scores(found.size());
    Indices exact(found.size());
    flat.search(data.queries, data.query.data(), data.k, scores.data(), exact.data());
    long both = 0;
    for (long q = 0; q < data.queries; ++q) {
        for (Indices* each : {&found, &exact}) std::sort(each->begin() + q * data.k, each->begin() + (q + 1) * data.k);
        Indices common;
        std::set_intersection(found.begin() + q * data.k, found.begin() + (q + 1) * data.k, exact.begin() + q * data.k,
                              exact.begin() + (q + 1) * data.k, std::back_inserter(common));
        both += static_cast<long>(common.size());
    }
    return static_cast<double>(both) / static_cast<double>(found.size());
}

}  // namespace

int main(int argc, char** argv) {
    const std::string kind = argc > 1 ? argv[1] : "";
    if (kind != "fp16" && kind != "8bit" && kind != "hnswlib") {
        std::fprintf(stderr, "quantised_search: kind '%s', expected fp16, 8bit or hnswlib\n", kind.c_str());
        return 2;
    }
    const auto argument = [&](int i, long otherwise) { return argc > i ? std::atol(argv[i]) : otherwise; };
    Data data{argument(2, 1000000), argument(3, 256), argument(4, 64), argument(5, 32), {}, {}};
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    data.key.resize(static_cast<std::size_t>(data.keys * data.width));
    data.query.resize(static_cast<std::size_t>(data.queries * data.width));
    for (float& x : data.key) x = normal(engine);
    for (float& x : data.query) x = normal(engine);

    const Indices found = kind == "hnswlib" ? found_by_hnswlib(kind, data) : found_by_quantiser(kind, data);
    std::printf("result %s_recall %.4f\n", kind.c_str(), share_of_exact(data, found));
}
