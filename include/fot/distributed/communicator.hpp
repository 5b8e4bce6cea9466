/// Several processes that compute one thing together: what they need of each other.
///
/// A process is a rank, 0 ... p-1. All that ranks do with each other is here built on one operation, `exchange`: send to one rank
/// and receive from another at the same time. So an engine of message passing (MPI, threads) needs to provide little. There are
/// three:
///
///     MpiCommunicator      the ranks of an MPI program, on one machine or many     (distributed/mpi_communicator.hpp)
///     ThreadCommunicator   threads of one process, for tests without MPI           (distributed/thread_communicator.hpp)
///     SingleProcess        a single rank                                           (below)
///
/// An engine's own collectives may be faster on a large network. But they choose their order of summation, so that the last bits of
/// a result change with the number of ranks and the engine, and what they send cannot be counted. The operations here send exactly
/// the bytes that their formulas state. None of them adds numbers: sums are the business of distributed/tree_sum.hpp.
///
/// Every rank must call the same operations in the same order. Where ranks could have been given different options, they compare
/// them first (`require_same`).
///
/// Read first: core/index.hpp.   Read next: distributed/tree_sum.hpp.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "fot/core/tensor.hpp"

namespace fot {

/// Another rank has ended, failed, or does something else than this one.
struct CommunicationError : Error {
    using Error::Error;
};

/// What one operation has cost this rank so far.
struct Traffic {
    Index bytes = 0;     ///< sent
    Index messages = 0;  ///< sent
};

/// One rank's access to the others. Not for several threads of a rank at a time.
class Communicator {
   public:
    static constexpr Index nobody = -1;  ///< as sender or receiver of an exchange

    virtual ~Communicator() = default;
    Communicator() = default;
    Communicator(const Communicator&) = delete;
    Communicator& operator=(const Communicator&) = delete;

    /// This rank, 0 ... size()-1.
    virtual Index rank() const = 0;
    /// p, how many ranks there are.
    virtual Index size() const = 0;

    /// Sends `sent` to rank `to` while `received` is filled from rank `from`; either may be nobody. Both sides know the lengths. A
    /// message to oneself is not sent.
    ///
    /// `operation` is the name under which it is counted, and reported if it fails.
    /// Errors: ConfigError if there is no such rank; CommunicationError if the other rank does not send as much, or is gone.
    void exchange(const char* operation, Index to, std::span<const std::byte> sent, Index from, std::span<std::byte> received) {
        for (const Index other : {to, from})
            require<ConfigError>(other >= nobody && other < size() && other != rank(), "Communicator::exchange: rank ", other,
                                 ", expected another one than ", rank(), " of ", size());
        const auto begun = std::chrono::steady_clock::now();
        waited_ += transfer(operation, to, sent, from, received);
        exchanging_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
        if (to == nobody) return;
        traffic_[operation].bytes += length_of(sent);
        ++traffic_[operation].messages;
    }

    /// What this rank has sent, by operation.
    const std::map<std::string, Traffic>& traffic() const { return traffic_; }
    /// Bytes that this rank has sent in one operation.
    Index bytes_sent(const std::string& operation) const {
        const auto at = traffic_.find(operation);
        return at == traffic_.end() ? 0 : at->second.bytes;
    }
    /// Seconds that this rank has spent in exchanges until the other rank was ready: while that one was still computing.
    double seconds_waiting() const { return waited_; }
    /// Seconds that it then took to send and receive.
    double seconds_sending() const { return exchanging_ - waited_; }

   private:
    /// The engine's part. Returns the seconds until the message to be received began to arrive.
    virtual double transfer(const char* operation, Index to, std::span<const std::byte> sent, Index from,
                            std::span<std::byte> received) = 0;

    std::map<std::string, Traffic> traffic_;
    double waited_ = 0, exchanging_ = 0;
};

/// The only rank.
class SingleProcess : public Communicator {
   public:
    Index rank() const override { return 0; }
    Index size() const override { return 1; }

   private:
    double transfer(const char*, Index, std::span<const std::byte>, Index, std::span<std::byte>) override { return 0; }
};

/// Numbers for each rank: a list for each, in order.
template <class Number>
using ByRank = std::vector<std::vector<Number>>;

namespace detail {

template <class Number>
std::span<const std::byte> bytes_of(const std::vector<Number>& numbers) {
    static_assert(std::is_trivially_copyable_v<Number>);
    return std::as_bytes(std::span(numbers));
}

}  // namespace detail

/// Each rank gives a list for every other rank, and gets the lists that the others have for it: `received[r]` must have the
/// length of what rank r sends. What a rank has for itself is copied.
///
/// In round i a rank sends to the i-th rank after it and receives from the i-th before it, so that no two wait for each other.
/// Bytes:  a rank sends what it has for others, once.
template <class Number>
void exchange_all(Communicator& ranks, const char* operation, const ByRank<Number>& sent, ByRank<Number>& received) {
    const Index p = ranks.size(), rank = ranks.rank();
    require<ConfigError>(length_of(sent) == p && length_of(received) == p, operation, ": lists for ", sent.size(), " and from ",
                         received.size(), " ranks, expected ", p);
    require<ConfigError>(element(received, rank).size() == element(sent, rank).size(), operation, ": a list of ",
                         element(sent, rank).size(), " numbers for oneself, of which ", element(received, rank).size(),
                         " are wanted");
    std::ranges::copy(element(sent, rank), element(received, rank).begin());
    for (Index i = 1; i < p; ++i) {
        const Index to = (rank + i) % p, from = (rank + p - i) % p;
        const bool sends = !element(sent, to).empty(), receives = !element(received, from).empty();
        if (!sends && !receives) continue;
        ranks.exchange(operation, sends ? to : Communicator::nobody, detail::bytes_of(element(sent, to)),
                       receives ? from : Communicator::nobody, std::as_writable_bytes(std::span(element(received, from))));
    }
}

/// The lists of all ranks, which may be of different lengths. All know all lengths.
///
/// Bytes:  a rank sends its own list p - 1 times; S bytes in equal parts are (p - 1) / p S.
template <class Number>
ByRank<Number> all_gather(Communicator& ranks, const char* operation, const std::vector<Number>& own,
                          const std::vector<Index>& lengths) {
    require<ConfigError>(length_of(lengths) == ranks.size() && element(lengths, ranks.rank()) == length_of(own), operation, ": ",
                         own.size(), " numbers of rank ", ranks.rank(), " differ from the lengths of ", lengths.size(), " ranks");
    ByRank<Number> gathered;
    for (const Index length : lengths) gathered.emplace_back(static_cast<std::size_t>(length));
    exchange_all(ranks, operation, ByRank<Number>(static_cast<std::size_t>(ranks.size()), own), gathered);
    return gathered;
}

/// The same when nobody knows the others' lengths: these are gathered first.
template <class Number>
ByRank<Number> all_gather(Communicator& ranks, const char* operation, const std::vector<Number>& own) {
    std::vector<Index> lengths;
    const std::vector<Index> ones(static_cast<std::size_t>(ranks.size()), 1), length{length_of(own)};
    for (const std::vector<Index>& of_rank : all_gather(ranks, operation, length, ones)) lengths.push_back(of_rank[0]);
    return all_gather(ranks, operation, own, lengths);
}

/// Returns when every rank has come here.
inline void barrier(Communicator& ranks, const char* operation = "barrier") {
    const std::byte token{};
    std::byte received{};
    for (Index step = 1; step < ranks.size(); step *= 2)  // after round i a rank has heard of 2^i others
        ranks.exchange(operation, (ranks.rank() + step) % ranks.size(), {&token, 1},
                       (ranks.rank() + ranks.size() - step) % ranks.size(), {&received, 1});
}

/// True for all ranks if it is for any.
inline bool any_of(Communicator& ranks, const char* operation, bool here) {
    const ByRank<char> all =
        all_gather(ranks, operation, std::vector<char>{here}, std::vector<Index>(static_cast<std::size_t>(ranks.size()), 1));
    return std::ranges::any_of(all, [](const std::vector<char>& of_rank) { return of_rank[0] != 0; });
}

/// Throws on every rank unless all were told the same: settings, seeds, the version of the program. To be called before work
/// begins, since ranks that do different things wait for each other for ever, or add what does not belong together.
///
/// Errors: ConfigError with the first rank that differs from rank 0, and both texts.
inline void require_same(Communicator& ranks, const char* what, const std::string& text) {
    const ByRank<char> all = all_gather(ranks, "require_same", std::vector<char>(text.begin(), text.end()));
    const auto said = [&](Index rank) { return std::string(element(all, rank).begin(), element(all, rank).end()); };
    for (Index rank = 1; rank < ranks.size(); ++rank)
        require<ConfigError>(element(all, rank) == all[0], what, " of rank ", rank, " is '", said(rank), "', expected '", said(0),
                             "' as on rank 0");
}

/// If an error was thrown on any rank, all ranks throw: that one its own, the others a CommunicationError that names it. For what
/// can fail on a single rank before the ranks work together, such as reading files.
template <class Work>
void together(Communicator& ranks, const char* what, Work&& work) {
    std::string failure;  // begins with a mark, since an error may have no text
    std::exception_ptr thrown;
    try {
        work();
    } catch (const std::exception& error) {
        thrown = std::current_exception();
        failure = message("!", error.what());
    } catch (...) {
        thrown = std::current_exception();
        failure = "!an error without a text";
    }
    const ByRank<char> all = all_gather(ranks, "together", std::vector<char>(failure.begin(), failure.end()));
    if (thrown) std::rethrow_exception(thrown);
    for (Index rank = 0; rank < ranks.size(); ++rank) {
        const std::string said(element(all, rank).begin(), element(all, rank).end());
        require<CommunicationError>(said.empty(), what, ": rank ", rank,
                                    " failed: ", said.substr(std::min<std::size_t>(said.size(), 1)));
    }
}

/// Which of `count` things belong to a rank: equal blocks, in order, the sizes at most 1 apart.
struct Share {
    Index first;  ///< of this rank
    Index last;   ///< one after its last

    Index size() const { return last - first; }                      ///< things of this rank
    bool contains(Index i) const { return i >= first && i < last; }  ///< whether thing i is among them
    bool operator==(const Share&) const = default;                   ///< equal bounds
};
/// The share of rank r of p.
inline Share share_of(Index count, Index rank, Index p) { return {count * rank / p, count * (rank + 1) / p}; }

}  // namespace fot
