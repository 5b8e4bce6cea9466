/// Ranks that are processes of an MPI program, on one machine or on many. Only this header includes mpi.h.
///
///     int main(int argc, char** argv) {
///         MpiProgram mpi(argc, argv);                           // mpiexec -n 4 ./program
///         return mpi.run([&](Communicator& ranks) { ... });
///     }
///
/// It uses the C interface of MPI 3 and later, and only its functions for starting, sending, receiving, testing and ending.
///
/// A rank that waits polls for its message, at first without pause and then with short sleeps. MPI's own waiting would take the
/// processor from ranks that still compute where there are more ranks than processors.
///
/// A rank that fails ends the program: `run` says why and calls MPI_Abort. A rank that is killed is seen by mpiexec, which names it
/// and ends the others. A rank that returns while another waits for it is not noticed: the other waits on.
///
/// Read first: distributed/communicator.hpp.   Read next: distributed/tree_sum.hpp.
#pragma once

#define OMPI_SKIP_MPICXX 1  // without the C++ interface, which MPI 3 has given up
#include <mpi.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "fot/distributed/communicator.hpp"

namespace fot {

/// All ranks of the program (MPI_COMM_WORLD), between MpiProgram's beginning and its end.
class MpiCommunicator : public Communicator {
   public:
    /// Longer messages are sent in parts: in MPI 3 the count of a message is an int.
    /// Errors: CommunicationError if MPI has not begun.
    explicit MpiCommunicator(std::size_t longest_message = std::size_t{1} << 30) : longest_message_(longest_message) {
        int initialised = 0, rank = 0, size = 0;
        MPI_Initialized(&initialised);
        require<CommunicationError>(initialised != 0, "MpiCommunicator: MPI has not begun, expected an MpiProgram before");
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_size(MPI_COMM_WORLD, &size);
        rank_ = rank;
        size_ = size;
    }
    Index rank() const override { return rank_; }
    Index size() const override { return size_; }

   private:
    double transfer(const char* operation, Index to, std::span<const std::byte> sent, Index from,
                    std::span<std::byte> received) override {
        const auto begun = std::chrono::steady_clock::now();
        const int tag = tag_of(operation);
        std::vector<MPI_Request> requests;
        std::vector<int> expected;  // bytes of each part that is received
        const auto each_message = [this](auto bytes, const auto& call) {
            std::size_t at = 0;
            do {  // an empty list is a message too
                const auto part = bytes.subspan(at, std::min(longest_message_, bytes.size() - at));
                call(part.data(), static_cast<int>(part.size()));
                at += part.size();
            } while (at < bytes.size());
        };
        if (to != nobody)
            each_message(sent, [&](const std::byte* bytes, int count) {
                check(operation, to,
                      MPI_Isend(bytes, count, MPI_BYTE, static_cast<int>(to), tag, MPI_COMM_WORLD, &requests.emplace_back()));
            });
        const std::size_t sends = requests.size();
        double waited = 0;
        if (from != nobody) {
            MPI_Status status;
            wait([&] {
                int there = 0;
                check(operation, from, MPI_Iprobe(static_cast<int>(from), MPI_ANY_TAG, MPI_COMM_WORLD, &there, &status));
                return there != 0;
            });
            require<CommunicationError>(status.MPI_TAG == tag, "rank ", rank_, " in ", operation, ": rank ", from,
                                        " does something else");
            require_bytes(operation, from, status, std::min(longest_message_, received.size()));
            waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
            each_message(received, [&](std::byte* bytes, int count) {
                check(operation, from,
                      MPI_Irecv(bytes, count, MPI_BYTE, static_cast<int>(from), tag, MPI_COMM_WORLD, &requests.emplace_back()));
                expected.push_back(count);
            });
        }
        std::vector<MPI_Status> statuses(requests.size());
        wait([&] {
            int done = 0;
            check(operation, from == nobody ? to : from,
                  MPI_Testall(static_cast<int>(requests.size()), requests.data(), &done, statuses.data()));
            return done != 0;
        });
        for (std::size_t i = 0; i < expected.size(); ++i)
            require_bytes(operation, from, statuses[sends + i], static_cast<std::size_t>(expected[i]));
        return waited;
    }

    /// What messages of an operation are marked with, so that one that does something else is noticed (but for chance, 1 in 32768).
    static int tag_of(const char* operation) {
        std::uint32_t hash = 2166136261u;
        for (; *operation != 0; ++operation) hash = (hash ^ static_cast<unsigned char>(*operation)) * 16777619u;
        return static_cast<int>((hash ^ hash >> 15) & 0x7fff);
    }

    void require_bytes(const char* operation, Index from, const MPI_Status& status, std::size_t expected) const {
        int coming = 0;
        MPI_Get_count(&status, MPI_BYTE, &coming);
        require<CommunicationError>(static_cast<std::size_t>(coming) == expected, "rank ", rank_, " in ", operation, ": rank ",
                                    from, " sent ", coming, " bytes, expected ", expected);
    }

    /// Looks often at first, then every 50 microseconds.
    template <class Ready>
    static void wait(const Ready& ready) {
        for (int looks = 0; !ready(); ++looks)
            if (looks > 1000) std::this_thread::sleep_for(std::chrono::microseconds(50));
    }

    void check(const char* operation, Index other, int code) const {
        if (code == MPI_SUCCESS) return;
        std::array<char, MPI_MAX_ERROR_STRING> text{};
        int length = 0;
        MPI_Error_string(code, text.data(), &length);
        throw CommunicationError(message("rank ", rank_, " in ", operation, " with rank ", other, ": ", text.data()));
    }

    std::size_t longest_message_;
    Index rank_, size_;
};

/// MPI from its beginning to its end: one object, made first in main.
class MpiProgram {
   public:
    /// Begins. Other threads of a rank compute, this one alone sends and receives.
    MpiProgram(int& argc, char**& argv) {
        int provided = 0;
        MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    }
    ~MpiProgram() { MPI_Finalize(); }
    MpiProgram(const MpiProgram&) = delete;
    MpiProgram& operator=(const MpiProgram&) = delete;

    /// Runs `work(communicator)`, which returns the exit status. An error that it throws is printed with the number of the rank,
    /// and ends all ranks.
    template <class Work>
    int run(Work&& work) {
        MpiCommunicator ranks;
        try {
            return work(static_cast<Communicator&>(ranks));
        } catch (const std::exception& error) {
            std::fprintf(stderr, "error: rank %td of %td: %s\n", ranks.rank(), ranks.size(), error.what());
        }
        std::fflush(nullptr);
        std::this_thread::sleep_for(std::chrono::milliseconds(500));  // ranks that fail for the same reason say so too
        MPI_Abort(MPI_COMM_WORLD, EXIT_FAILURE);
        return EXIT_FAILURE;
    }
};

}  // namespace fot
