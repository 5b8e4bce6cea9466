/// Programs that run on several ranks: processes, if mpiexec started them, or else threads of one process.
///
///     int main(int argc, char** argv) {
///         Settings settings;
///         return run_on_ranks(
///             argc, argv, "Does the result depend on the number of ranks?",
///             [&](Example& example) { example.option("--steps", settings.steps, "training steps"); },
///             [&](Example& example, Communicator& ranks) { ... });
///     }
///
/// Every rank does the work; rank 0 alone reports, into the one `example` that prints.
///
/// Read first: support/example.hpp, fot/distributed/communicator.hpp.   Read next: distributed_distraction.cpp.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>

#include "example.hpp"
#include "fot/core/version.hpp"
#include "fot/distributed/thread_communicator.hpp"
#ifdef FOT_WITH_MPI
#include "fot/distributed/mpi_communicator.hpp"
#endif

namespace fot::examples {

/// Whether a launcher of MPI started this process: Open MPI, or those that speak PMI (MPICH, Slurm).
inline bool started_by_mpiexec() {
    return std::ranges::any_of(std::array{"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"},
                               [](const char* name) { return std::getenv(name) != nullptr; });
}

/// Which process each rank is. If a rank is killed, mpiexec names only its process.
inline std::string rank_lines(Communicator& ranks) {
    std::array<char, 256> host{};
    ::gethostname(host.data(), host.size() - 1);
    const std::string own = message("process ", ::getpid(), " on ", host.data());
    std::string text;
    for (Index rank = 0; const std::vector<char>& line : all_gather(ranks, "report", std::vector<char>(own.begin(), own.end())))
        text += message("rank ", rank++, " of ", ranks.size(), ": ", std::string(line.begin(), line.end()), "\n");
    return text;
}

/// Declares the options, reads them, and runs `work(example, ranks)` on every rank. Returns the exit code; an error on one rank
/// ends all.
///
/// Errors: under mpiexec, ConfigError on every rank if their options differ.
template <class Declare, class Work>
int run_on_ranks(int argc, char** argv, const std::string& question, const Declare& declare, const Work& work) {
    complete_environment(argv);  // before MPI: the program may begin again
    set_threads(1);              // of each rank, unless the options say otherwise
    Index thread_ranks = 1;
    const auto run = [&](Communicator* processes) {
        std::ofstream nowhere("/dev/null");
        const bool first = processes == nullptr || processes->rank() == 0;
        try {
            Example example(argc, argv, question, first ? std::cout : nowhere, first ? std::cerr : nowhere);
            if (processes == nullptr)
                example.option("--ranks", thread_ranks, Scaled<Index>{3, 1, 1}, "ranks as threads; processes: mpiexec -n", 1);
            declare(example);
            example.parse();
            if (processes == nullptr) {
                run_as_ranks(thread_ranks, [&](Communicator& ranks) { work(example, ranks); });
            } else {
                example.out() << rank_lines(*processes) << "\n";
                std::string words;
                for (int i = 1; i < argc; ++i) words += message(i > 1 ? " " : "", argv[i]);
                require_same(*processes, "the command line", words);
                require_same(*processes, "the version of fot", message(FOT_VERSION));
                work(example, *processes);
            }
            return first ? example.finish() : 0;
        } catch (const Exit& end) {
            return end.code;
        } catch (const Interrupted&) {
            return first ? report_failure() : 130;
        }
    };
    if (started_by_mpiexec()) {
#ifdef FOT_WITH_MPI
        MpiProgram mpi(argc, argv);
        return mpi.run([&](Communicator& ranks) { return run(&ranks); });
#else
        std::cerr
            << "error: this program was built without MPI, and would run as often as mpiexec starts it (--ranks N: N ranks as "
               "threads)\n";
        return 2;
#endif
    }
    try {
        return run(nullptr);
    } catch (...) {
        return report_failure();
    }
}

/// The most memory that this process has had so far.
inline double peak_mebibytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}
/// That of the rank with the most: in a process of its own each, or of all together.
inline double highest_peak_mebibytes(Communicator& ranks) {
    double highest = 0;
    for (const std::vector<double>& of_rank : all_gather(ranks, "report", std::vector<double>{peak_mebibytes()}))
        highest = std::max(highest, of_rank[0]);
    return highest;
}

/// What the ranks have sent in all, by operation, and how a rank's last `seconds` were spent, before which it had waited and sent
/// for so long: a line each. To be called by every rank; rank 0 gets the table.
inline Table traffic_table(Communicator& ranks, double seconds, double waited_before, double sent_before) {
    Table table({"rank", "operation", "messages", "MB sent", "seconds"});
    std::string lines;  // of this rank
    std::vector<std::string> cells;
    for (const auto& [operation, sent] : ranks.traffic())
        cells.insert(cells.end(), {operation, message(sent.messages), fixed(static_cast<double>(sent.bytes) / 1e6, 3), ""});
    const double waiting = ranks.seconds_waiting() - waited_before, sending = ranks.seconds_sending() - sent_before;
    cells.insert(cells.end(), {"computing", "", "", fixed(seconds - waiting - sending, 2)});
    cells.insert(cells.end(), {"waiting", "", "", fixed(waiting, 2)});
    cells.insert(cells.end(), {"sending", "", "", fixed(sending, 2)});
    for (const std::string& cell : cells) lines += cell + '\n';
    const ByRank<char> of_all = all_gather(ranks, "report", std::vector<char>(lines.begin(), lines.end()));
    for (Index rank = 0; rank < ranks.size(); ++rank) {
        std::istringstream text(std::string(element(of_all, rank).begin(), element(of_all, rank).end()));
        std::string operation, messages, bytes, time;
        while (std::getline(text, operation) && std::getline(text, messages) && std::getline(text, bytes) &&
               std::getline(text, time))
            table.add(rank, operation, messages, bytes, time);
    }
    return table;
}

}  // namespace fot::examples
