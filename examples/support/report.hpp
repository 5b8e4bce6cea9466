/// What a program leaves behind: an aligned table on the screen, CSV files and plots in its output folder, `result` lines at the
/// end.
///
/// Read first: support/csv.hpp, support/plot.hpp.   Read next: support/options.hpp.
#pragma once

#include <iomanip>
#include <ostream>
#include <sstream>
#include <utility>

#include "plot.hpp"

namespace fot::examples {

/// A number with a fixed count of digits behind the point; "-" for NaN.
inline std::string fixed(double value, int digits = 3) {
    if (std::isnan(value)) return "-";
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

/// "0.123 [0.110, 0.134]"
inline std::string estimate_text(double value, Interval interval, int digits = 3) {
    return fixed(value, digits) + " [" + fixed(interval.low, digits) + ", " + fixed(interval.high, digits) + "]";
}
inline std::string estimate_text(const Estimate& estimate, int digits = 3) {
    return estimate_text(estimate.value, estimate.interval, digits);
}

/// An aligned table. Columns of numbers (a cell that starts like one: 3, -0.5, 16M) stand right, columns of words left.
class Table {
   public:
    explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {
        require<ConfigError>(!rows_[0].empty(), "Table: no columns");
    }

    /// Adds a row, one cell a column; numbers that need rounding are given as text, `fixed(x, 3)`.
    /// Errors: ShapeError if their number differs from the header's.
    template <class... Cells>
    void add(const Cells&... cells) {
        add_row({value_text(cells)...});
    }
    void add_row(std::vector<std::string> cells) {
        require<ShapeError>(cells.size() == rows_[0].size(), "Table::add: ", cells.size(), " cells for ", rows_[0].size(),
                            " columns");
        rows_.push_back(std::move(cells));
    }

    std::string text() const {
        const std::size_t columns = rows_[0].size();
        std::vector<std::size_t> widths(columns, 0);
        std::vector<bool> right(columns, true);
        for (std::size_t r = 0; r < rows_.size(); ++r)
            for (std::size_t c = 0; c < columns; ++c) {
                widths[c] = std::max(widths[c], width(rows_[r][c]));
                if (r > 0 && !reads_as_number(rows_[r][c])) right[c] = false;
            }
        std::string text;
        for (std::size_t r = 0; r < rows_.size(); ++r) {
            std::string line;
            for (std::size_t c = 0; c < columns; ++c) {
                const std::string gap(widths[c] - width(rows_[r][c]), ' ');
                line += (c ? "  " : "") + (right[c] ? gap + rows_[r][c] : rows_[r][c] + gap);
            }
            text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
            if (r == 0) {
                for (std::size_t c = 0; c < columns; ++c) text += (c ? "  " : "") + std::string(widths[c], '-');
                text += "\n";
            }
        }
        return text;
    }

    friend std::ostream& operator<<(std::ostream& out, const Table& table) { return out << table.text(); }

   private:
    /// Letters on the screen: bytes of UTF-8 that do not continue one.
    static std::size_t width(const std::string& text) {
        return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
    }
    static bool reads_as_number(const std::string& cell) {
        if (cell.empty() || cell == "-" || cell == "inf" || cell == "-inf") return true;
        const std::size_t first = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
        return first < cell.size() && cell[first] >= '0' && cell[first] <= '9';
    }

    std::vector<std::vector<std::string>> rows_;
};

/// A text as part of a file name: what cannot be in one becomes '_'.
inline std::string file_name_of(std::string text) {
    for (char& letter : text)
        if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '.' && letter != '-') letter = '_';
    return text;
}

/// Collects a program's results and files; `finish` prints where the files are and, last of all, the results.
class Report {
   public:
    Report(std::filesystem::path folder, std::ostream& out) : folder_(std::move(folder)), out_(out) {}

    /// Notes a line `result <name> <value>` for the end. Names are the program's interface to scripts: one word, said once.
    /// Errors: ConfigError if the name is empty, has a space, or is there already.
    template <class Value>
    void result(const std::string& name, const Value& value) {
        require<ConfigError>(!name.empty() && name.find_first_of(" \t\r\n") == std::string::npos, "result \"", name,
                             "\": expected a name without spaces");
        for (const auto& [known, text] : results_) require<ConfigError>(known != name, "result ", name, " is reported twice");
        results_.emplace_back(name, result_text(value));
    }

    /// Writes NAME.csv.   Errors: ConfigError if the name is no file name; FileError.
    void csv(const std::string& name, const Csv& table) {
        detail::require_file_name(name);
        table.write(folder_ / (name + ".csv"));
        files_.push_back(name + ".csv");
    }

    /// Writes NAME.csv, NAME.gp and, if gnuplot is there, NAME.svg; says so and goes on if it is not.   Errors: as `draw`.
    void plot(const Plot& figure) {
        const std::string problem = draw(figure, folder_);
        files_.push_back(figure.name + (problem.empty() ? ".svg" : ".csv"));
        if (!problem.empty()) out_ << "note: " << problem << "\n";
    }

    /// Notes a file that the program wrote into the folder itself.
    void file(const std::string& name) { files_.push_back(name); }

    /// Prints what was noted since the last `finish`.
    void finish() {
        if (!files_.empty()) out_ << "\n";
        for (const std::string& name : files_) out_ << "written: " << (folder_ / name).string() << "\n";
        if (!results_.empty()) out_ << "\n";
        for (const auto& [name, text] : results_) out_ << "result " << name << " " << text << "\n";
        out_.flush();
        files_.clear();
        results_.clear();
    }

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

    std::filesystem::path folder_;
    std::ostream& out_;
    std::vector<std::string> files_;
    std::vector<std::pair<std::string, std::string>> results_;
};

}  // namespace fot::examples
