#include "../../examples/support/plot.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::file_text;
using fot::testing::TemporaryFolder;

namespace {

Plot small_plot() {
    Plot plot{.name = "small",
              .title = "It's `date` \"here\" | 100 %",
              .x_label = "contexts",
              .y_label = "mass",
              .logarithmic = "xy",
              .series = {{"model"}, {"1/d"}}};
    for (const Index documents : {1, 4, 64}) {
        const double even = 1 / static_cast<double>(documents);
        plot.series[0].add(documents, Estimate{even, {-0.5, 1}});
        plot.series[1].add(documents, even);
    }
    return plot;
}

bool gnuplot_is_there() { return std::system("gnuplot --version > /dev/null 2>&1") == 0; }

/// How often a text is in another.
Index count(const std::string& text, const std::string& part) {
    Index found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

}  // namespace

TEST_CASE("a plot without gnuplot leaves its numbers, and says so") {
    const TemporaryFolder folder;
    write_text_file(folder / "small.svg", "of an earlier run");
    CHECK(draw(small_plot(), folder / "", "false") ==
          "small.svg is not drawn: false failed or is not installed; the numbers are in small.csv");
    CHECK(file_text(folder / "small.csv") ==
          "series,x,y,low,high\nmodel,1,1,-0.5,1\nmodel,4,0.25,-0.5,1\nmodel,64,0.015625,-0.5,1\n"
          "1/d,1,1,,\n1/d,4,0.25,,\n1/d,64,0.015625,,\n");
    CHECK(folder.entries() == 1);
}

TEST_CASE("gnuplot draws the plot, and reads titles as text, not as commands") {
    if (!gnuplot_is_there()) return;
    const TemporaryFolder folder;
    CHECK(draw(small_plot(), folder / "") == "");
    const std::string svg = file_text(folder / "small.svg");
    CHECK(svg.find("</svg>") != std::string::npos);
    for (const char* text : {"It's `date` \"here\" | 100 %", "contexts", "mass", ">model<", ">1/d<", ">64<", ">0.05<"})
        CHECK(svg.find(text) != std::string::npos);
    CHECK(folder.entries() == 2);
}

TEST_CASE(
    "a series with intervals has a band, a single point a bar, a reference neither; a logarithmic axis leaves out what it cannot "
    "show") {
    if (!gnuplot_is_there()) return;
    const TemporaryFolder folder;
    Plot plot = small_plot();
    plot.series[0].add(256, Estimate{std::nan(""), {std::nan(""), std::nan("")}});
    plot.series.push_back({"point"});
    plot.series[2].add(4, Estimate{0.5, {-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()}});
    CHECK(draw(plot, folder / "") == "");
    const std::string svg = file_text(folder / "small.svg");
    CHECK(count(svg, "fill-opacity = '0.16") == 1);  // the model's band
    CHECK(svg.find(">256<") != std::string::npos);
}

TEST_CASE("ten curves have bands, eleven have none, which would hide each other, and a higher figure") {
    if (!gnuplot_is_there()) return;
    const TemporaryFolder folder;
    Plot plot = small_plot();  // a curve and a reference
    for (Index i = 0; i < 8; ++i) plot.series.push_back({message("model ", i), plot.series[0].points});
    CHECK(draw(plot, folder / "") == "");
    const std::string ten = file_text(folder / "small.svg");
    CHECK(count(ten, "fill-opacity = '0.16") == 9);
    CHECK(ten.find(" 520\"\n") != std::string::npos);
    plot.series.push_back({"one more", plot.series[0].points});
    CHECK(draw(plot, folder / "") == "");
    const std::string eleven = file_text(folder / "small.svg");
    CHECK(count(eleven, "fill-opacity = '0.16") == 0);
    CHECK(eleven.find(" 526\"\n") != std::string::npos);
    CHECK(eleven.find(">one more<") != std::string::npos);
}

TEST_CASE("a word of a shell command is what it was, whatever is in it") {
    CHECK(shell_word("plain") == "'plain'");
    CHECK(shell_word("it's $HOME") == "'it'\\''s $HOME'");
}
