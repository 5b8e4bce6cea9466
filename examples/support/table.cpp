#include "table.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace fot::examples {

std::string fixed(double value, int digits) {
    if (std::isnan(value)) return "-";
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << value;
    return text.str();
}

std::string estimate_text(const Estimate& estimate, int digits) {
    if (std::isnan(estimate.interval.low)) return fixed(estimate.value, digits);
    return message(fixed(estimate.value, digits), " [", fixed(estimate.interval.low, digits), ", ",
                   fixed(estimate.interval.high, digits), "]");
}

namespace {

/// Letters on the screen: bytes of UTF-8 that do not continue one.
std::size_t width(const std::string& text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

bool reads_as_number(const std::string& cell) {
    if (cell.empty() || cell == "-" || cell == "inf" || cell == "-inf") return true;
    const std::size_t first = cell[0] == '-' || cell[0] == '+' ? 1 : 0;
    return first < cell.size() && cell[first] >= '0' && cell[first] <= '9';
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
    require<ShapeError>(cells.size() == rows_[0].size(), "Table::add: ", cells.size(), " cells for ", rows_[0].size(), " columns");
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
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

std::string Table::csv() const {
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

}  // namespace fot::examples
