/// Do the paper's central claims come out?
///
/// Runs distraction_issue (claims C1, C7) and dictionary_lookup (C2, C13) as they stand, passes on what they print, reads their
/// `result` lines and ends with a table: the claim, the paper's figure, ours, reproduced or not.
///
/// Time:    about 10 minutes on two cores; seconds with --quick, where the models are too small to show anything.
/// Command: cmake --workflow --preset reproduce      (or this program, beside the other two)
/// Expect:  "yes" for C1 and C7, "up to 1M" for C2, whose 16M tokens are a matter of --full; README.md has a run.
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <map>

#include "support/options.hpp"

using namespace fot;
using namespace fot::examples;

namespace {

/// By name; of a result with an interval, `<value> <low> <high>`, the ends are <name>.low and <name>.high.
using Results = std::map<std::string, double>;

/// A word of a shell command.
std::string quoted(const std::string& word) {
    std::string result = "'";
    for (const char letter : word) result += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return result + "'";
}

/// Runs a command, prints its lines as they come, and adds its lines `result <name> <value>` to `results`.
/// Errors: Interrupted if Ctrl-C ended it; std::runtime_error if it failed.
void run(const std::string& command, Results& results, std::ostream& out) {
    out << "$ " << command << std::endl;
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) throw std::runtime_error("cannot start " + command);
    std::array<char, 4096> buffer;
    while (std::fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr) {
        out << buffer.data() << std::flush;
        std::istringstream line(buffer.data());
        std::string word, name;
        double value = 0, low = 0, high = 0;
        if (!(line >> word >> name >> value) || word != "result") continue;
        results[name] = value;
        if (!(line >> low >> high)) continue;
        results[name + ".low"] = low;
        results[name + ".high"] = high;
    }
    const int status = ::pclose(pipe);
    if (interrupted() || (WIFEXITED(status) && WEXITSTATUS(status) == 130))
        throw Interrupted("what is trained is kept; the same command goes on from there");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("failed: " + command);
    out << std::endl;
}

/// The result whose name is `prefix` followed by the largest whole number (and then by `suffix`); the number goes to `largest`.
double at_largest(const Results& results, const std::string& prefix, const std::string& suffix, Index& largest) {
    double found = std::nan("");
    largest = -1;
    for (const auto& [name, value] : results) {
        if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() <= prefix.size() + suffix.size()) continue;
        const std::string number = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
        if (number.size() > 15 || number.find_first_not_of("0123456789") != std::string::npos) continue;
        if (std::stoll(number) > largest) {
            largest = std::stoll(number);
            found = value;
        }
    }
    return found;
}

/// Comparisons with NaN, a result that was not printed, are false.
std::string verdict(double value, bool holds) { return std::isnan(value) ? "not measured" : holds ? "yes" : "no"; }

void add_distraction_rows(const Results& results, Table& table) {
    const auto mass = [&](const std::string& model) {
        const auto found = results.find("positive_mass." + model + ".64");
        return found == results.end() ? std::nan("") : found->second;
    };
    Index contexts = 0;
    const double standard = mass("standard"), one = mass("crossbatch_1");
    const double many = at_largest(results, "positive_mass.crossbatch_", ".64", contexts);
    const auto compared = [&](double value) { return fixed(value, 4) + " (" + fixed(value / standard, 1) + " x standard)"; };
    table.add("C1", "own document's share of attention among 64: standard model", "1/64 = 0.0156", fixed(standard, 4),
              verdict(standard, standard > 0.5 / 64 && standard < 2.0 / 64));
    table.add("C1", "the same, crossbatch with 1 context", "above standard", compared(one), verdict(one, one > standard));
    table.add("C1", "the same, crossbatch with " + std::to_string(std::max<Index>(contexts, 0)) + " contexts", "clearly above",
              compared(many), verdict(many, contexts > 1 && many > one && many >= 2.5 * standard));
}

/// A memory that fills with other documents: many contexts in training against one.
void add_memory_row(const Results& results, Table& table) {
    Index contexts = 0, tokens = 0;
    at_largest(results, "positive_mass.crossbatch_", ".64", contexts);
    const std::string pair = message("difference.crossbatch_", contexts, "-crossbatch_1.");
    const double value = at_largest(results, pair, "", tokens), low = at_largest(results, pair, ".low", tokens),
                 high = at_largest(results, pair, ".high", tokens);
    table.add("C7",
              message("bits per byte with ", count_text(std::max<Index>(tokens, 0)), " tokens of many documents: ", contexts,
                      " contexts in training - 1 context"),
              "below 0 (figure)", std::isnan(value) ? "-" : estimate_text(value, {low, high}), verdict(value, high < 0));
}

void add_dictionary_rows(const Results& results, Table& table) {
    constexpr Index paper_tokens = 16777216;  // fewer do not reproduce the figure, only show how far it holds here
    for (const auto& [training, words] : {std::pair{"uniform", "the paper's data"}, std::pair{"hard", "our harder data"}}) {
        Index tokens = 0;
        const double accuracy = at_largest(results, std::string("accuracy.") + training + ".", "", tokens);
        const bool holds = accuracy > 0.92;
        table.add("C2", std::string("dictionary lookup, trained on 512 tokens, ") + words, "> 0.92 at 16M",
                  std::isnan(accuracy) ? "-" : fixed(accuracy, 4) + " at " + count_text(tokens),
                  holds && tokens < paper_tokens ? "up to " + count_text(tokens) : verdict(accuracy, holds));
    }
    for (const auto& [name, words, figure] : {std::tuple{"knn_score", "retrieved keys are the right ones: kNN score", 0.9},
                                              std::tuple{"focus_score", "the same: Focus score", 0.99}}) {
        Index tokens = 0;
        const double value = at_largest(results, std::string(name) + ".uniform.", "", tokens);
        table.add("C13", words, fixed(figure, 2) + " at 16M",
                  std::isnan(value) ? "-" : fixed(value, 3) + " at " + count_text(tokens),
                  value >= figure && tokens < paper_tokens ? "up to " + count_text(tokens) : verdict(value, value >= figure));
    }
}

}  // namespace

int main(int argc, char** argv) {
    return run_example(argc, argv, "Do the paper's central claims come out?", [&](Example& example) {
        example.parse();
        Results results;
        for (const std::string program : {"distraction_issue", "dictionary_lookup"}) {
            const std::filesystem::path path = std::filesystem::absolute(argv[0]).lexically_normal().parent_path() / program;
            const std::string kernels = faster_blas_kernels();
            std::string command = (kernels.empty() ? "" : "OPENBLAS_CORETYPE=" + kernels + " ") + quoted(path.string()) +
                                  " --output " + quoted((example.output() / program).string()) + " --seed " +
                                  std::to_string(example.seed()) + " --threads " + std::to_string(threads());
            if (example.scale() == Scale::quick) command += " --quick";
            if (example.scale() == Scale::full) command += " --full";
            run(command, results, example.out());
        }

        example.out() << "Plots and numbers: " << std::filesystem::absolute(example.output()).string() << "\n";
        for (const auto& entry : std::filesystem::recursive_directory_iterator(example.output()))
            if (entry.path().extension() == ".svg") example.out() << "  " << entry.path().string() << "\n";

        Table table({"claim", "what", "paper", "ours", "reproduced"});
        add_distraction_rows(results, table);
        add_memory_row(results, table);
        add_dictionary_rows(results, table);
        example.out() << "\n" << table;
        if (example.scale() != Scale::full) example.out() << "\nOne seed. Three seeds with intervals: --full.\n";
    });
}
