/// What a program leaves: tables on the screen, CSV files and plots in its output folder, and lines `result <name> <value>`
/// at its end.
///
/// Read first: support/claims.hpp, support/plot.hpp, support/heat_maps.hpp, support/report_page.hpp.
/// Read next: support/example.hpp.
#pragma once

#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

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
    void show(const std::string& title, const Table& table);

    /// Notes a line `result <name> <value>` for the end. Names are the program's interface to scripts: one word, said once.
    /// Errors: ConfigError if the name is empty, has a space, or is there already.
    template <class Value>
    void result(const std::string& name, const Value& value) {
        if constexpr (std::floating_point<Value>)
            note_result(name, measured_text(value));
        else
            note_result(name, value_text(value));
    }
    /// The same with an interval, if its ends are not NaN: `result <name> <value> <low> <high>`.
    void result(const std::string& name, const Estimate& estimate);

    /// Writes NAME.csv.   Errors: FileError.
    void csv(const std::string& name, const Table& table);

    /// Writes NAME.csv and, if gnuplot is there, NAME.svg of a Plot or HeatMaps; says so and goes on if it is not.
    /// Errors: FileError.
    void plot(const Plot& figure);
    void plot(const HeatMaps& figure);

    /// Notes a file that the program wrote into the folder itself.
    void file(const std::string& name);

    /// The page report.html, for tables and figures that come from elsewhere.
    ReportPage& page() { return page_; }

    /// Shows what the results so far say about the paper's claims, if the program has any.
    void show_verdicts(const std::string& program, Index seeds);

    /// Writes report.html, if there is a table or a figure.   Errors: FileError.
    void write_page(const std::string& question, const std::string& command, const std::string& settings);

    /// Prints what was noted since the last time. Another thread than the one that notes may call it.
    void print_results();

   protected:
    std::string folder_;
    std::ostream& out_;

   private:
    void note_result(const std::string& name, const std::string& text);
    /// Six digits are enough for a measurement; whole numbers (counts, checksums) are printed in full; NaN as "nan".
    static std::string measured_text(double value);
    /// Of a figure that was drawn, or for which there is a reason why not.
    void note_figure(const std::string& name, const std::string& problem);

    ReportPage page_;
    std::mutex noted_;  // of what follows
    std::vector<std::string> files_;
    std::vector<std::pair<std::string, std::string>> results_;
};

}  // namespace fot::examples
