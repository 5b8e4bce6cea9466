#include "../../examples/support/table.hpp"

#include <doctest/doctest.h>

using namespace fot;
using namespace fot::examples;

TEST_CASE("a number as text reads back as the same number") {
    CHECK(number_text(0.1) == "0.1");
    CHECK(number_text(16777216) == "16777216");
    CHECK(std::stod(number_text(1.0 / 3)) == 1.0 / 3);
    CHECK(number_text(std::nan("")) == "");
    CHECK(value_text(true) == "yes");
    CHECK(value_text("word") == "word");
    CHECK(value_text(std::vector{4096, 65536}) == "4096 65536");
    CHECK(value_text(std::vector<std::string>{"standard", "mt"}) == "standard mt");
    CHECK(value_text(std::vector<int>{}) == "");
}

TEST_CASE("in a file, cells with commas, quotes and line breaks stand in quotes, and an estimate fills three columns") {
    Table table({"name", "value", "low", "high"});
    table.add("a, \"b\"\nc", Estimate{0.5, {0.25, 1}});
    table.add("plain", std::nan(""), "", "");
    CHECK(table.csv() == "name,value,low,high\n\"a, \"\"b\"\"\nc\",0.5,0.25,1\nplain,,,\n");
    CHECK_THROWS_WITH_AS(table.add(1), "Table::add: 1 cells for 4 columns", ShapeError);
}

TEST_CASE("a table aligns numbers right and words left") {
    Table table({"model", "tokens", "τ"});
    table.add("standard", "256", 0.5);
    table.add("fot", "16M", -12);
    table.add("größer", "-", "");
    CHECK(table.text() ==
          "model     tokens    τ\n"
          "--------  ------  ---\n"
          "standard     256  0.5\n"
          "fot          16M  -12\n"
          "größer         -\n");
    CHECK_THROWS_WITH_AS(table.add(1), "Table::add: 1 cells for 3 columns", ShapeError);
}

TEST_CASE("numbers for tables") {
    CHECK(fixed(2.0 / 3) == "0.667");
    CHECK(fixed(std::nan("")) == "-");
    CHECK(estimate_text({0.5, {0.25, 1}}, 2) == "0.50 [0.25, 1.00]");
    const Estimate share = estimate_of(Proportion{3, 4});
    CHECK(share.value == 0.75);
    CHECK((share.interval.low == Proportion{3, 4}.interval().low));
}
