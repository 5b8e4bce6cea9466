#include "../../examples/support/heat_maps.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::file_text;
using fot::testing::TemporaryFolder;

namespace {

HeatMaps two_maps() {
    return {.name = "maps",
            .title = "It's `date` here",
            .x_label = "memory",
            .y_label = "distractors",
            .columns = 2,
            .maps = {{"first", {{1024, 0, 1}, {4096, 0, 0.75}, {1024, 10, 0.5}, {4096, 10, 0.25}}}, {"second", {{1024, 0, 0}}}}};
}

}  // namespace

TEST_CASE("maps without gnuplot leave their numbers, and say so") {
    const TemporaryFolder folder;
    CHECK(draw(two_maps(), folder / "", "false") ==
          "maps.svg is not drawn: false failed or is not installed; the numbers are in maps.csv");
    CHECK(file_text(folder / "maps.csv") ==
          "panel,x,y,value\nfirst,1024,0,1\nfirst,4096,0,0.75\nfirst,1024,10,0.5\nfirst,4096,10,0.25\nsecond,1024,0,0\n");
}

TEST_CASE("gnuplot draws a square for each number, with the number in it") {
    if (std::system("gnuplot --version > /dev/null 2>&1") != 0) return;
    const TemporaryFolder folder;
    CHECK(draw(two_maps(), folder / "") == "");
    const std::string svg = file_text(folder / "maps.svg");
    for (const char* text : {"</svg>", "It's `date` here", "memory", "distractors", ">first<", ">second<", ">1K<", ">4K<", ">10<",
                             ">1.00<", ">0.75<", ">0.50<", ">0.25<", ">0.00<"})
        CHECK_MESSAGE(svg.find(text) != std::string::npos, text);
}
