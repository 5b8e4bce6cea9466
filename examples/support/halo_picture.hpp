/// Which contexts a rank has, and which it gets from others: as text and as a picture.
///
/// Read first: fot/distributed/context_exchange.hpp.   Read next: crossbatch_ranks_tour.cpp.
#pragma once

#include <algorithm>
#include <array>
#include <sstream>
#include <string>

#include "fot/distributed/context_exchange.hpp"

namespace fot::examples {

/// '#' for a context that the rank has, '+' for one that its entries see and others have, '.' for any other.
inline char halo_sign(const BatchShares& shares, Index rank, Index context) {
    if (shares.documents_of(rank).contains(context % shares.pool)) return '#';
    const Share entries = shares.entries_of(rank);
    for (Index owner = 0; owner < shares.ranks; ++owner) {
        const std::vector<Index> seen = shares.seen(entries.first, entries.last, owner);
        if (std::ranges::find(seen, context) != seen.end()) return '+';
    }
    return '.';
}

/// A line for each rank, a sign for each context.
inline std::string halo_pattern(const BatchShares& shares) {
    std::string text;
    for (Index rank = 0; rank < shares.ranks; ++rank) {
        text += message("  rank ", rank, "  ");
        for (Index context = 0; context < shares.table.available; ++context) text += message(" ", halo_sign(shares, rank, context));
        text += "\n";
    }
    return text;
}

/// The same as SVG: a colour for each rank, filled where it has a context, outlined in the owner's colour where it gets one.
inline std::string halo_svg(const BatchShares& shares) {
    constexpr std::array colours = {"#1b6ca8", "#d1662d", "#3d8b53", "#8a5aa5", "#a8324a", "#6b7280"};
    const auto colour = [&](Index rank) { return element(colours, rank % length_of(colours)); };
    const Index cell = 34, left = 80, top = 46, width = left + shares.table.available * cell + 10,
                height = top + shares.ranks * cell + 34;
    std::ostringstream svg;
    svg << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << " " << height
        << "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\""
        << left << "\" y=\"18\">previous context of document</text>\n";
    for (Index context = 0; context < shares.table.available; ++context)
        svg << "<text x=\"" << left + context * cell + cell / 2 - 4 << "\" y=\"" << top - 8 << "\">" << context % shares.pool
            << "</text>\n";
    for (Index rank = 0; rank < shares.ranks; ++rank) {
        svg << "<text x=\"8\" y=\"" << top + rank * cell + 21 << "\">rank " << rank << "</text>\n";
        for (Index context = 0; context < shares.table.available; ++context) {
            const char sign = halo_sign(shares, rank, context);
            Index owner = 0;
            while (!shares.documents_of(owner).contains(context % shares.pool)) ++owner;
            svg << "<rect x=\"" << left + context * cell + 3 << "\" y=\"" << top + rank * cell + 3 << "\" width=\"" << cell - 6
                << "\" height=\"" << cell - 6 << "\" rx=\"4\" stroke-width=\"3\" fill=\"" << (sign == '#' ? colour(rank) : "none")
                << "\" stroke=\"" << (sign == '.' ? "#dddddd" : colour(owner)) << "\"/>\n";
        }
    }
    svg << "<text x=\"" << left << "\" y=\"" << height - 12 << "\">filled: the rank has it; outlined: it is sent</text>\n</svg>\n";
    return svg.str();
}

}  // namespace fot::examples
