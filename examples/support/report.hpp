/// What a program leaves: tables on the screen, CSV files and plots in its output folder, and lines `result <name> <value>`
/// at its end.
///
/// Read first: support/claims.hpp, support/plot.hpp, support/heat_maps.hpp, support/report_page.hpp.
/// Read next: support/example.hpp.
#pragma once

#include <mutex>

#include "claims.hpp"
#include "heat_maps.hpp"
#include "report_page.hpp"

namespace fot::examples {

/// Collects a program's results and files; `print_results` prints where the files are and, last of all, the results.
class Report {
   public:
    /// Files go to the folder, text to the stream.
    Report(std::string folder, std::ostream& out) : folder_(std::move(folder)), out_(out) {}

    std::filesystem::path output() const { return folder_; }
    std::ostream& out() { return out_; }

    /// Prints a table below a title.
    void show(const std::string& title, const Table& table) {
        out_ << "\n" << title << "\n\n" << table;
        page_.add(title, table);
    }

    /// Notes a line `result <name> <value>` for the end. Names are the program's interface to scripts: one word, said once.
    /// Errors: ConfigError if the name is empty, has a space, or is there already.
    template <class Value>
    void result(const std::string& name, const Value& value) {
        require<ConfigError>(!name.empty() && name.find_first_of(" \t\r\n") == std::string::npos, "result \"", name,
                             "\": expected a name without spaces");
        const std::lock_guard<std::mutex> lock(noted_);
        for (const auto& [known, text] : results_) require<ConfigError>(known != name, "result ", name, " is reported twice");
        results_.emplace_back(name, result_text(value));
    }
    /// The same with an interval: `result <name> <value> <low> <high>`.
    void result(const std::string& name, const Estimate& estimate) {
        result(name,
               message(fixed(estimate.value, 5), " ", fixed(estimate.interval.low, 5), " ", fixed(estimate.interval.high, 5)));
    }

    /// Writes NAME.csv.   Errors: FileError.
    void csv(const std::string& name, const Table& table) {
        write_text_file(output() / (name + ".csv"), table.csv());
        file(name + ".csv");
    }

    /// Writes NAME.csv and, if gnuplot is there, NAME.svg of a Plot or HeatMaps; says so and goes on if it is not.
    /// Errors: FileError.
    template <class Figure>
    void plot(const Figure& figure) {
        const std::string problem = draw(figure, folder_);
        file(figure.name + (problem.empty() ? ".svg" : ".csv"));
        if (!problem.empty()) out_ << "note: " << problem << "\n";
    }

    /// Notes a file that the program wrote into the folder itself.
    void file(const std::string& name) {
        const std::lock_guard<std::mutex> lock(noted_);
        files_.push_back(name);
        if (name.ends_with(".svg")) page_.add_figure(output() / name);
    }

    /// The page report.html, for tables and figures that come from elsewhere.
    ReportPage& page() { return page_; }

    /// Shows what the results so far say about the paper's claims, if they say something.
    void show_verdicts(const std::string& program, Index seeds) {
        const Table table = verdicts(program, Results(results_.begin(), results_.end()), seeds);
        if (table.rows().size() > 1) show("Verdicts by the rule in paper_notes.md, " + what_seeds_can(seeds), table);
    }

    /// Writes report.html, if there is a table or a figure.   Errors: FileError.
    void write_page(const std::string& question, const std::string& command, const std::string& settings) {
        if (page_.empty()) return;
        write_text_file(output() / "report.html", page_.html({question, command, settings, results_}));
        file("report.html");
    }

    /// Prints what was noted since the last time. Another thread than the one that notes may call it.
    void print_results() {
        const std::lock_guard<std::mutex> lock(noted_);
        if (!files_.empty()) out_ << "\n";
        for (const std::string& name : files_) out_ << "written: " << (output() / name).string() << "\n";
        if (!results_.empty()) out_ << "\n";
        for (const auto& [name, text] : results_) out_ << "result " << name << " " << text << "\n";
        out_.flush();
        files_.clear();
        results_.clear();
    }

   protected:
    std::string folder_;
    std::ostream& out_;

   private:
    /// Six digits are enough for a measurement; whole numbers (counts, checksums) are printed in full; NaN as "nan".
    template <class Value>
    static std::string result_text(const Value& value) {
        if constexpr (std::floating_point<Value>) {
            std::ostringstream text;
            text << std::setprecision(std::trunc(value) == value && std::abs(value) < 1e15 ? 15 : 6) << value;
            return text.str();
        } else {
            return value_text(value);
        }
    }

    ReportPage page_;
    std::mutex noted_;  // of what follows
    std::vector<std::string> files_;
    std::vector<std::pair<std::string, std::string>> results_;
};

}  // namespace fot::examples
