/// A figure of curves: its numbers as tidy CSV, and the SVG that gnuplot draws from them by the script curves.gp beside this file.
///
/// Read first: support/table.hpp.   Read next: support/report.hpp.
#pragma once

#include <cstdio>
#include <optional>

#include "fot/files/replacing_file.hpp"
#include "table.hpp"

namespace fot::examples {

/// One curve: a number at each x, with its interval. A series without intervals is a reference such as 1/d, drawn as a dashed line.
struct Series {
    std::string name;  ///< without commas and quotes, where gnuplot would cut it off
    std::vector<std::pair<Index, Estimate>> points = {};

    /// Adds a point.
    void add(Index x, const Estimate& y) { points.emplace_back(x, y); }
    /// The same without an interval.
    void add(Index x, double y) { add(x, {y, {std::nan(""), std::nan("")}}); }
};

/// A figure. On a logarithmic x axis the marks are powers of two, written 256, 4K, 64K, 1M, 16M.
struct Plot {
    std::string name;  ///< of its files
    std::string title, x_label, y_label;
    std::string logarithmic = "x";  ///< axes: x, y, xy or none
    std::vector<Series> series = {};
    std::optional<Interval> y_range = {};  ///< of the axis, where the numbers' own does not serve
};

/// A word of a shell command, whatever is in it.
inline std::string shell_word(const std::string& text) {
    std::string word = "'";
    for (const char letter : text) word += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return word + "'";
}

/// Has gnuplot draw BASE.svg from BASE.csv by a script that lies beside this file and takes further words. Returns an empty text,
/// or why there is no SVG.
inline std::string draw_by(const std::string& script, const std::filesystem::path& base, const std::vector<std::string>& words,
                           const std::string& gnuplot) {
    const std::string numbers = base.string() + ".csv", figure = base.string() + ".svg", name = base.filename().string();
    std::string command = gnuplot + " -d -c " + shell_word(std::filesystem::path(__FILE__).replace_filename(script).string()) +
                          " " + shell_word(numbers);
    for (const std::string& word : words) command += " " + shell_word(word);
    FILE* const gnuplot_input = ::popen((command + " > " + shell_word(figure)).c_str(), "w");  // std::system would ignore Ctrl-C
    if (gnuplot_input != nullptr && ::pclose(gnuplot_input) == 0) return "";
    std::filesystem::remove(figure);  // one of an earlier run would not show these numbers
    return message(name, ".svg is not drawn: ", gnuplot, " failed or is not installed; the numbers are in ", name, ".csv");
}

/// Writes NAME.csv into the folder and has gnuplot draw NAME.svg. Returns an empty text, or why there is no SVG.
/// Errors: FileError if the CSV file cannot be written.
inline std::string draw(const Plot& plot, const std::filesystem::path& folder, const std::string& gnuplot = "gnuplot") {
    const std::filesystem::path base = folder / plot.name;
    Table numbers({"series", "x", "y", "low", "high"});  // one point a row
    for (const Series& series : plot.series)
        for (const auto& [x, y] : series.points) numbers.add(series.name, x, y);
    write_text_file(base.string() + ".csv", numbers.csv());
    std::vector<std::string> words{plot.title, plot.x_label, plot.y_label, plot.logarithmic};
    if (plot.y_range) words.insert(words.end(), {number_text(plot.y_range->low), number_text(plot.y_range->high)});
    return draw_by("curves.gp", base, words, gnuplot);
}

}  // namespace fot::examples
