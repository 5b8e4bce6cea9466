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

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "fot/core/blas_kernels.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/train/interrupt.hpp"
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
inline std::vector<std::pair<const char*, const char*>> missing_in_environment() {
    std::vector<std::pair<const char*, const char*>> missing;
    const auto want = [&](const char* name, const char* value) {
        if (std::getenv(name) == nullptr) missing.emplace_back(name, value);
    };
    if (std::getenv("OMP_WAIT_POLICY") == nullptr) {
        want("GOMP_SPINCOUNT", "1000");
        want("KMP_BLOCKTIME", "0");
    }
    rlimit limit{};
    if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) want("OPENBLAS_NUM_THREADS", "1");
    return missing;
}

/// The libraries read the environment before `main`, so where something is missing there, the program begins again with it.
inline void complete_environment([[maybe_unused]] const char* const* argv) {
#ifdef __GLIBC__
    if (argv[0] != program_invocation_name) return;  // not the words of `main`: a test
    bool again = false;
    for (const auto& [name, value] : missing_in_environment()) again |= ::setenv(name, value, 0) == 0;
    if (again) ::execv("/proc/self/exe", const_cast<char* const*>(argv));
#endif
}

/// One run of an example: declare options, `parse()`, then read them and report.
class Example : public Report {
   public:
    Example(int argc, const char* const* argv, const std::string& question, std::ostream& out = std::cout,
            std::ostream& errors = std::cerr)
        : Report("results/" + std::filesystem::path(argv[0]).stem().string(), out),
          words_(argv, argv + argc),
          errors_(errors),
          app_(question, std::filesystem::path(argv[0]).stem().string()) {
        complete_environment(argv);
        if (std::ranges::count(words_, "--quick") > 0) scale_ = Scale::quick;
        if (std::ranges::count(words_, "--full") > 0) scale_ = Scale::full;
        option("--seed", seed_, "seed of every random draw");
        option("--threads", threads_, "threads of parallel loops", 1);
        option("--output", folder_, "folder of CSV files and plots, made if missing");
        CLI::Option* quick = app_.add_flag("--quick")->description("small sizes: shows in seconds that all works");
        app_.add_flag("--full")->description("every number that the description promises")->excludes(quick);
        watch_ = std::thread([this] { watch(); });
    }
    Example(const Example&) = delete;
    Example& operator=(const Example&) = delete;
    ~Example() {
        {
            const std::lock_guard<std::mutex> lock(watched_);
            ended_ = true;
        }
        end_.notify_all();
        watch_.join();
        print_results();  // those from before an error too
    }

    /// An option whose default is what `target` holds now. Types: numbers, text, or vectors of these. `target` must outlive
    /// `parse`, which refuses numbers below `least` and those that are not finite. A second name may stand after a comma:
    /// "--new,--old". The values of a vector are separated by spaces or commas, and each may come once.
    template <class T>
    CLI::Option* option(const std::string& names, T& target, const std::string& description, Index least = 0) {
        const auto check = [least](const std::string& text) {
            char* end = nullptr;
            const double number = std::strtod(text.c_str(), &end);
            const bool in_range = !text.empty() && *end == '\0' && std::isfinite(number) && number >= static_cast<double>(least);
            return in_range ? "" : message(text.empty() ? "nothing" : text, ", expected ", least, " or more");
        };
        CLI::Option* added = app_.add_option(names, target, description)->capture_default_str();
        if constexpr (!std::is_arithmetic_v<T> && !std::same_as<T, std::string>) added->delimiter(',');
        return std::same_as<T, std::string> || std::same_as<T, std::vector<std::string>> ? added : added->check(check);
    }

    /// An option with a default for each scale.
    template <class T>
    CLI::Option* option(const std::string& names, T& target, const Scaled<std::type_identity_t<T>>& defaults,
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
    CLI::Option* sequence(const std::string& names, std::vector<T>& target, const std::string& description) {
        CLI::Option* added = option(names, target, description);
        sequences_.insert(added);
        return added;
    }

    /// A switch, off unless given.
    void flag(const std::string& name, bool& target, const std::string& description) { app_.add_flag(name, target, description); }

    /// The option --seeds: how many trainings there are of each kind.
    void add_seeds_option() { option("--seeds", seed_count_, {1, 1, 3}, "seeds, beginning with --seed", 1); }

    /// Reads the command line, sets threads and memory, makes the output folder, and prints what runs with which options.
    /// Errors: Exit for help and wrong options; FileError if the output folder cannot be made.
    void parse() {
        try {
            app_.parse(std::vector<std::string>(words_.rbegin(), words_.rend() - 1));
            for (const CLI::Option* each : app_.get_options()) refuse_repeated(*each);
        } catch (const CLI::ParseError& wrong) {
            const int code = app_.exit(wrong, out_, errors_) == 0 ? 0 : 2;
            require_written();
            throw Exit{code};
        }
        set_threads(threads_);
        keep_freed_memory();
        make_folder(folder_);

        settings_ = message(app_.config_to_str(true), "BLAS ", blas_name(), "\n");
        out_ << name() << ": " << app_.get_description() << "\n" << settings_;
        if (const std::string faster = faster_blas_kernels(); !faster.empty())
            out_ << "This OpenBLAS does not know the processor; OPENBLAS_CORETYPE=" << faster
                 << " makes it several times as fast.\n";
        out_ << std::endl;
    }

    /// Judges the claims that there are results of, writes report.html, prints files and results, and returns the exit code.
    /// Errors: FileError if the page cannot be written, or what was printed went nowhere.
    int finish() {
        show_verdicts(name(), seed_count_);
        write_page(app_.get_description(), command(), settings_);
        print_results();
        require_written();
        return interrupted() ? 130 : 0;
    }

    std::string name() const { return app_.get_name(); }
    std::uint64_t seed() const { return static_cast<std::uint64_t>(seed_); }
    /// --seed and those after it, as many as --seeds says; one if the example has no such option.
    std::vector<std::uint64_t> seeds() const {
        std::vector<std::uint64_t> list(static_cast<std::size_t>(seed_count_));
        std::iota(list.begin(), list.end(), seed());
        return list;
    }
    /// There is nothing to be repeated: one seed, whatever --seeds says.
    void use_one_seed() { seed_count_ = 1; }
    Scale scale() const { return scale_; }

   private:
    void require_written() { require<FileError>(out_.flush().good(), "cannot write the output"); }  // a full disk, say

    /// The command line, to be typed again.
    std::string command() const {
        const auto is_plain = [](char letter) {
            return std::isalnum(static_cast<unsigned char>(letter)) || std::strchr("-_./=,:", letter);
        };
        std::string line;
        for (const std::string& word : words_)
            line += (line.empty() ? "" : " ") + (!word.empty() && std::ranges::all_of(word, is_plain) ? word : shell_word(word));
        return line;
    }

    void refuse_repeated(const CLI::Option& option) const {
        if (sequences_.count(&option)) return;
        const std::vector<std::string>& values = option.results();
        for (auto value = values.begin(); value != values.end(); ++value)
            if (std::find(values.begin(), value, *value) != value)
                throw CLI::ValidationError(option.get_name(), *value + " is given twice");
    }

    /// Ctrl-C lets the program finish its step and leave a checkpoint. Where it has not come so far within two seconds, wherever it
    /// is, it ends with the results that there are; files are written whole or not at all.
    void watch() {
        using namespace std::chrono_literals;
        std::unique_lock<std::mutex> lock(watched_);
        while (!end_.wait_for(lock, 50ms, [&] { return ended_ || interrupted(); })) {
        }
        if (end_.wait_for(lock, 1500ms, [&] { return ended_; })) return;
        print_results();
        errors_ << "interrupted: in the middle of a step; what was kept before is there" << std::endl;
        std::_Exit(130);
    }

    const InterruptGuard guard_;  // a second Ctrl-C ends the program at once
    std::mutex watched_;
    std::condition_variable end_;
    bool ended_ = false;
    std::thread watch_;
    std::vector<std::string> words_;
    std::string settings_;
    std::ostream& errors_;
    Scale scale_ = Scale::standard;
    Index seed_ = 1, seed_count_ = 1, threads_ = fot::threads();
    CLI::App app_;
    std::set<const CLI::Option*> sequences_;
};

/// Called in the handler of an exception that has left an example: says what it was, and returns the exit code.
inline int report_failure(std::ostream& errors = std::cerr) {
    try {
        throw;
    } catch (const Exit& end) {
        return end.code;
    } catch (const Interrupted& stop) {
        errors << "interrupted: " << stop.what() << std::endl;
        return 130;
    } catch (const std::bad_alloc&) {
        errors << "error: out of memory" << std::endl;
    } catch (const std::exception& error) {
        errors << "error: " << error.what() << std::endl;
    }
    return 1;
}

}  // namespace fot::examples
