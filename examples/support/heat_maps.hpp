/// A figure of maps: shares over two sizes, such as accuracy over memory and distractors, drawn by heat_maps.gp beside this file.
///
/// Read first: support/plot.hpp.   Read next: distractor_ladder.cpp.
#pragma once

#include "plot.hpp"

namespace fot::examples {

/// A share at one place of a map.
struct MapPoint {
    Index x, y;
    double value;  ///< 0 ... 1
};

/// Maps beside one another, `columns` in a row. The places on an axis are the values that come, in their order.
struct HeatMaps {
    std::string name;  ///< of its files
    std::string title, x_label, y_label;
    Index columns = 1;
    std::vector<std::pair<std::string, std::vector<MapPoint>>> maps = {};  ///< title, without commas and quotes, and shares
};

/// Writes NAME.csv into the folder and has gnuplot draw NAME.svg. Returns an empty text, or why there is no SVG.
/// Errors: FileError if the CSV file cannot be written.
inline std::string draw(const HeatMaps& figure, const std::filesystem::path& folder, const std::string& gnuplot = "gnuplot") {
    Table numbers({"panel", "x", "y", "value"});
    for (const auto& [title, points] : figure.maps)
        for (const MapPoint& point : points) numbers.add(title, point.x, point.y, point.value);
    write_text_file((folder / (figure.name + ".csv")).string(), numbers.csv());
    return draw_by("heat_maps.gp", folder / figure.name, {figure.title, figure.x_label, figure.y_label, message(figure.columns)},
                   gnuplot);
}

}  // namespace fot::examples
