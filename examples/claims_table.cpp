/// Do the paper's central claims come out?
///
/// Runs distraction_issue (claims C1, C7) and dictionary_lookup (C2, C13) as they stand, passes on what they print, reads their
/// `result` lines and ends with a table: the claim, the paper's figure, ours, reproduced or not.
///
/// Time:    about 10 minutes on two cores; seconds with --quick, where the models are too small to show anything.
/// Command: cmake --workflow --preset reproduce      (or this program, beside the other two)
/// Expect:  "yes" for C1 and C7, "up to 1M" for C2, whose 16M tokens are a matter of --full; README.md has a run.
#include <poll.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <map>
#include <regex>
#include <utility>

#include "support/example.hpp"
#include "support/sizes.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

constexpr double nothing = std::numeric_limits<double>::quiet_NaN();

/// What a line `result <name> <value>` or `result <name> <value> <low> <high>` says; NaN where it says nothing.
struct Result {
    double value = nothing, low = nothing, high = nothing;
    Index size = 0;  ///< the number in its name that was looked for
};

using Results = std::map<std::string, Result>;

/// Waits until the command has more to say. After an interrupt it is told, too: Ctrl-C goes to both programs, but `kill` to one.
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
        Result result;
        if (!(line >> word >> name >> result.value) || word != "result") continue;
        if (double low = 0, high = 0; line >> low >> high) result.low = low, result.high = high;
        results[name] = result;
    }
    const int status = ::pclose(pipe);
    if (interrupted() || (WIFEXITED(status) && WEXITSTATUS(status) == 130))
        throw Interrupted("what is trained is kept; the same command goes on from there");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("failed: " + command);
    out << std::endl;
}

/// Of the results with such a name, in which (*) stands for a whole number, that of the largest number; NaN if there is none.
Result at_largest(const Results& results, const std::string& name) {
    const std::regex pattern(std::regex_replace(name, std::regex(R"(\(\*\))"), "([0-9]{1,15})"));
    Result largest;
    for (const auto& [known, result] : results)
        if (std::smatch match; std::regex_match(known, match, pattern) && std::stoll(match[1]) > largest.size) {
            largest = result;
            largest.size = std::stoll(match[1]);
        }
    return largest;
}

/// Comparisons with NaN, a result that was not printed, are false.
std::string verdict(double value, bool holds) { return std::isnan(value) ? "not measured" : holds ? "yes" : "no"; }

void add_distraction_rows(const Results& results, Table& table) {
    const auto mass = [&](const std::string& model) {
        const auto found = results.find("positive_mass." + model + ".64");
        return found == results.end() ? nothing : found->second.value;
    };
    const double standard = mass("standard"), one = mass("crossbatch_1");
    const auto [many, low, high, contexts] = at_largest(results, "positive_mass.crossbatch_(*).64");
    const auto compared = [&](double value) { return fixed(value, 4) + " (" + fixed(value / standard, 1) + " x standard)"; };
    table.add("C1", "own document's share of attention among 64: standard model", "1/64 = 0.0156", fixed(standard, 4),
              verdict(standard, standard > 0.5 / 64 && standard < 2.0 / 64));
    table.add("C1", "the same, crossbatch with 1 context", "above standard", compared(one), verdict(one, one > standard));
    table.add("C1", message("the same, crossbatch with ", contexts, " contexts"), "clearly above", compared(many),
              verdict(many, contexts > 1 && many > one && many >= 2.5 * standard));

    // A memory that fills with other documents: many contexts in training against one.
    const Result more = at_largest(results, message("difference.crossbatch_", contexts, "-crossbatch_1.(*)"));
    table.add("C7",
              message("bits per byte with ", count_text(more.size), " tokens of many documents: ", contexts,
                      " contexts in training - 1 context"),
              "below 0 (figure)", estimate_text({more.value, {more.low, more.high}}), verdict(more.value, more.high < 0));
}

/// What the paper shows at 16M tokens: fewer do not reproduce it, only show how far it holds here.
void add_dictionary_rows(const Results& results, Table& table) {
    const auto add = [&](const char* claim, const std::string& what, const char* figure, const char* name, int digits, double bar) {
        const Result found = at_largest(results, name);
        const bool holds = found.value > bar;
        table.add(claim, what, figure, message(fixed(found.value, digits), " at ", count_text(found.size)),
                  holds && found.size < 16777216 ? "up to " + count_text(found.size) : verdict(found.value, holds));
    };
    const std::string lookup = "dictionary lookup, trained on 512 tokens, ";
    add("C2", lookup + "the paper's data", "> 0.92 at 16M", "accuracy.uniform.(*)", 4, 0.92);
    add("C2", lookup + "our harder data", "> 0.92 at 16M", "accuracy.hard.(*)", 4, 0.92);
    add("C13", "retrieved keys are the right ones: kNN score", "0.90 at 16M", "knn_score.uniform.(*)", 3, 0.9);
    add("C13", "the same: Focus score", "0.99 at 16M", "focus_score.uniform.(*)", 3, 0.99);
}

}  // namespace

int main(int argc, char** argv) try {
    Example example(argc, argv, "Do the paper's central claims come out?");
    example.parse();
    Results results;
    for (const std::string program : {"distraction_issue", "dictionary_lookup"}) {
        const std::filesystem::path path = std::filesystem::absolute(argv[0]).lexically_normal().parent_path() / program;
        const std::string kernels = faster_blas_kernels();
        std::string command = (kernels.empty() ? "" : "OPENBLAS_CORETYPE=" + kernels + " ") + shell_word(path.string()) +
                              " --output " + shell_word((example.output() / program).string()) + " --seed " +
                              std::to_string(example.seed()) + " --threads " + std::to_string(threads());
        if (example.scale() == Scale::quick) command += " --quick";
        if (example.scale() == Scale::full) command += " --full";
        run(command, results, example.out());
    }

    example.out() << "Plots and numbers: " << std::filesystem::absolute(example.output()).string() << "\n";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(example.output()))
        if (entry.path().extension() == ".svg") {
            example.out() << "  " << entry.path().string() << "\n";
            example.page().add_figure(entry.path());
        }

    Table table({"claim", "what", "paper", "ours", "reproduced"});
    add_distraction_rows(results, table);
    add_dictionary_rows(results, table);
    example.out() << "\n" << table;
    example.page().add("Verdicts", table);
    if (example.scale() != Scale::full) example.out() << "\nOne seed. Three seeds with intervals: --full.\n";
    return example.finish();
} catch (...) {
    return report_failure();
}
