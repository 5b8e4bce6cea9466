/// The picture of who sees whom: a table of contexts as text or as an SVG file, made by what training itself uses.
///
/// Each row is a batch entry, each column a context: of the entry's own document, of another one, or not seen.
///
/// Read first: fot/attention/contexts.hpp.   Read next: crossbatch_tour.cpp.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "fot/attention/contexts.hpp"

namespace fot::examples {

/// The table as text: one line per entry, one column per context; plus a positive, minus a negative, a dot one that is not seen.
/// Errors: ConfigError if the table is not valid (require_valid).
inline std::string attention_pattern(const ContextTable& table) {
    require_valid(table, table.entries());
    const std::string which = table.available == 0 ? "no contexts" : message("contexts 0 ... ", table.available - 1);
    std::string text = message("entry  sees ", which, "  (+ own document, - other document)\n");
    for (Index entry = 0; entry < table.entries(); ++entry) {
        const std::vector<Index>& contexts = element(table.contexts, entry);
        const Index positives = element(table.positives, entry);
        std::string line(static_cast<std::size_t>(table.available), '.');
        for (Index i = 0; i < length_of(contexts); ++i) element(line, element(contexts, i)) = i < positives ? '+' : '-';
        const std::string number = message(entry), room(static_cast<std::size_t>(std::max<Index>(5 - length_of(number), 0)), ' ');
        text += message(room, number, "  ", line, "  ", positives, " positive, ", length_of(contexts) - positives, " negative\n");
    }
    return text;
}

/// An SVG drawing of the table under a title: full squares are positives, light ones negatives, dots are not seen.
/// Errors: ConfigError if the table is not valid (require_valid) or the title has one of the letters < > &.
inline std::string attention_svg(const ContextTable& table, const std::string& title) {
    require_valid(table, table.entries());
    require<ConfigError>(title.find_first_of("<>&") == std::string::npos, "attention_svg: the title '", title,
                         "' has letters that SVG reads as its own");
    const Index cell = 22, left = 70, top = 64, title_width = 20 + 9 * static_cast<Index>(title.size()),
                width = std::max({left + table.available * cell + 20, title_width, Index(400)}),
                height = top + table.entries() * cell + 44;
    std::string svg = message("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", width, " ", height, "\" width=\"", width,
                              "\" height=\"", height, "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n",
                              "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
    const auto text = [&](Index x, Index y, const char* anchor, const std::string& words, const char* more = "") {
        svg += message("<text x=\"", x, "\" y=\"", y, "\" text-anchor=\"", anchor, "\"", more, ">", words, "</text>\n");
    };
    const auto square = [&](Index x, Index y, const char* colour) {
        svg += message("<rect x=\"", x + 2, "\" y=\"", y + 2, "\" width=\"", cell - 4, "\" height=\"", cell - 4,
                       "\" rx=\"3\" fill=\"", colour, "\"/>\n");
    };
    const char *own = "#1b6ca8", *other = "#f0b27a";
    text(10, 22, "start", title, " font-size=\"14\" font-weight=\"bold\"");
    text(left, 42, "start", "sees context");
    for (Index context = 0; context < table.available; ++context)
        text(left + context * cell + cell / 2, top - 6, "middle", std::to_string(context), " font-size=\"10\"");
    for (Index entry = 0; entry < table.entries(); ++entry) {
        const std::vector<Index>& contexts = element(table.contexts, entry);
        const Index y = top + entry * cell;
        text(left - 8, y + 15, "end", message("entry ", entry));
        for (Index context = 0; context < table.available; ++context) {
            const Index x = left + context * cell, place = std::ranges::find(contexts, context) - contexts.begin();
            if (place < length_of(contexts))
                square(x, y, place < element(table.positives, entry) ? own : other);
            else
                svg += message("<circle cx=\"", x + cell / 2, "\" cy=\"", y + cell / 2, "\" r=\"1.5\" fill=\"#bbb\"/>\n");
        }
    }
    const Index legend = top + table.entries() * cell + 12;
    square(10, legend, own);
    text(36, legend + 15, "start", "own document (positive)");
    square(190, legend, other);
    text(216, legend + 15, "start", "other document (negative)");
    return svg + "</svg>\n";
}

}  // namespace fot::examples
