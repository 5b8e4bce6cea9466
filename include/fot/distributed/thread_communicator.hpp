/// Ranks that are threads of one process: for tests and for teaching, without MPI.
///
///     run_as_ranks(4, [](Communicator& ranks) { ... });       // four threads, each with a communicator
///
/// A rank that throws ends the others too: they would otherwise wait for it in vain. Whoever waits for a rank that has returned
/// gets an error.
///
/// Read first: distributed/communicator.hpp.   Read next: distributed/tree_sum.hpp.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "fot/distributed/communicator.hpp"

namespace fot {

namespace detail {

/// Where the threads leave their messages.
struct Mailboxes {
    explicit Mailboxes(Index ranks)
        : count(ranks), of_pair(static_cast<std::size_t>(ranks * ranks)), ended(static_cast<std::size_t>(ranks), false) {}

    struct Letter {
        std::string operation;
        std::vector<std::byte> bytes;
    };

    Index count;
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::deque<Letter>> of_pair;  // of sender * count + receiver, in order
    std::vector<bool> ended;                  // ranks that will send nothing more
    Index failed = Communicator::nobody;      // the first rank that ended with an error
    std::string failure;
};

}  // namespace detail

/// One of the threads.
class ThreadCommunicator : public Communicator {
   public:
    /// Rank `rank` of those who share the mailboxes.
    ThreadCommunicator(detail::Mailboxes& boxes, Index rank) : boxes_(boxes), rank_(rank) {}
    Index rank() const override { return rank_; }
    Index size() const override { return boxes_.count; }

   private:
    double transfer(const char* operation, Index to, std::span<const std::byte> sent, Index from,
                    std::span<std::byte> received) override {
        const auto begun = std::chrono::steady_clock::now();
        std::unique_lock lock(boxes_.mutex);
        if (to != nobody) {
            element(boxes_.of_pair, rank_ * boxes_.count + to).push_back({operation, {sent.begin(), sent.end()}});
            boxes_.changed.notify_all();
        }
        if (from == nobody) return 0;
        auto& box = element(boxes_.of_pair, from * boxes_.count + rank_);
        const auto from_is_over = [&] { return boxes_.ended[static_cast<std::size_t>(from)]; };
        boxes_.changed.wait(lock, [&] { return !box.empty() || boxes_.failed != nobody || from_is_over(); });
        const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        require<CommunicationError>(!box.empty() || boxes_.failed == nobody, "rank ", rank_, " in ", operation, ": rank ",
                                    boxes_.failed, " has failed: ", boxes_.failure);
        require<CommunicationError>(!box.empty(), "rank ", rank_, " in ", operation, ": rank ", from, " has ended");
        const auto& [sent_as, bytes] = box.front();
        require<CommunicationError>(sent_as == operation && bytes.size() == received.size(), "rank ", rank_, " in ", operation,
                                    ": rank ", from, " sent ", bytes.size(), " bytes in ", sent_as, ", expected ", received.size());
        std::ranges::copy(bytes, received.begin());
        box.pop_front();
        return waited;
    }

    detail::Mailboxes& boxes_;
    Index rank_;
};

/// Runs `work(communicator)` on so many threads at once, and returns when all have ended.
///
/// Errors: ConfigError below one rank; what the first rank that failed threw.
template <class Work>
void run_as_ranks(Index ranks, const Work& work) {
    require<ConfigError>(ranks >= 1, "run_as_ranks: ", ranks, " ranks, expected 1 or more");
    detail::Mailboxes boxes(ranks);
    std::exception_ptr thrown;
    const auto fail = [&](Index rank, const char* what) {
        const std::lock_guard lock(boxes.mutex);
        if (boxes.failed != Communicator::nobody) return;
        boxes.failed = rank;
        boxes.failure = what;
        thrown = std::current_exception();
        boxes.changed.notify_all();
    };
    const auto run = [&](Index rank) {
        ThreadCommunicator communicator(boxes, rank);
        try {
            work(static_cast<Communicator&>(communicator));
        } catch (const std::exception& error) {
            fail(rank, error.what());
        } catch (...) {
            fail(rank, "an error without a text");
        }
        const std::lock_guard lock(boxes.mutex);
        boxes.ended[static_cast<std::size_t>(rank)] = true;
        boxes.changed.notify_all();
    };
    std::vector<std::thread> threads;
    threads.reserve(static_cast<std::size_t>(ranks));
    for (Index rank = 0; rank < ranks; ++rank) try {
            threads.emplace_back(run, rank);
        } catch (const std::exception& error) {  // there are no more threads to be had
            fail(rank, error.what());
        }
    for (std::thread& each : threads) each.join();
    if (thrown) std::rethrow_exception(thrown);
}

}  // namespace fot
