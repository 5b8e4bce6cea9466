/// Do the paper's central claims come out?
///
/// Runs distraction_issue (claims C1, C7) and dictionary_lookup (C2, C13) unchanged, passes on what they print, reads their
/// `result` lines and ends with a table: the claim, the paper's number, our number, and a verdict by the one rule
/// (support/claims.hpp). One seed can agree with a claim; only three seeds (--full) can reproduce it.
///
/// Time:    about 10 minutes on two cores; seconds with --quick, where the models are too small to show anything.
/// Command: cmake --workflow --preset reproduce      (or this program, if the other two are in the same folder)
/// Expect:  "agrees" for C1 and C7, "agrees up to 1M" for C2, whose 16M tokens --full measures; "no interval" for C13, whose scores
///          have an interval only over three seeds or more. measurements.md has a run.
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <utility>

#include "fot/core/blas_kernels.hpp"
#include "support/claims.hpp"
#include "support/example.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// Waits until the command prints more. An interrupt is passed on to it: Ctrl-C reaches both programs, but `kill` only one.
void wait_for_line(FILE* pipe, pid_t command) {
    pollfd more{.fd = ::fileno(pipe), .events = POLLIN, .revents = 0};
    bool told = false;
    while (::poll(&more, 1, 50) <= 0)
        if (interrupted() && !std::exchange(told, true)) ::kill(command, SIGTERM);
}

/// Runs a command, prints its lines as they come, and adds its results to `results`.
/// Errors: Interrupted if Ctrl-C ended it; std::runtime_error if it failed.
void run(const std::string& command, Results& results, std::ostream& out) {
    out << "$ " << command << std::endl;
    FILE* pipe = ::popen(("echo $$; exec env " + command).c_str(), "r");  // the shell becomes the command, and keeps its number
    if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
    std::setvbuf(pipe, nullptr, _IONBF, 0);  // poll sees all that was not read yet
    pid_t number = 0;
    if (std::fscanf(pipe, "%d ", &number) != 1) throw std::runtime_error("cannot start " + command);
    std::array<char, 4096> buffer;
    while (wait_for_line(pipe, number), std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
        out << buffer.data() << std::flush;
        std::istringstream line(buffer.data());
        std::string word, name;
        if (line >> word >> name && word == "result") std::getline(line, results[name]);
    }
    const int status = ::pclose(pipe);
    if (interrupted() || (WIFEXITED(status) && WEXITSTATUS(status) == 130))
        throw Interrupted("what is trained is kept; the same command goes on from there");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("failed: " + command);
    out << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do the paper's central claims come out?");
    example.parse();
    const Index seeds = example.scale() == Scale::full ? 3 : 1;
    Table table = verdicts("", {}, seeds);
    for (const std::string program : {"distraction_issue", "dictionary_lookup"}) {
        const std::filesystem::path path = std::filesystem::absolute(argv[0]).lexically_normal().parent_path() / program;
        const std::string kernels = faster_blas_kernels();
        std::string command = (kernels.empty() ? "" : "OPENBLAS_CORETYPE=" + kernels + " ") + shell_word(path.string()) +
                              " --output " + shell_word((example.output() / program).string()) + " --seed " +
                              std::to_string(example.seed()) + " --threads " + std::to_string(threads());
        if (example.scale() == Scale::quick) command += " --quick";
        if (example.scale() == Scale::full) command += " --full";
        Results results;
        run(command, results, example.out());
        table = verdicts(program, results, seeds, table);
    }

    example.out() << "Plots and numbers: " << std::filesystem::absolute(example.output()).string() << "\n";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(example.output()))
        if (entry.path().extension() == ".svg") {
            example.out() << "  " << entry.path().string() << "\n";
            example.page().add_figure(entry.path());
        }

    example.show("Verdicts by the rule in paper_notes.md, " + what_seeds_can(seeds), table);
    example.out() << (seeds == 1 ? "\nIntervals are over documents or answers; --full runs three seeds.\n"
                                 : "\nMedians of three seeds; intervals are over seeds.\n");
    return example.finish();
} catch (...) {
    return report_failure();
}
