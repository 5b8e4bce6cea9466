#include "fot/files/json_file.hpp"

#include <doctest/doctest.h>

#include "support/allocations.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using fot::testing::TemporaryFolder;

namespace {

nlohmann::json read(const std::string& text) {
    const TemporaryFolder folder;
    folder.write("x.json", text);
    return *detail::read_json_object(folder / "x.json");
}

}  // namespace

TEST_CASE("what Python writes beside JSON is read as text, outside of text alone, and a byte order mark is passed over") {
    const nlohmann::json json =
        read("\xEF\xBB\xBF{\"a\": NaN, \"b\": [-Infinity, Infinity], \"c\": \"NaN \\\" Infinity\", \"d\": -1}");
    CHECK(json["a"] == "NaN");
    CHECK(json["b"] == nlohmann::json::array({"-Infinity", "Infinity"}));
    CHECK(json["c"] == "NaN \" Infinity");
    CHECK(json["d"] == -1);
    CHECK_THROWS_WITH_AS(detail::value_of<double>(json["a"], "field 'a'"), "field 'a' is \"NaN\", expected a number", FileError);
}

TEST_CASE("what is no JSON object is an error that says where, and what the file is if that is known") {
    CHECK_THROWS_WITH_AS(read("{\"a\": 1,\n \"b\": }"), doctest::Contains("line 2, column 7"), FileError);
    CHECK_THROWS_WITH_AS(read("[1]"), doctest::Contains("x.json: is no JSON object"), FileError);
    CHECK_THROWS_WITH_AS(read("\"a\\"), doctest::Contains("is no JSON object"), FileError);
    CHECK_THROWS_WITH_AS(read("version https://git-lfs.github.com/spec/v1\n"), doctest::Contains("it is a Git LFS pointer"),
                         FileError);
    CHECK_THROWS_WITH_AS(read("<html>"), doctest::Contains("it is a web page"), FileError);
    CHECK_THROWS_WITH_AS(read("{\"a\": 1e999}"), doctest::Contains("is no JSON object"), FileError);
    CHECK_THROWS_WITH_AS(read("{\"a\": 1} {}"), doctest::Contains("is no JSON object (something follows its last bracket)"),
                         FileError);
    CHECK(read("{\"a\": 1} \n")["a"] == 1);
    const std::string many(1'000'000, '[');
    CHECK_THROWS_WITH_AS(read("{\"a\": " + many), doctest::Contains("has more than 100 lists and objects within each other"),
                         FileError);
    CHECK(read("{\"a\": \"" + many + "\"}")["a"] == many);
}

TEST_CASE("memory that runs out while JSON is read is an error, and does not end the program") {
    const std::string text =
        R"({"a": [1, [2, "a text that is not a short one"], {}], "b": {"c": {"d": [null]}}, "e": [], "f": NaN})";
    CHECK(testing::for_every_failing_allocation([&] { detail::json_object(text, "x.json"); }, [] {}) > 20);
    CHECK(testing::for_every_failing_allocation(
              [&] {
                  try {
                      detail::json_object(text + "}", "x.json");
                  } catch (const FileError&) {
                  }
              },
              [] {}) > 20);
}

TEST_CASE("integers may have a point, and are checked") {
    CHECK(detail::value_of<Index>(nlohmann::json::parse("2048.0"), "n") == 2048);
    CHECK(detail::value_of<std::vector<Index>>(nlohmann::json::parse("[1, 2.0]"), "n") == std::vector<Index>{1, 2});
    for (const char* wrong : {"2048.5", "-1", "2147483648", "\"3\"", "true", "null", "[1]"})
        CHECK_THROWS_WITH_AS(detail::value_of<Index>(nlohmann::json::parse(wrong), "n"),
                             doctest::Contains("expected an integer from 0 to 2^31 - 1"), FileError);
}
