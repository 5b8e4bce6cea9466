#include "fot/distributed/communicator.hpp"

#include <doctest/doctest.h>

#include "fot/distributed/thread_communicator.hpp"

using namespace fot;

TEST_CASE("all ranks gather lists of different lengths, and count what they send") {
    for (Index p = 1; p <= 5; ++p)
        run_as_ranks(p, [p](Communicator& ranks) {
            const std::vector<Index> own(static_cast<std::size_t>(ranks.rank()), 10 * ranks.rank());  // rank 0 has none
            const ByRank<Index> all = all_gather(ranks, "gather", own);
            for (Index r = 0; r < p; ++r)
                require<DataError>(element(all, r) == std::vector<Index>(static_cast<std::size_t>(r), 10 * r), "list of rank ", r);
            const Index lengths = 8 * (p - 1), lists = 8 * ranks.rank() * (p - 1);
            require<DataError>(ranks.bytes_sent("gather") == lengths + lists, "sent ", ranks.bytes_sent("gather"));
        });
}

TEST_CASE("each rank gives every other its own list") {
    run_as_ranks(4, [](Communicator& ranks) {
        ByRank<int> sent(4), received(4);
        for (int r = 0; r < 4; ++r) {
            sent[static_cast<std::size_t>(r)].assign(static_cast<std::size_t>(r),
                                                     static_cast<int>(ranks.rank()));  // r numbers for r
            received[static_cast<std::size_t>(r)].resize(static_cast<std::size_t>(ranks.rank()));
        }
        exchange_all(ranks, "all", sent, received);
        for (int r = 0; r < 4; ++r)
            for (const int number : received[static_cast<std::size_t>(r)])
                require<DataError>(number == r, "from ", r, " came ", number);
    });
}

TEST_CASE("no rank leaves a barrier before all have come") {
    for (Index p = 1; p <= 5; ++p) {
        std::atomic<Index> come = 0;
        run_as_ranks(p, [&](Communicator& ranks) {
            ++come;
            barrier(ranks);
            require<DataError>(come == p, "left when ", come.load(), " had come");
        });
    }
}

TEST_CASE("true anywhere is true everywhere") {
    run_as_ranks(3, [](Communicator& ranks) {
        require<DataError>(any_of(ranks, "any", ranks.rank() == 2) && !any_of(ranks, "any", false), "not so on rank ",
                           ranks.rank());
    });
}

TEST_CASE("ranks that were told different things hear of it, all of them") {
    std::atomic<int> errors = 0;
    run_as_ranks(3, [&](Communicator& ranks) {
        require_same(ranks, "seed", "1");
        try {
            require_same(ranks, "seed", ranks.rank() == 1 ? "2" : "1");
        } catch (const ConfigError& error) {
            if (std::string(error.what()) == "seed of rank 1 is '2', expected '1' as on rank 0") ++errors;
        }
    });
    CHECK(errors == 3);
}

TEST_CASE("what fails on one rank is an error on all, which names it") {
    std::atomic<int> others = 0, own = 0;
    run_as_ranks(3, [&](Communicator& ranks) {
        try {
            together(ranks, "reading", [&] { require<FileError>(ranks.rank() != 1, "no such file"); });
        } catch (const CommunicationError& error) {
            if (std::string(error.what()) == "reading: rank 1 failed: no such file") ++others;
        } catch (const FileError&) {
            ++own;
        }
    });
    CHECK(own == 1);
    CHECK(others == 2);
}

TEST_CASE("an error without a text is an error on all ranks") {
    std::atomic<int> others = 0;
    CHECK_THROWS_AS(run_as_ranks(2,
                                 [&](Communicator& ranks) {
                                     try {
                                         together(ranks, "reading", [&] { require<FileError>(ranks.rank() != 1, ""); });
                                     } catch (const CommunicationError&) {
                                         ++others;
                                     }
                                 }),
                    FileError);
    CHECK(others == 1);
}

TEST_CASE("who waits for a rank that has returned gets an error") {
    CHECK_THROWS_WITH_AS(run_as_ranks(2,
                                      [](Communicator& ranks) {
                                          if (ranks.rank() == 1) barrier(ranks);
                                      }),
                         "rank 1 in barrier: rank 0 has ended", CommunicationError);
}

TEST_CASE("a rank that ends with an error ends those who wait for it") {
    try {
        run_as_ranks(3, [](Communicator& ranks) {
            require<DataError>(ranks.rank() != 2, "rank 2 has had enough");
            barrier(ranks);
            barrier(ranks);
        });
        FAIL("no error");
    } catch (const DataError& error) {
        CHECK(std::string(error.what()) == "rank 2 has had enough");
    }
}

TEST_CASE("ranks in different operations hear of it") {
    CHECK_THROWS_AS(run_as_ranks(2,
                                 [](Communicator& ranks) {
                                     if (ranks.rank() == 0)
                                         barrier(ranks);
                                     else
                                         any_of(ranks, "any", true);
                                 }),
                    CommunicationError);
}

TEST_CASE("an exchange with oneself, or with a rank that does not exist, is an error") {
    SingleProcess alone;
    CHECK_THROWS_AS(alone.exchange("send", 0, {}, Communicator::nobody, {}), ConfigError);
    CHECK_THROWS_AS(alone.exchange("send", Communicator::nobody, {}, 1, {}), ConfigError);
    barrier(alone);
    CHECK(alone.traffic().empty());
}

TEST_CASE("shares are blocks of nearly equal size that cover everything") {
    for (const Index count : {0, 1, 7, 16})
        for (Index p = 1; p <= 5; ++p) {
            Index at = 0;
            for (Index r = 0; r < p; ++r) {
                const Share share = share_of(count, r, p);
                CHECK(share.first == at);
                CHECK(share.size() >= count / p);
                CHECK(share.size() <= count / p + 1);
                at = share.last;
            }
            CHECK(at == count);
        }
}
