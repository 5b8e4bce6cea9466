/// Approximate search in a graph of keys: a walk from key to key, always towards better ones (HNSW: Malkov and Yashunin 2018).
///
///     build    each key is joined with some of the best keys found for it; a few of them are also on sparser levels above
///     find     from the top level down, go to the best neighbour; at the bottom keep the `breadth` best keys seen, and
///              look at the neighbours of the best one not yet looked at, until none of them is better than the worst kept
///
/// The graph is hnswlib's, with the inner product as measure; it can be made only if the program is compiled with FOT_WITH_HNSWLIB.
/// It is made for distances. With inner products of keys of different lengths a few long keys become neighbours of all others
/// (hubs), and walks end there; with keys of length one an inner product orders keys as a distance does.
///
/// Read first: memory/key_search.hpp.   Read next: memory/memory_index.hpp.
#pragma once

#include "fot/memory/key_search.hpp"

#if defined(FOT_WITH_HNSWLIB)
#define NO_MANUAL_VECTORIZATION  // with it hnswlib defines functions in its headers, so that two files that include it do not link
#include <hnswlib/hnswlib.h>
#undef NO_MANUAL_VECTORIZATION
#endif

namespace fot {

/// How a graph of keys is made and walked.
struct KeyGraphOptions {
    Index neighbours = 16;      ///< of a key on the levels above; twice as many at the bottom
    Index build_breadth = 100;  ///< keys kept in the walk that finds a new key's neighbours
    Index breadth = 128;        ///< keys kept in the walk of a query; at least k of them are
    std::uint64_t seed = 1;     ///< of the levels
};

/// True if the program was compiled with FOT_WITH_HNSWLIB: otherwise a KeyGraph cannot be made.
inline constexpr bool has_key_graph =
#if defined(FOT_WITH_HNSWLIB)
    true;
#else
    false;
#endif

#if defined(FOT_WITH_HNSWLIB)

namespace detail {

/// Inner products as hnswlib's measure, -<a, b>, which also counts those that this thread has computed.
class CountedInnerProducts : public hnswlib::SpaceInterface<float> {
   public:
    explicit CountedInnerProducts(Index width) : width_(width) {}
    std::size_t get_data_size() override { return static_cast<std::size_t>(width_) * sizeof(float); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return counted; }
    void* get_dist_func_param() override { return &width_; }

    static inline thread_local Index products = 0;

   private:
    static float counted(const void* a, const void* b, const void* width) {
        ++products;
        return -inner_product(static_cast<const float*>(a), static_cast<const float*>(b), *static_cast<const Index*>(width));
    }
    Index width_;
};

}  // namespace detail

/// A graph of keys of one head.
///
/// It is built by one thread, so that the same keys in the same order make the same graph; queries are shared among threads.
/// Cost:   to add a key takes as long as a query of breadth `build_breadth`. Holds D + 2 `neighbours` + 4 numbers a key, about.
/// Errors: ConfigError for options below 1.
class KeyGraph : public KeySearch<float> {
   public:
    /// An empty graph for keys of width D.
    explicit KeyGraph(Index width, const KeyGraphOptions& options = {})
        : width_(width),
          space_(width),
          graph_(&space_, first_room, static_cast<std::size_t>(options.neighbours), static_cast<std::size_t>(options.build_breadth),
                 options.seed) {
        require<ConfigError>(options.neighbours >= 2 && options.build_breadth >= 1, "KeyGraph: ", options.neighbours,
                             " neighbours, build breadth ", options.build_breadth, ", expected 2 or more and 1 or more");
        set_breadth(options.breadth);
    }

    /// Keeps so many keys in the walk of a query from now on.
    void set_breadth(Index breadth) {
        require<ConfigError>(breadth >= 1, "KeyGraph: breadth ", breadth, ", expected 1 or more");
        graph_.setEf(static_cast<std::size_t>(breadth));
    }

    Index size() const override { return size_; }

    void add(MatrixView<const float> keys) override {
        detail::require_width("KeyGraph::add", keys, width_);
        if (const auto needed = static_cast<std::size_t>(size_ + keys.rows); needed > graph_.max_elements_)
            graph_.resizeIndex(std::max(needed, graph_.max_elements_ + graph_.max_elements_ / 2));
        for (Index i = 0; i < keys.rows; ++i) graph_.addPoint(keys.row(i), static_cast<std::size_t>(size_++));
    }

    KeysFound<float> find(MatrixView<const float> queries, Index k) const override {
        detail::require_width("KeyGraph::find", queries, width_);
        require<ConfigError>(k >= 0, "KeyGraph::find: k = ", k, " is negative");
        KeysFound<float> found{detail::nothing_found<float>(queries.rows, std::min(k, size_))};
        if (k == 0 || size_ == 0) return found;
        std::vector<Index> scored(static_cast<std::size_t>(queries.rows));
        parallel_slices(queries.rows, 8, [&](Index first, Index last) {
            for (Index n = first; n < last; ++n) {
                const Index before = detail::CountedInnerProducts::products;
                TopK<float> best(k);
                for (auto walked = graph_.searchKnn(queries.row(n), static_cast<std::size_t>(k)); !walked.empty(); walked.pop())
                    best.offer(-walked.top().first, static_cast<Index>(walked.top().second));
                best.write(n, found.best);
                element(scored, n) = detail::CountedInnerProducts::products - before;
            }
        });
        for (const Index of_query : scored) found.scored += of_query;
        return found;
    }

   private:
    static constexpr std::size_t first_room = 1024;  // keys

    Index width_, size_ = 0;
    detail::CountedInnerProducts space_;
    hnswlib::HierarchicalNSW<float> graph_;
};

#endif

}  // namespace fot
