#include "example.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>
#include <thread>

#include "fot/core/blas_kernels.hpp"
#include "fot/core/keep_freed_memory.hpp"
#include "fot/files/replacing_file.hpp"

namespace fot::examples {

std::vector<std::pair<const char*, const char*>> missing_in_environment() {
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

void complete_environment([[maybe_unused]] const char* const* argv) {
#ifdef __GLIBC__
    if (argv[0] != program_invocation_name) return;  // not the words of `main`: a test
    bool again = false;
    for (const auto& [name, value] : missing_in_environment()) again |= ::setenv(name, value, 0) == 0;
    if (again) ::execv("/proc/self/exe", const_cast<char* const*>(argv));
#endif
}

Option Option::one_of(const std::vector<std::string>& words) const {
    option_->check(CLI::IsMember(words));
    return *this;
}

Option Option::within(Index least, Index most) const {
    option_->check(CLI::Range(least, most));
    return *this;
}

Option Option::excludes(const Option& other) const {
    option_->excludes(other.option_);
    return *this;
}

bool Option::given() const { return !option_->empty(); }

/// Ctrl-C lets the program finish its step and leave a checkpoint. Where it has not come so far within two seconds, wherever it
/// is, it ends with the results that there are; files are written whole or not at all.
class Example::Watch {
   public:
    Watch(Report& report, std::ostream& errors) : thread_([this, &report, &errors] { watch(report, errors); }) {}
    ~Watch() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ended_ = true;
        }
        end_.notify_all();
        thread_.join();
    }

   private:
    void watch(Report& report, std::ostream& errors) {
        using namespace std::chrono_literals;
        std::unique_lock<std::mutex> lock(mutex_);
        while (!end_.wait_for(lock, 50ms, [&] { return ended_ || interrupted(); })) {
        }
        if (end_.wait_for(lock, 1500ms, [&] { return ended_; })) return;
        report.print_results();
        errors << "interrupted: in the middle of a step; what was kept before is there" << std::endl;
        std::_Exit(130);
    }

    std::mutex mutex_;
    std::condition_variable end_;
    bool ended_ = false;
    std::thread thread_;
};

Example::Example(int argc, const char* const* argv, const std::string& question, std::ostream& out, std::ostream& errors)
    : Report("results/" + std::filesystem::path(argv[0]).stem().string(), out),
      words_(argv, argv + argc),
      errors_(errors),
      app_(std::make_unique<CLI::App>(question, std::filesystem::path(argv[0]).stem().string())) {
    complete_environment(argv);
    if (std::ranges::count(words_, "--quick") > 0) scale_ = Scale::quick;
    if (std::ranges::count(words_, "--full") > 0) scale_ = Scale::full;
    option("--seed", seed_, "seed of every random draw");
    option("--threads", threads_, "threads of parallel loops", 1);
    option("--output", folder_, "folder of CSV files and plots, made if missing");
    CLI::Option* quick = app_->add_flag("--quick")->description("small sizes: shows in seconds that all works");
    app_->add_flag("--full")->description("every number that the description promises")->excludes(quick);
    watch_ = std::make_unique<Watch>(*this, errors_);
}

Example::~Example() {
    watch_.reset();
    print_results();  // those from before an error too
}

void Example::require_not_given(const std::vector<std::string>& options, const std::string& because) const {
    for (const std::string& name : options) {
        const CLI::Option* option = app_->get_option_no_throw(name);
        require<ConfigError>(option == nullptr || option->empty(), name, " has no effect: ", because);
    }
}

template <class T>
Option Example::option(const std::string& names, T& target, const std::string& description, Index least) {
    const auto check = [least](const std::string& text) {
        char* end = nullptr;
        const double number = std::strtod(text.c_str(), &end);
        const bool octal = text.size() > 1 && text[0] == '0' && std::isdigit(static_cast<unsigned char>(text[1])) != 0;
        const bool in_range =
            !text.empty() && *end == '\0' && std::isfinite(number) && number >= static_cast<double>(least) && !octal;
        return in_range ? "" : message(text.empty() ? "nothing" : text, ", expected ", least, " or more");
    };
    CLI::Option* added = app_->add_option(names, target, description)->capture_default_str();
    if constexpr (!std::is_arithmetic_v<T> && !std::same_as<T, std::string>) added->delimiter(',');
    if constexpr (!std::same_as<T, std::string> && !std::same_as<T, std::vector<std::string>>) added->check(check);
    return Option(*added);
}
template Option Example::option(const std::string&, Index&, const std::string&, Index);
template Option Example::option(const std::string&, double&, const std::string&, Index);
template Option Example::option(const std::string&, std::string&, const std::string&, Index);
template Option Example::option(const std::string&, std::vector<Index>&, const std::string&, Index);
template Option Example::option(const std::string&, std::vector<std::int32_t>&, const std::string&, Index);
template Option Example::option(const std::string&, std::vector<double>&, const std::string&, Index);
template Option Example::option(const std::string&, std::vector<std::string>&, const std::string&, Index);

void Example::flag(const std::string& name, bool& target, const std::string& description) {
    app_->add_flag(name, target, description);
}

namespace {

void refuse_repeated(const CLI::Option& option) {
    const std::vector<std::string>& values = option.results();
    for (auto value = values.begin(); value != values.end(); ++value)
        if (std::find(values.begin(), value, *value) != value)
            throw CLI::ValidationError(option.get_name(), *value + " is given twice");
}

}  // namespace

void Example::parse() {
    try {
        for (const std::string& word : words_)  // the defaults of other options were chosen without the value
            if (word.starts_with("--quick=") || word.starts_with("--full=")) throw CLI::ValidationError(word, "takes no value");
        app_->parse(std::vector<std::string>(words_.rbegin(), words_.rend() - 1));
        for (const CLI::Option* each : app_->get_options())
            if (!sequences_.contains(each->get_name())) refuse_repeated(*each);
    } catch (const CLI::ParseError& wrong) {
        const int code = app_->exit(wrong, out_, errors_) == 0 ? 0 : 2;
        require_written();
        throw Exit{code};
    }
    set_threads(threads_);
    keep_freed_memory();
    make_folder(folder_);

    settings_ = message(app_->config_to_str(true), "BLAS ", blas_name(), "\n");
    out_ << name() << ": " << app_->get_description() << "\n" << settings_;
    if (const std::string faster = faster_blas_kernels(); !faster.empty())
        out_ << "This OpenBLAS does not know the processor; OPENBLAS_CORETYPE=" << faster << " makes it several times as fast.\n";
    out_ << std::endl;
}

int Example::finish() {
    show_verdicts(name(), seed_count_);
    write_page(app_->get_description(), command(), settings_);
    print_results();
    require_written();
    return interrupted() ? 130 : 0;
}

std::string Example::name() const { return app_->get_name(); }

std::vector<std::uint64_t> Example::seeds() const {
    std::vector<std::uint64_t> list(static_cast<std::size_t>(seed_count_));
    std::iota(list.begin(), list.end(), seed());
    return list;
}

void Example::require_written() { require<FileError>(out_.flush().good(), "cannot write the output"); }  // a full disk, say

/// The command line, to be typed again.
std::string Example::command() const {
    const auto is_plain = [](char letter) {
        return std::isalnum(static_cast<unsigned char>(letter)) || std::strchr("-_./=,:", letter);
    };
    std::string line;
    for (const std::string& word : words_)
        line += (line.empty() ? "" : " ") + (!word.empty() && std::ranges::all_of(word, is_plain) ? word : shell_word(word));
    return line;
}

int report_failure(std::ostream& errors) {
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
