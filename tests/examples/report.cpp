#include "../../examples/support/report.hpp"

#include <doctest/doctest.h>

#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::TemporaryFolder;

TEST_CASE("result lines come last, in order, counts in full") {
    const TemporaryFolder folder;
    std::ostringstream out;
    Report report(folder.path(), out);
    report.result("accuracy.hard.1048576", 0.9987654321);
    report.result("index_checksum", std::int64_t(123456789012345));
    report.result("tokens", 16777216.0);
    report.result("share", std::nan(""));
    report.result("reproduced", true);
    report.result("difference", Estimate{-0.25, {-0.5, 1.0 / 3}});
    Table csv({"a"});
    csv.add(1);
    report.csv("numbers", csv);
    report.print_results();
    CHECK(out.str() ==
          "\nwritten: " + (folder / "numbers.csv").string() +
              "\n\nresult accuracy.hard.1048576 0.998765\nresult index_checksum 123456789012345\nresult tokens 16777216\n"
              "result share nan\nresult reproduced yes\n"
              "result difference -0.25000 -0.50000 0.33333\n");
    report.result("once", 1);
    CHECK_THROWS_WITH_AS(report.result("once", 1), "result once is reported twice", ConfigError);
    CHECK_THROWS_WITH_AS(report.result("two words", 1), "result \"two words\": expected a name without spaces", ConfigError);
}

TEST_CASE("a table is shown below its title") {
    std::ostringstream out;
    Report report("", out);
    Table table({"a"});
    table.add(1);
    report.show("Numbers", table);
    CHECK(out.str() == "\nNumbers\n\na\n-\n1\n");
}

TEST_CASE("the page of a run has its question, command, tables, figures, results and settings, as text") {
    const TemporaryFolder folder;
    std::ostringstream out;
    Report report(folder.path(), out);
    report.write_page("Nothing?", "", "");
    CHECK_FALSE(std::filesystem::exists(folder / "report.html"));

    Table table({"a < b"});
    table.add("\"1\" & 2");
    report.show("Numbers", table);
    write_text_file(folder / "drawing.svg", "<?xml version=\"1.0\"?>\n<svg><g/></svg>");
    report.file("drawing.svg");
    report.result("share", 0.5);
    report.write_page("Does 1 < 2?", "program --a '&'", "a=3");
    const std::string page = read_text(folder / "report.html");
    for (const char* part : {"<h1>Does 1 &lt; 2?</h1>", "<pre>program --a '&amp;'</pre>", "<h2>Numbers</h2>", "<th>a &lt; b</th>",
                             "<td>&quot;1&quot; &amp; 2</td>", "<figure><svg><g/></svg></figure>",
                             "<tr><td>share</td><td>0.5</td></tr>", "<pre>a=3</pre>"}) {
        CAPTURE(part);
        CHECK(page.find(part) != std::string::npos);
    }
    for (const char* part : {"<?xml", "src=", "href="}) CHECK(page.find(part) == std::string::npos);  // needs no other file
    report.print_results();
    CHECK(out.str().ends_with("written: " + (folder / "report.html").string() + "\n\nresult share 0.5\n"));
}
