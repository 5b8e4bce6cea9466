#include "report.hpp"

#include <cmath>
#include <iomanip>
#include <sstream>

#include "fot/core/check.hpp"
#include "fot/files/replacing_file.hpp"

namespace fot::examples {

void Report::show(const std::string& title, const Table& table) {
    out_ << "\n" << title << "\n\n" << table;
    page_.add(title, table);
}

void Report::result(const std::string& name, const Estimate& estimate) {
    if (std::isnan(estimate.interval.low)) return result(name, estimate.value);
    note_result(name,
                message(fixed(estimate.value, 5), " ", fixed(estimate.interval.low, 5), " ", fixed(estimate.interval.high, 5)));
}

void Report::csv(const std::string& name, const Table& table) {
    write_text_file(output() / (name + ".csv"), table.csv());
    file(name + ".csv");
}

void Report::plot(const Plot& figure) { note_figure(figure.name, draw(figure, folder_)); }
void Report::plot(const HeatMaps& figure) { note_figure(figure.name, draw(figure, folder_)); }

void Report::file(const std::string& name) {
    const std::lock_guard<std::mutex> lock(noted_);
    files_.push_back(name);
    if (name.ends_with(".svg")) page_.add_figure(output() / name);
}

void Report::show_verdicts(const std::string& program, Index seeds) {
    const Table table = verdicts(program, Results(results_.begin(), results_.end()), seeds);
    if (table.rows().size() > 1) show("Verdicts by the rule in paper_notes.md, " + what_seeds_can(seeds), table);
}

void Report::write_page(const std::string& question, const std::string& command, const std::string& settings) {
    if (page_.empty()) return;
    write_text_file(output() / "report.html", page_.html({question, command, settings, results_}));
    file("report.html");
}

void Report::print_results() {
    const std::lock_guard<std::mutex> lock(noted_);
    if (!files_.empty()) out_ << "\n";
    for (const std::string& name : files_) out_ << "written: " << (output() / name).string() << "\n";
    if (!results_.empty()) out_ << "\n";
    for (const auto& [name, text] : results_) out_ << "result " << name << " " << text << "\n";
    out_.flush();
    files_.clear();
    results_.clear();
}

void Report::note_result(const std::string& name, const std::string& text) {
    require<ConfigError>(!name.empty() && name.find_first_of(" \t\r\n") == std::string::npos, "result \"", name,
                         "\": expected a name without spaces");
    const std::lock_guard<std::mutex> lock(noted_);
    for (const auto& [known, its_text] : results_) require<ConfigError>(known != name, "result ", name, " is reported twice");
    results_.emplace_back(name, text);
}

std::string Report::measured_text(double value) {
    std::ostringstream text;
    text << std::setprecision(std::trunc(value) == value && std::abs(value) < 1e15 ? 15 : 6) << value;
    return text.str();
}

void Report::note_figure(const std::string& name, const std::string& problem) {
    file(name + (problem.empty() ? ".svg" : ".csv"));
    if (!problem.empty()) out_ << "note: " << problem << "\n";
}

}  // namespace fot::examples
