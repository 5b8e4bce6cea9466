/// A line plot: its numbers as tidy CSV, its gnuplot script, and the SVG that gnuplot draws from it.
///
/// The script holds the numbers itself, so that `gnuplot NAME.gp > NAME.svg` redraws the figure after any edit. Without gnuplot on
/// the machine the other two files are written all the same.
///
/// Read first: support/csv.hpp.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>

#include "csv.hpp"
#include "fot/measure/intervals.hpp"

extern char** environ;

namespace fot::examples {

/// How a series is drawn. `guide` is a dashed grey line without marks, for a reference such as 1/d.
enum class Style { lines, guide };

/// One curve. `low` and `high` are empty, or hold an interval for each point (a band around the line, a bar where there is but
/// one point).
struct Series {
    std::string name;
    std::vector<double> x, y, low = {}, high = {};
    Style style = Style::lines;

    /// Adds a point, or a point with its interval; one kind only within a series.
    void add(double at, double value) {
        x.push_back(at);
        y.push_back(value);
    }
    void add(double at, const Estimate& estimate) {
        add(at, estimate.value);
        low.push_back(estimate.interval.low);
        high.push_back(estimate.interval.high);
    }
};

/// A figure. On a logarithmic x axis the marks are powers of two, written 256, 4K, 64K, 1M, 16M.
struct Plot {
    std::string name;  ///< of the files: letters, digits, '.', '_', '-'
    std::string title, x_label, y_label;
    bool log_x = false, log_y = false;
    std::vector<Series> series = {};
    std::optional<double> y_low = {}, y_high = {};  ///< limits of the y axis where the numbers' own do not serve
};

/// 256, 4K, 64K, 1M, 16M: a count in units of 1024 where it is a whole number of them.
inline std::string count_text(Index count) {
    if (count != 0 && count % (Index(1) << 30) == 0) return std::to_string(count >> 30) + "G";
    if (count != 0 && count % (Index(1) << 20) == 0) return std::to_string(count >> 20) + "M";
    if (count != 0 && count % (Index(1) << 10) == 0) return std::to_string(count >> 10) + "K";
    return std::to_string(count);
}

/// Memory sizes: `smallest`, four times that, ... up to `largest`, which is always among them.
/// Errors: ConfigError unless 1 <= smallest <= largest.
inline std::vector<Index> memory_ladder(Index smallest, Index largest) {
    require<ConfigError>(smallest >= 1 && largest >= smallest, "memory sizes from ", smallest, " to ", largest,
                         ": expected 1 or more, in rising order");
    std::vector<Index> sizes;
    Index size = smallest;
    while (size < largest) {
        sizes.push_back(size);
        size = size > largest / 4 ? largest : 4 * size;
    }
    sizes.push_back(largest);
    return sizes;
}

namespace detail {

/// Errors: ConfigError if the name could leave the output folder or be read as something else than a file name.
inline void require_file_name(const std::string& name) {
    constexpr auto allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    require<ConfigError>(!name.empty() && name.find_first_not_of(allowed) == std::string::npos && name[0] != '.' && name[0] != '-',
                         "\"", name, "\" is no file name: expected letters, digits, '.', '_', '-', not '.' or '-' first");
}

inline void require_plot(const Plot& plot) {
    require_file_name(plot.name);
    require<ShapeError>(!plot.series.empty(), "plot ", plot.name, ": no series");
    for (const Series& series : plot.series) {
        const auto fits = [&](const std::vector<double>& values) { return values.size() == series.x.size(); };
        require<ShapeError>(!series.x.empty() && fits(series.y) && (fits(series.low) || series.low.empty()) &&
                                series.low.size() == series.high.size(),
                            "plot ", plot.name, ", series ", series.name, ": ", series.x.size(), " x, ", series.y.size(), " y, ",
                            series.low.size(), " low, ", series.high.size(),
                            " high, expected as many y as x, and as many or no limits");
    }
}

/// A gnuplot string. Between single quotes gnuplot reads neither escapes nor commands; a quote inside is doubled.
inline std::string gnuplot_text(const std::string& text) {
    std::string result = "'";
    for (const char letter : text)
        result += letter == '\'' ? std::string("''") : std::string(1, letter == '\n' || letter == '\r' ? ' ' : letter);
    return result + "'";
}

/// The finite numbers of all series (above 0 on a logarithmic axis) from least to largest.
struct AxisRange {
    double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
    void include(const std::vector<double>& values, bool logarithmic) {
        for (const double value : values)
            if (std::isfinite(value) && (!logarithmic || value > 0)) low = std::min(low, value), high = std::max(high, value);
    }
    bool empty() const { return low > high; }
};

/// Marks at powers of two, at most about ten of them.
inline std::string binary_marks(AxisRange range) {
    if (range.empty()) return "";
    const int first = static_cast<int>(std::floor(std::log2(range.low) + 1e-9)),
              last = static_cast<int>(std::ceil(std::log2(range.high) - 1e-9));
    const int step = (last - first) / 11 + 1;
    std::string marks;
    for (int power = first; power <= last; power += step)
        marks +=
            (marks.empty() ? "" : ", ") +
            (power < 0 ? "'1/" + count_text(Index(1) << std::min(-power, 62)) : "'" + count_text(Index(1) << std::min(power, 62))) +
            "' " + number_text(std::exp2(power));
    return "set logscale x 2\nset xtics (" + marks + ")\nset xrange [" + number_text(range.low / 1.12) + ":" +
           number_text(range.high * 1.12) + "]\n";
}

/// Marks at 1, 2, 5 times powers of ten, or at powers of ten alone if the numbers span more than three of them.
inline std::string decimal_marks(AxisRange range) {
    if (range.empty()) return "";
    const bool wide = range.high / range.low > 1000;
    std::string marks;
    for (int power = static_cast<int>(std::floor(std::log10(range.low))); power <= std::ceil(std::log10(range.high)); ++power)
        for (const int factor : {1, 2, 5})
            if (factor == 1 || !wide) {
                // "5e-2" is read exactly where 5 * pow(10, -2) would be printed as 0.050000000000000003
                const std::string exact = std::to_string(factor) + "e" + std::to_string(power);
                marks += (marks.empty() ? "'" : ", '") + number_text(std::stod(exact)) + "' " + exact;
            }
    return "set logscale y\nset ytics (" + marks + ")\nset yrange [" + number_text(range.low) + ":" + number_text(range.high) +
           "]\n";
}

/// The numbers of one series as a named block: x, y, low, high. An interval that leaves the axis ends at its edge.
inline std::string data_block(const Series& series, std::size_t number, AxisRange y_range, bool log_y) {
    const auto limited = [&](double limit) {
        if (limit < y_range.low && (log_y || std::isinf(limit))) return y_range.low;
        if (limit > y_range.high && std::isinf(limit)) return y_range.high;
        return limit;
    };
    const auto field = [](double value) { return std::isfinite(value) ? number_text(value) : std::string("NaN"); };
    std::string block = "$series" + std::to_string(number) + " << END\n";
    for (std::size_t i = 0; i < series.x.size(); ++i) {
        const double low = series.low.empty() ? series.y[i] : series.low[i],
                     high = series.high.empty() ? series.y[i] : series.high[i];
        block += field(series.x[i]) + " " + field(series.y[i]) + " " + field(limited(low)) + " " + field(limited(high)) + "\n";
    }
    return block + "END\n";
}

/// The `plot` command: bands first, so that they lie below the curves.
inline std::string plot_command(const std::vector<Series>& all) {
    // Okabe and Ito's palette, told apart with any colour vision; the marks differ too.
    constexpr const char* colours[] = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};
    constexpr int marks[] = {7, 5, 9, 13, 11, 6, 4};
    std::string bands, curves;
    std::size_t coloured = 0;
    for (std::size_t s = 0; s < all.size(); ++s) {
        const Series& series = all[s];
        const std::string data = ", $series" + std::to_string(s) + " using ", title = " title " + gnuplot_text(series.name);
        if (series.style == Style::guide) {
            curves += data + "1:2 with lines linewidth 1.5 dashtype 2 linecolor rgb '#888888'" + title;
            continue;
        }
        const std::string colour = " linecolor rgb '" + std::string(colours[coloured % std::size(colours)]) + "'";
        const std::string mark = " pointsize 0.7 pointtype " + std::to_string(marks[coloured % std::size(marks)]);
        const bool again = coloured >= std::size(colours);  // a colour that comes a second time
        const std::string dashes = again ? " dashtype 2" : "";
        ++coloured;
        const bool point = series.x.size() == 1, limits = !series.low.empty();
        if (limits && !point)
            bands += data + "1:3:4 with filledcurves fillstyle transparent solid 0.16 noborder" + colour + " notitle";
        if (point)
            curves += data + (limits ? "1:2:3:4 with yerrorbars linewidth 1.5" : "1:2 with points") + colour + mark + title;
        else if (series.x.size() <= 60)
            curves += data + "1:2 with linespoints linewidth 2" + dashes + colour + mark + title;
        else  // marks would run together
            curves += data + "1:2 with lines linewidth 2" + dashes + colour + title;
    }
    return "plot " + (bands + curves).substr(2) + "\n";
}

}  // namespace detail

/// The figure's numbers, one point a row.
inline Csv plot_csv(const Plot& plot) {
    Csv csv({"series", "x", "y", "low", "high"});
    for (const Series& series : plot.series)
        for (std::size_t i = 0; i < series.x.size(); ++i) {
            const double nothing = std::nan("");
            csv.add(series.name, series.x[i], series.y[i], series.low.empty() ? nothing : series.low[i],
                    series.high.empty() ? nothing : series.high[i]);
        }
    return csv;
}

/// The figure as a gnuplot script that prints an SVG.   Errors: as `draw`.
inline std::string plot_script(const Plot& plot) {
    detail::require_plot(plot);
    detail::AxisRange x_range, y_range;
    for (const Series& series : plot.series) {
        x_range.include(series.x, plot.log_x);
        for (const auto* values : {&series.y, &series.low, &series.high}) y_range.include(*values, plot.log_y);
    }
    const double room = y_range.empty() ? 0 : y_range.high > y_range.low ? 0.05 * (y_range.high - y_range.low) : 0.05;
    y_range.low = plot.y_low.value_or(plot.log_y ? y_range.low / 1.15 : y_range.low - room);
    y_range.high = plot.y_high.value_or(plot.log_y ? y_range.high * 1.15 : y_range.high + room);

    std::string script = "# Redraw with: gnuplot " + plot.name + ".gp > " + plot.name + ".svg\n";
    for (std::size_t s = 0; s < plot.series.size(); ++s) script += detail::data_block(plot.series[s], s, y_range, plot.log_y);
    std::size_t longest_name = 10;  // the key stands beside the plot and must not narrow it
    for (const Series& series : plot.series) longest_name = std::max(longest_name, series.name.size());
    script += "set terminal svg size " + std::to_string(720 + 10 * longest_name) +
              ",520 dynamic noenhanced font 'sans-serif,15' background '#ffffff' linewidth 1.2\n"
              "set datafile missing 'NaN'\n"
              "set border 3 linewidth 0.8 linecolor rgb '#555555'\n"
              "set tics nomirror scale 0.6 textcolor rgb '#222222'\n"
              "set grid ytics linewidth 0.6 linecolor rgb '#dddddd'\n"
              "set key outside right top vertical Left reverse samplen 2.2 spacing 1.35 width 1\n"
              "set format '%g'\n";
    script += "set title " + detail::gnuplot_text(plot.title) + " font ',17'\nset xlabel " + detail::gnuplot_text(plot.x_label) +
              "\nset ylabel " + detail::gnuplot_text(plot.y_label) + "\n";
    if (plot.log_x) script += detail::binary_marks(x_range);
    if (plot.log_y)
        script += detail::decimal_marks(y_range);
    else if (!y_range.empty())
        script += "set yrange [" + number_text(y_range.low) + ":" + number_text(y_range.high) + "]\n";
    return script + detail::plot_command(plot.series);
}

/// Writes NAME.csv and NAME.gp into the folder and has gnuplot draw NAME.svg.
///
/// Returns an empty text, or why there is no SVG. No shell is involved: gnuplot is started with its arguments as they are.
/// Errors: ConfigError if the plot's name is no file name; ShapeError if the series' lengths do not fit; FileError.
inline std::string draw(const Plot& plot, const std::filesystem::path& folder, const char* program = "gnuplot") {
    const std::string script = plot_script(plot);
    const std::filesystem::path base = std::filesystem::absolute(folder) / plot.name;
    const auto file = [&](const char* ending) { return base.string() + ending; };
    plot_csv(plot).write(file(".csv"));
    write_text_file(file(".gp"), script);

    const std::string script_path = file(".gp"), partial = file(".svg.partial.") + std::to_string(::getpid());
    std::string default_settings = "-d", program_name = program, script_argument = script_path;  // exec takes writable texts
    char* arguments[] = {program_name.data(), default_settings.data(), script_argument.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, partial.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    pid_t child = 0;
    const int failure = posix_spawnp(&child, program, &actions, nullptr, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    if (failure == 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    std::error_code ignored;
    const bool missing = failure == ENOENT || (failure == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127);
    if (failure != 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        std::filesystem::remove(partial, ignored);
        std::filesystem::remove(file(".svg"), ignored);  // one of an earlier run would not show these numbers
        return message(plot.name, ".svg is not drawn: ", program, missing ? " is not installed" : " failed",
                       "; the numbers are in ", plot.name, ".csv, the script in ", plot.name, ".gp");
    }
    std::filesystem::rename(partial, file(".svg"));
    return "";
}

}  // namespace fot::examples
