/// What every example shares: its options, the lines at its start and end, and how it fails.
///
///     int main(int argc, char** argv) {
///         return run_example(argc, argv, "Does attention get distracted by unrelated documents?", [](Example& example) {
///             Index steps = 0, width = 128;
///             example.option("--steps", steps, Scaled<Index>{20, 1000, 8000}, "training steps");
///             example.option("--width", width, "model width");
///             example.parse();
///             ...
///             example.report().result("loss", loss);
///         });
///     }
///
/// Exit codes: 0 done; 1 an error (printed as `error: ...`), an option's value out of its range among them; 2 an option that is
/// unknown, cannot be read, or does not go with another; 130 interrupted.
///
/// Read first: support/report.hpp, support/progress.hpp.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <numeric>

#include "fot/core/blas_kernels.hpp"
#include "fot/train/interrupt.hpp"
#include "fot/files/replacing_file.hpp"
#include "progress.hpp"
#include "report.hpp"

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

/// Throws `Interrupted` once Ctrl-C was pressed, for loops that have nothing to save.
inline void stop_if_interrupted(const std::string& how_to_go_on = "nothing was saved") {
    if (interrupted()) throw Interrupted(how_to_go_on);
}

/// One run of an example: declare options, `parse()`, then read them and report.
class Example {
   public:
    Example(int argc, char** argv, const std::string& question, std::ostream& out = std::cout)
        : argc_(argc),
          argv_(argv),
          name_(argc > 0 ? std::filesystem::path(argv[0]).stem().string() : "example"),
          question_(question),
          out_(out),
          app_(question, name_) {
        option("--seed", seed_, "seed of every random draw");
        option("--threads", threads_, "threads of parallel loops", 1);
        option("--output", output_, Scaled<std::string>{"results/" + name_, "results/" + name_, "results/" + name_},
               "folder of CSV files and plots, made if missing");
        CLI::Option* quick = app_.add_flag("--quick", quick_, "small sizes: shows in seconds that all works");
        app_.add_flag("--full", full_, "every number that the description promises")->excludes(quick);
    }

    /// An option whose default is what `target` holds now. Types: numbers, text, or vectors of these. `target` must outlive
    /// `parse`, which refuses whole numbers below `least`, other numbers that are not finite, and in a vector a value given twice.
    template <class T>
    void option(const std::string& name, T& target, const std::string& description, Index least = 0) {
        check_later(name, target, least);
        echo_.emplace_back(name.substr(name.find_first_not_of('-')), [&target] { return shown(target); });
        app_.add_option(name, target, description)->default_str(shown(target));
    }

    /// An option with a default for each scale.
    template <class T>
    void option(const std::string& name, T& target, const Scaled<T>& defaults, const std::string& description, Index least = 0) {
        check_later(name, target, least);
        echo_.emplace_back(name.substr(name.find_first_not_of('-')), [&target] { return shown(target); });
        const std::string texts[] = {shown(defaults.quick), shown(defaults.standard), shown(defaults.full)};
        CLI::Option* added = app_.add_option(name, target, description);
        added->default_str(texts[0] == texts[1] && texts[1] == texts[2]
                               ? texts[1]
                               : texts[1] + " (quick " + texts[0] + ", full " + texts[2] + ")");
        scaled_.push_back([this, added, &target, defaults] {
            if (added->count() == 0) target = defaults.at(scale());
        });
    }

    /// A switch, off unless given.
    void flag(const std::string& name, bool& target, const std::string& description) {
        echo_.emplace_back(name.substr(name.find_first_not_of('-')), [&target] { return shown(target); });
        app_.add_flag(name, target, description);
    }

    /// The option --seeds: how many trainings there are of each kind.
    void add_seeds_option() { option("--seeds", seed_count_, Scaled<Index>{1, 1, 3}, "seeds, beginning with --seed", 1); }

    /// Reads the command line, sets the threads, makes the output folder, and prints what runs with which options.
    /// Errors: ConfigError if a value is refused as `option` says; FileError if the output folder cannot be made; what CLI11 throws
    /// for wrong options.
    void parse() {
        app_.parse(argc_, argv_);
        for (const auto& fill_in : scaled_) fill_in();
        for (const auto& check : checks_) check();
        set_threads(threads_);
        make_folder(output_);
        report_.emplace(output_, out_);

        out_ << name_ << ": " << question_ << "\n";
        std::size_t width = 0;
        for (const auto& [option_name, text] : echo_) width = std::max(width, option_name.size());
        const auto line = [&](const std::string& label, const std::string& text) {
            out_ << "  " << label << std::string(width - label.size() + 2, ' ') << text << "\n";
        };
        for (const auto& [option_name, text] : echo_) line(option_name, text());
        line("scale", scale() == Scale::quick ? "quick" : scale() == Scale::full ? "full" : "default");
        line("BLAS", blas_name());
        if (const std::string faster = faster_blas_kernels(); !faster.empty())
            line("", message("this OpenBLAS does not know the processor; OPENBLAS_CORETYPE=", faster,
                             " makes it several times as fast"));
        out_ << std::endl;
    }

    const std::string& name() const { return name_; }
    std::uint64_t seed() const { return static_cast<std::uint64_t>(seed_); }
    /// --seed and those after it, as many as --seeds says; one if the example has no such option.
    std::vector<std::uint64_t> seeds() const {
        std::vector<std::uint64_t> list(static_cast<std::size_t>(seed_count_));
        std::iota(list.begin(), list.end(), seed());
        return list;
    }
    std::filesystem::path output() const { return output_; }
    Scale scale() const { return quick_ ? Scale::quick : full_ ? Scale::full : Scale::standard; }
    std::ostream& out() { return out_; }

    /// The parser itself, for what the functions above do not cover (checks, groups, options that exclude each other).
    CLI::App& command_line() { return app_; }

    /// Where results, CSV files and plots go.   Errors: ConfigError before `parse`.
    Report& report() {
        require<ConfigError>(report_.has_value(), "Example::report: call parse() first");
        return *report_;
    }
    bool parsed() const { return report_.has_value(); }

   private:
    template <class T>
    void check_later(const std::string& name, const T& target, Index least) {
        checks_.push_back([name, &target, least] { check(name, target, least); });
    }
    template <class T>
    static void check(const std::string& name, const T& value, Index least) {
        if constexpr (std::is_integral_v<T>)
            require<ConfigError>(value >= least, name, " ", value, ": expected ", least, " or more");
        else if constexpr (std::is_floating_point_v<T>)
            require<ConfigError>(std::isfinite(value), name, " ", value, ": expected a finite number");
    }
    template <class T>
    static void check(const std::string& name, const std::vector<T>& values, Index least) {
        for (auto value = values.begin(); value != values.end(); ++value) {
            check(name, *value, least);
            require<ConfigError>(std::find(values.begin(), value, *value) == value, name, " ", *value, ": given twice");
        }
    }
    template <class T>
    static std::string shown(const T& value) {
        return value_text(value);
    }
    template <class T>
    static std::string shown(const std::vector<T>& values) {
        std::string text;
        for (const T& value : values) text += (text.empty() ? "" : " ") + value_text(value);
        return text;
    }

    int argc_;
    char** argv_;
    std::string name_, question_;
    std::ostream& out_;
    CLI::App app_;
    Index seed_ = 1, seed_count_ = 1, threads_ = fot::threads();
    std::string output_;
    bool quick_ = false, full_ = false;
    std::vector<std::pair<std::string, std::function<std::string()>>> echo_;
    std::vector<std::function<void()>> scaled_, checks_;
    std::optional<Report> report_;
};

/// Runs `body(example)`, prints the report's end, and turns what is thrown into a message and an exit code. What was reported
/// before an error is printed too.
template <class Body>
int run_example(int argc, char** argv, const std::string& question, Body&& body, std::ostream& out = std::cout,
                std::ostream& errors = std::cerr) {
    const InterruptGuard guard;  // a second Ctrl-C ends the program at once
    Example example(argc, argv, question, out);
    int code = 1;
    std::string problem;
    try {
        body(example);
        code = interrupted() ? 130 : 0;
    } catch (const CLI::ParseError& wrong) {
        code = example.command_line().exit(wrong, out, errors) == 0 ? 0 : 2;
    } catch (const Interrupted& stop) {
        code = 130;
        problem = message("interrupted: ", stop.what());
    } catch (const std::bad_alloc&) {
        problem = "error: out of memory";
    } catch (const std::exception& error) {
        problem = message("error: ", error.what());
    }
    if (example.parsed()) example.report().finish();
    if (!out.flush() && code == 0) {  // a full disk, say
        code = 1;
        problem = "error: cannot write the output";
    }
    if (!problem.empty()) errors << problem << std::endl;
    return code;
}

}  // namespace fot::examples
