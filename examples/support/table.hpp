/// Tables: aligned on the screen, tidy comma-separated values in a file; and numbers as their cells.
///
/// Tidy: one observation a row, one variable a column, numbers in full. A spreadsheet, pandas or R reads it as it is.
///
/// Read next: support/report.hpp.
#pragma once

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <ostream>
#include <sstream>

#include "fot/core/index.hpp"
#include "fot/measure/intervals.hpp"

namespace fot::examples {

/// The shortest text that reads back as the same number; no text for NaN, "inf" and "-inf" for infinities.
template <class Number>
std::string number_text(Number number) {
    if constexpr (std::floating_point<Number>)
        if (std::isnan(number)) return "";
    char buffer[64];
    const std::to_chars_result result = std::to_chars(buffer, buffer + sizeof buffer, number);
    return std::string(buffer, result.ptr);
}

/// A cell or a result as text: words as they are, truth as yes or no, numbers by `number_text`.
template <class Value>
std::string value_text(const Value& value) {
    if constexpr (std::same_as<Value, bool>)
        return value ? "yes" : "no";
    else if constexpr (std::is_arithmetic_v<Value> && !std::same_as<Value, char>)
        return number_text(value);
    else
        return std::string(value);
}

/// A number with a fixed count of digits after the point; "-" for NaN.
inline std::string fixed(double value, int digits = 3) {
    if (std::isnan(value)) return "-";
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

/// "0.123 [0.110, 0.134]"
inline std::string estimate_text(const Estimate& estimate, int digits = 3) {
    return message(fixed(estimate.value, digits), " [", fixed(estimate.interval.low, digits), ", ",
                   fixed(estimate.interval.high, digits), "]");
}

/// A share of right answers, with its interval.
inline Estimate estimate_of(const Proportion& share) { return {share.value(), share.interval()}; }

/// Rows of cells below a header.
class Table {
   public:
    explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}

    /// Adds a row, one cell a column: numbers in full, or as text where they need rounding. An Estimate fills three columns: value,
    /// low, high.   Errors: ShapeError if the cells are not as many as the header's.
    template <class... Values>
    void add(const Values&... values) {
        std::vector<std::string> cells;
        (add_cell(cells, values), ...);
        add_row(std::move(cells));
    }
    void add_row(std::vector<std::string> cells) {
        require<ShapeError>(cells.size() == rows_[0].size(), "Table::add: ", cells.size(), " cells for ", rows_[0].size(),
                            " columns");
        rows_.push_back(std::move(cells));
    }

    /// The header, then the rows.
    const std::vector<std::vector<std::string>>& rows() const { return rows_; }

    /// For the screen. Columns of numbers (a cell that starts like one: 3, -0.5, 16M) stand right, columns of words left.
    std::string text() const {
        std::vector<std::string> lines(rows_.size() + 1);  // the second one is the rule below the header
        for (std::size_t column = 0; column < rows_[0].size(); ++column) {
            std::size_t widest = 0;
            bool right = true;
            for (std::size_t r = 0; r < rows_.size(); ++r) {
                widest = std::max(widest, width(rows_[r][column]));
                right = right && (r == 0 || reads_as_number(rows_[r][column]));
            }
            for (std::size_t r = 0; r < rows_.size(); ++r) {
                const std::string &cell = rows_[r][column], gap(widest - width(cell), ' ');
                lines[r == 0 ? 0 : r + 1] += (right ? gap + cell : cell + gap) + "  ";
            }
            lines[1] += std::string(widest, '-') + "  ";
        }
        std::string text;
        for (const std::string& line : lines) text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        return text;
    }
    friend std::ostream& operator<<(std::ostream& out, const Table& table) { return out << table.text(); }

    /// For a file. A cell with a comma, quote or line break stands in quotes, its own quotes doubled (RFC 4180).
    std::string csv() const {
        std::ostringstream text;
        for (const std::vector<std::string>& row : rows_)
            for (std::size_t column = 0; column < row.size(); ++column) {
                text << (column > 0 ? "," : "");
                if (row[column].find_first_of(",\"\r\n") == std::string::npos)
                    text << row[column];
                else
                    text << std::quoted(row[column], '"', '"');
                text << (column + 1 == row.size() ? "\n" : "");
            }
        return text.str();
    }

   private:
    template <class Value>
    static void add_cell(std::vector<std::string>& cells, const Value& value) {
        if constexpr (std::same_as<Value, Estimate>)
            for (const double each : {value.value, value.interval.low, value.interval.high}) cells.push_back(number_text(each));
        else
            cells.push_back(value_text(value));
    }
    /// Letters on the screen: bytes of UTF-8 that do not continue one.
    static std::size_t width(const std::string& text) {
        return static_cast<std::size_t>(std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
    }
    static bool reads_as_number(const std::string& cell) {
        if (cell.empty() || cell == "-" || cell == "inf" || cell == "-inf") return true;
        const std::size_t first = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
        return first < cell.size() && cell[first] >= '0' && cell[first] <= '9';
    }

    std::vector<std::vector<std::string>> rows_;
};

}  // namespace fot::examples
