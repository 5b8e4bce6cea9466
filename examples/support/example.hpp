/// What every example shares: its options, the lines at its start and end, and how it fails.
///
///     int main(int argc, char** argv) try {
///         Example example(argc, argv, "Does attention get distracted by unrelated documents?");
///         Index steps = 0, width = 128;
///         example.option("--steps", steps, {20, 1000, 8000}, "training steps");
///         example.option("--width", width, "model width");
///         example.parse();
///         ...
///         example.result("loss", loss);
///         return example.finish();
///     } catch (...) {
///         return report_failure();
///     }
///
/// Exit codes: 0 done; 1 an error (printed as `error: ...`); 2 an option that is unknown, has a wrong value or does not go with
/// another; 130 interrupted.
///
/// Read first: support/report.hpp, support/progress.hpp.
#pragma once

#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "fot/core/parallel.hpp"
#include "fot/train/interrupt.hpp"
#include "progress.hpp"
#include "report.hpp"

namespace CLI {  // CLI11, which only example.cpp includes
class App;
class Option;
}  // namespace CLI

namespace fot::examples {

/// How much to do: `quick` shows in seconds that all works, `full` gives every number that the example's header promises.
enum class Scale { quick, standard, full };

/// Defaults of an option for the three scales.
template <class T>
struct Scaled {
    T quick, standard, full;
    const T& at(Scale scale) const { return scale == Scale::quick ? quick : scale == Scale::full ? full : standard; }
};

/// Thrown to leave an example after Ctrl-C; the text says how to go on. No Error: nothing went wrong.
struct Interrupted : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws `Interrupted` once Ctrl-C was pressed.
inline void stop_if_interrupted(const std::string& how_to_go_on = "nothing was saved") {
    if (interrupted()) throw Interrupted(how_to_go_on);
}

/// Thrown to end an example that has printed all there is to say: its help, or what is wrong with its options.
struct Exit {
    int code;
};

/// What some libraries should find in the environment, and do not, with its value:
///
/// - OpenMP's threads wait busily for the next loop, by default for milliseconds (g++) or 200 of them (clang), and take the
///   processors from other programs. Some microseconds are enough between the loops of a step.
/// - Under a limit of memory (ulimit -v) each of OpenBLAS's threads asks for 128 MiB, again and again if it does not get them.
std::vector<std::pair<const char*, const char*>> missing_in_environment();

/// The libraries read the environment before `main`, so where something is missing there, the program begins again with it.
void complete_environment(const char* const* argv);

/// An option that was declared, to say what else its values must be.
class Option {
   public:
    explicit Option(CLI::Option& option) : option_(&option) {}
    /// Each is one of these words.
    Option one_of(const std::vector<std::string>& words) const;
    /// Each is a number from `least` to `most`.
    Option within(Index least, Index most) const;
    /// It does not go with the other option.
    Option excludes(const Option& other) const;

    /// Whether the command line that was parsed has it.
    bool given() const;

   private:
    CLI::Option* option_;
};

/// One run of an example: declare options, `parse()`, then read them and report.
class Example : public Report {
   public:
    Example(int argc, const char* const* argv, const std::string& question, std::ostream& out = std::cout,
            std::ostream& errors = std::cerr);
    Example(const Example&) = delete;
    Example& operator=(const Example&) = delete;
    ~Example();

    /// An option whose default is what `target` holds now. Types: numbers, text, or vectors of these. `target` must outlive
    /// `parse`, which refuses numbers below `least` and those that are not finite. A second name may stand after a comma:
    /// "--new,--old". The values of a vector are separated by spaces or commas, and each may come once.
    template <class T>
    Option option(const std::string& names, T& target, const std::string& description, Index least = 0);

    /// An option with a default for each scale.
    template <class T>
    Option option(const std::string& names, T& target, const Scaled<std::type_identity_t<T>>& defaults,
                  const std::string& description, Index least = 0) {
        target = defaults.at(scale_);
        const std::string quick = value_text(defaults.quick), full = value_text(defaults.full),
                          usual = value_text(defaults.standard);
        const bool all_alike = quick == usual && usual == full;
        return option(names, target,
                      all_alike ? description : message(description, " (", quick, " quick, ", usual, ", ", full, " full)"), least);
    }

    /// A vector in which values may come again.
    template <class T>
    Option sequence(const std::string& names, std::vector<T>& target, const std::string& description) {
        sequences_.insert(names);
        return option(names, target, description);
    }

    /// A switch, off unless given.
    void flag(const std::string& name, bool& target, const std::string& description);

    /// The option --seeds: how many trainings there are of each kind; `full` of them with --full.
    void add_seeds_option(Index full = 3) { option("--seeds", seed_count_, {1, 1, full}, "seeds, beginning with --seed", 1); }

    /// To be asked after `parse`.
    /// Errors: ConfigError if one of these options is on the command line, since `because` it has no effect.
    void require_not_given(const std::vector<std::string>& options, const std::string& because) const;

    /// Reads the command line, sets threads and memory, makes the output folder, and prints what runs with which options.
    /// Errors: Exit for help and wrong options; FileError if the output folder cannot be made.
    void parse();

    /// Judges the claims of the program, writes report.html, prints files and results, and returns the exit code.
    /// Errors: FileError if the page cannot be written, or what was printed went nowhere.
    int finish();

    std::string name() const;
    std::uint64_t seed() const { return static_cast<std::uint64_t>(seed_); }
    /// --seed and those after it, as many as --seeds says; one if the example has no such option.
    std::vector<std::uint64_t> seeds() const;
    /// There is nothing to be repeated: one seed, whatever --seeds says.
    void use_one_seed() { seed_count_ = 1; }
    Scale scale() const { return scale_; }
    /// Where trained models are kept: the folder that --models names, or that of --output.
    std::filesystem::path models_folder(const std::string& named) const {
        return named.empty() ? output() : std::filesystem::path(named);
    }

   private:
    class Watch;
    void require_written();
    std::string command() const;

    const InterruptGuard guard_;  // a second Ctrl-C ends the program at once
    std::vector<std::string> words_;
    std::string settings_;
    std::ostream& errors_;
    Scale scale_ = Scale::standard;
    Index seed_ = 1, seed_count_ = 1, threads_ = fot::threads();
    std::unique_ptr<CLI::App> app_;
    std::set<std::string> sequences_;  // options whose values may come again
    std::unique_ptr<Watch> watch_;
};

/// Called in the handler of an exception that has left an example: says what it was, and returns the exit code.
int report_failure(std::ostream& errors = std::cerr);

}  // namespace fot::examples
