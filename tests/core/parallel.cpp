#include "fot/core/parallel.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <limits>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/with_threads.hpp"

using namespace fot;
using testing::WithThreads;

TEST_CASE("every iteration runs exactly once") {
    for (const Index thread_count : {1, 2, 3, 40}) {
        const WithThreads scope(thread_count);
        for (const Index count : {0, 1, 2, 7, 1000}) {
            std::vector<int> visits(static_cast<std::size_t>(count));
            parallel_for(count, [&](Index i) { ++visits[static_cast<std::size_t>(i)]; });
            CHECK(visits == std::vector<int>(static_cast<std::size_t>(count), 1));
        }
    }
}

TEST_CASE("the number of threads holds for the whole program, also for threads that begin later") {
    for (const Index count : {1, 3}) {
        const WithThreads scope(count);
        Index there = 0;
        std::vector<int> visits(100);
        std::thread([&] {
            there = threads();
            parallel_for(length_of(visits), [&](Index i) { ++element(visits, i); });
        }).join();
        CHECK(there == threads());
        CHECK(visits == std::vector<int>(100, 1));
    }
}

TEST_CASE("a negative count runs nothing") {
    int calls = 0;
    parallel_for(-3, [&](Index) { ++calls; });
    parallel_slices(-3, 2, [&](Index, Index) { ++calls; });
    CHECK(calls == 0);
}

TEST_CASE("slices cover the range exactly, each of one grain but the last") {
    for (const Index thread_count : {1, 2, 40}) {
        const WithThreads scope(thread_count);
        for (const Index count : {0, 1, 2, 3, 10, 64, 65})
            for (const Index grain : {1, 2, 3, 64, 1000}) {
                std::vector<int> visits(static_cast<std::size_t>(count));
                std::atomic<int> wrong = 0;
                parallel_slices(count, grain, [&](Index first, Index last) {
                    wrong += first % grain != 0 || first >= last || last > count || (last - first != grain && last != count);
                    for (Index i = first; i < last; ++i) ++visits[static_cast<std::size_t>(i)];
                });
                CHECK(visits == std::vector<int>(static_cast<std::size_t>(count), 1));
                CHECK(wrong == 0);
            }
    }
}

TEST_CASE("a grain below 1 is 1, and one of any size makes a single slice") {
    for (const Index grain : {Index{0}, Index{-4}}) {
        std::atomic<int> slices = 0;
        parallel_slices(5, grain, [&](Index first, Index last) { slices += last - first == 1; });
        CHECK(slices == 5);
    }
    std::vector<Index> seen;
    parallel_slices(5, std::numeric_limits<Index>::max(), [&](Index first, Index last) { seen.assign({first, last}); });
    CHECK(seen == std::vector<Index>{0, 5});
}

TEST_CASE("sums over slices are the same for 1 and 2 threads") {
    const auto sum = [](Index thread_count) {
        const WithThreads scope(thread_count);
        std::vector<float> partial(100);
        parallel_slices(100'000, 1000, [&](Index first, Index last) {
            float& slice = partial[static_cast<std::size_t>(first / 1000)];
            for (Index i = first; i < last; ++i) slice += 1.0f / static_cast<float>(i + 1);
        });
        float total = 0;
        for (const float slice : partial) total += slice;
        return total;
    };
    CHECK(sum(1) == sum(2));
    CHECK(sum(1) == sum(3));
}

TEST_CASE("an exception of the body comes out of the loop") {
    for (const Index thread_count : {1, 2, 40}) {
        const WithThreads scope(thread_count);
        const auto failing = [](Index i) { require<DataError>(i != 37, "iteration ", i); };
        CHECK_THROWS_WITH_AS(parallel_for(100, failing), "iteration 37", DataError);
        CHECK_THROWS_WITH_AS(parallel_slices(100, 10,
                                             [&](Index first, Index last) {
                                                 for (Index i = first; i < last; ++i) failing(i);
                                             }),
                             "iteration 37", DataError);
        CHECK_THROWS_WITH_AS(parallel_for(1, [](Index) { throw std::runtime_error("alone"); }), "alone", std::runtime_error);
        CHECK_THROWS_AS(parallel_for(50, [](Index) { throw std::runtime_error("all"); }), std::runtime_error);
        int calls = 0;
        parallel_for(1, [&](Index) { ++calls; });  // and the next loop runs as ever
        CHECK(calls == 1);
    }
}

TEST_CASE("a loop within a loop runs on the calling thread, and its exceptions come out, too") {
    const WithThreads scope(2);
    std::vector<int> visits(8 * 16);
    std::vector<char> inside(8), outside_thread(8);
    parallel_for(8, [&](Index i) {
        inside[static_cast<std::size_t>(i)] = in_parallel();
        std::vector<Index> order;  // not protected: one thread only
        parallel_for(16, [&](Index j) {
            order.push_back(j);
            ++visits[static_cast<std::size_t>(i * 16 + j)];
        });
        for (Index j = 0; j < 16; ++j) outside_thread[static_cast<std::size_t>(i)] |= order[static_cast<std::size_t>(j)] != j;
    });
    CHECK(visits == std::vector<int>(8 * 16, 1));
    CHECK(outside_thread == std::vector<char>(8, 0));
#ifdef _OPENMP
    CHECK(inside == std::vector<char>(8, 1));
#endif
    CHECK_FALSE(in_parallel());
    CHECK_THROWS_WITH_AS(
        parallel_for(4, [](Index i) { parallel_for(4, [i](Index j) { require<DataError>(i != 2 || j != 3, "inner"); }); }), "inner",
        DataError);
}

TEST_CASE("the number of threads can be set") {
    const WithThreads scope(2);
#ifdef _OPENMP
    CHECK(threads() == 2);
    set_threads(3);
    CHECK(threads() == 3);
#else
    CHECK(threads() == 1);
#endif
    CHECK_THROWS_WITH_AS(set_threads(0), "set_threads: 0 threads, expected 1 ... 4096", ConfigError);
    CHECK_THROWS_AS(set_threads(Index(1) << 32), ConfigError);
    CHECK_THROWS_WITH_AS(set_threads(-2), "set_threads: -2 threads, expected 1 ... 4096", ConfigError);
}
