/// Tables: aligned on the screen, tidy comma-separated values in a file; and numbers as their cells.
///
/// Tidy: one observation a row, one variable a column, numbers in full. A spreadsheet, pandas or R reads it as it is.
///
/// Read next: support/report.hpp.
#pragma once

#include <charconv>
#include <ostream>
#include <string>
#include <vector>

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

/// A cell or a result as text: words as they are, truth as yes or no, numbers by `number_text`, several values with blanks between
/// them.
template <class Value>
std::string value_text(const Value& value) {
    if constexpr (std::same_as<Value, bool>)
        return value ? "yes" : "no";
    else if constexpr (std::is_arithmetic_v<Value> && !std::same_as<Value, char>)
        return number_text(value);
    else if constexpr (std::convertible_to<Value, std::string>)
        return std::string(value);
    else {
        std::string all;
        for (const auto& each : value) all += (all.empty() ? "" : " ") + value_text(each);
        return all;
    }
}

/// A number with a fixed count of digits after the point; "-" for NaN.
std::string fixed(double value, int digits = 3);

/// "0.123 [0.110, 0.134]", or "0.123" if the ends of the interval are NaN: it has none.
std::string estimate_text(const Estimate& estimate, int digits = 3);

/// A share of right answers, with its interval. `together`: parts of an answer, if each part is counted (Proportion::interval).
inline Estimate estimate_of(const Proportion& share, Index together = 1) { return {share.value(), share.interval(together)}; }

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
    void add_row(std::vector<std::string> cells);

    /// The header, then the rows.
    const std::vector<std::vector<std::string>>& rows() const { return rows_; }

    /// For the screen. Columns of numbers (a cell that starts like one: 3, -0.5, 16M) stand right, columns of words left.
    std::string text() const;
    friend std::ostream& operator<<(std::ostream& out, const Table& table) { return out << table.text(); }

    /// For a file. A cell with a comma, quote or line break stands in quotes, its own quotes doubled (RFC 4180).
    std::string csv() const;

   private:
    template <class Value>
    static void add_cell(std::vector<std::string>& cells, const Value& value) {
        if constexpr (std::same_as<Value, Estimate>)
            for (const double each : {value.value, value.interval.low, value.interval.high}) cells.push_back(number_text(each));
        else
            cells.push_back(value_text(value));
    }

    std::vector<std::vector<std::string>> rows_;
};

}  // namespace fot::examples
