/// Numbers as text, and tidy tables of comma-separated values, in files that appear whole or not at all.
///
/// Tidy: one observation a row, one variable a column, numbers in full; what a spreadsheet, pandas or R reads without help.
///
/// Read next: support/plot.hpp, support/report.hpp.
#pragma once

#include <charconv>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "fot/files/replacing_file.hpp"

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

/// A table cell, a CSV field or a result as text: words as they are, truth as yes or no, numbers by `number_text`.
template <class Value>
std::string value_text(const Value& value) {
    if constexpr (std::same_as<Value, bool>)
        return value ? "yes" : "no";
    else if constexpr (std::is_arithmetic_v<Value> && !std::same_as<Value, char>)
        return number_text(value);
    else
        return std::string(value);
}

/// A CSV file in the making.
class Csv {
   public:
    explicit Csv(std::vector<std::string> header) : columns_(header.size()) {
        require<ConfigError>(!header.empty(), "Csv: no columns");
        append(header);
    }

    /// Adds a row, one value a column: numbers in full, NaN as an empty field.   Errors: ShapeError if their number differs.
    template <class... Values>
    void add(const Values&... values) {
        require<ShapeError>(sizeof...(Values) == columns_, "Csv::add: ", sizeof...(Values), " values for ", columns_, " columns");
        append({value_text(values)...});
    }

    const std::string& text() const { return text_; }

    void write(const std::filesystem::path& path) const { write_text_file(path, text_); }

   private:
    /// A field with a comma, quote or line break stands in quotes, its own quotes doubled (RFC 4180).
    static std::string quoted(const std::string& field) {
        if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
        std::string result = "\"";
        for (const char letter : field) result += letter == '"' ? std::string("\"\"") : std::string(1, letter);
        return result + "\"";
    }

    void append(const std::vector<std::string>& fields) {
        for (std::size_t i = 0; i < fields.size(); ++i) text_ += (i ? "," : "") + quoted(fields[i]);
        text_ += "\n";
    }

    std::size_t columns_;
    std::string text_;
};

}  // namespace fot::examples
