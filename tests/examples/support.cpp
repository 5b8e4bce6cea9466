#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "../../examples/support/options.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::TemporaryFolder;

namespace {

std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// Runs an example with these arguments; what it printed is in `out` and `errors`.
struct Run {
    int code = -1;
    std::ostringstream out, errors;

    template <class Body>
    Run(std::vector<std::string> words, Body&& body) {
        words.insert(words.begin(), "build/some_example");
        std::vector<char*> arguments;
        for (std::string& word : words) arguments.push_back(word.data());
        code = run_example(static_cast<int>(arguments.size()), arguments.data(), "Does it run?", body, out, errors);
    }
};

Plot small_plot() {
    Plot plot;
    plot.name = "small";
    plot.title = "It's `date` \"here\" | 100 %";
    plot.log_x = plot.log_y = true;
    Series measured{"model, \"one\"", {}, {}};
    for (const Index documents : {1, 4, 64})
        measured.add(static_cast<double>(documents), Estimate{1.0 / static_cast<double>(documents), {-0.5, 1}});
    plot.series = {measured, {"1/d", {1, 64}, {1, 1.0 / 64}, {}, {}, Style::guide}};
    return plot;
}

}  // namespace

TEST_CASE("a number as text reads back as the same number") {
    CHECK(number_text(0.1) == "0.1");
    CHECK(number_text(16777216) == "16777216");
    CHECK(std::stod(number_text(1.0 / 3)) == 1.0 / 3);
    CHECK(number_text(std::nan("")) == "");
    CHECK(value_text(true) == "yes");
    CHECK(value_text("word") == "word");
}

TEST_CASE("CSV fields with commas, quotes and line breaks stand in quotes") {
    Csv csv({"name", "value"});
    csv.add("a, \"b\"\nc", 0.5);
    csv.add("plain", std::nan(""));
    CHECK(csv.text() == "name,value\n\"a, \"\"b\"\"\nc\",0.5\nplain,\n");
    CHECK_THROWS_WITH_AS(csv.add(1), "Csv::add: 1 values for 2 columns", ShapeError);
    CHECK_THROWS_WITH_AS(Csv({}), "Csv: no columns", ConfigError);
}

TEST_CASE("a file is replaced as a whole and leaves no temporary one behind") {
    const TemporaryFolder folder;
    write_text_file(folder / "x.csv", "old");
    write_text_file(folder / "x.csv", "new");
    CHECK(read(folder / "x.csv") == "new");
    CHECK(folder.entries() == 1);
    CHECK_THROWS_WITH_AS(write_text_file(folder / "missing" / "x.csv", ""), doctest::Contains("missing"), FileError);
    std::filesystem::create_directory(folder / "taken");
    CHECK_THROWS_WITH_AS(write_text_file(folder / "taken", ""), doctest::Contains("taken"), FileError);
    CHECK(folder.entries() == 2);
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
    CHECK_THROWS_WITH_AS(Table({}), "Table: no columns", ConfigError);
}

TEST_CASE("numbers for tables and axes") {
    CHECK(fixed(2.0 / 3) == "0.667");
    CHECK(fixed(std::nan("")) == "-");
    CHECK(estimate_text({0.5, {0.25, 1}}, 2) == "0.50 [0.25, 1.00]");
    CHECK(count_text(0) == "0");
    CHECK(count_text(256) == "256");
    CHECK(count_text(1536) == "1536");
    CHECK(count_text(65536) == "64K");
    CHECK(count_text(16777216) == "16M");
    CHECK(count_text(Index(1) << 31) == "2G");
}

TEST_CASE("result lines come last, in order, counts in full") {
    const TemporaryFolder folder;
    std::ostringstream out;
    Report report(folder / "", out);
    report.result("accuracy.hard.1048576", 0.9987654321);
    report.result("index_checksum", std::int64_t(123456789012345));
    report.result("tokens", 16777216.0);
    report.result("share", std::nan(""));
    report.result("reproduced", true);
    Csv csv({"a"});
    csv.add(1);
    report.csv("numbers", csv);
    report.finish();
    CHECK(out.str() ==
          "\nwritten: " + (folder / "numbers.csv").string() +
              "\n\nresult accuracy.hard.1048576 0.998765\nresult index_checksum 123456789012345\nresult tokens 16777216\n"
              "result share nan\nresult reproduced yes\n");
    report.result("once", 1);
    CHECK_THROWS_WITH_AS(report.result("once", 1), "result once is reported twice", ConfigError);
    CHECK_THROWS_WITH_AS(report.result("two words", 1), "result \"two words\": expected a name without spaces", ConfigError);
    CHECK_THROWS_WITH_AS(report.csv("../up", csv), doctest::Contains("\"../up\" is no file name"), ConfigError);
}

TEST_CASE("a plot without gnuplot leaves its numbers and its script, and says so") {
    const TemporaryFolder folder;
    write_text_file(folder / "small.svg", "of an earlier run");
    CHECK(draw(small_plot(), folder / "", "no_such_gnuplot") ==
          "small.svg is not drawn: no_such_gnuplot is not installed; the numbers are in small.csv, the script in small.gp");
    CHECK(read(folder / "small.csv") ==
          "series,x,y,low,high\n\"model, \"\"one\"\"\",1,1,-0.5,1\n\"model, \"\"one\"\"\",4,0.25,-0.5,1\n"
          "\"model, \"\"one\"\"\",64,0.015625,-0.5,1\n1/d,1,1,,\n1/d,64,0.015625,,\n");
    CHECK(folder.entries() == 2);
    CHECK(draw(small_plot(), folder / "", "false") ==
          "small.svg is not drawn: false failed; the numbers are in small.csv, the script in small.gp");
    CHECK(folder.entries() == 2);
}

TEST_CASE("gnuplot draws the plot, and reads titles as text, not as commands") {
    const TemporaryFolder folder;
    std::ostringstream out;
    Report report(folder / "", out);
    report.plot(small_plot());
    report.finish();
    if (out.str().find("not installed") != std::string::npos) return;  // a machine without gnuplot
    const std::string svg = read(folder / "small.svg");
    CHECK(svg.find("</svg>") != std::string::npos);
    CHECK(svg.find("`date`") != std::string::npos);
    CHECK(svg.find(">64<") != std::string::npos);
    CHECK(folder.entries() == 3);
}

TEST_CASE("a logarithmic axis cuts an interval at its edge and leaves out what has no logarithm") {
    Plot plot = small_plot();
    plot.series[0].add(0, Estimate{std::nan(""), {std::nan(""), std::nan("")}});
    const std::string script = plot_script(plot);
    CHECK(script.find("\n1 1 0.01358") != std::string::npos);  // low -0.5 becomes the bottom, 1/64 / 1.15
    CHECK(script.find("0 NaN NaN NaN") != std::string::npos);
    CHECK(script.find("-0.5") == std::string::npos);
}

TEST_CASE("plots with wrong contents are refused") {
    Plot plot = small_plot();
    for (const char* name : {"", ".hidden", "a/b", "-e", "a b", "|cmd"}) {
        plot.name = name;
        CHECK_THROWS_WITH_AS(plot_script(plot), doctest::Contains("is no file name"), ConfigError);
    }
    plot = small_plot();
    plot.series[1].y.pop_back();
    CHECK_THROWS_WITH_AS(plot_script(plot),
                         "plot small, series 1/d: 2 x, 1 y, 0 low, 0 high, expected as many y as x, and as many or no limits",
                         ShapeError);
    plot.series.clear();
    CHECK_THROWS_WITH_AS(plot_script(plot), "plot small: no series", ShapeError);
}

TEST_CASE("durations are written as on a clock") {
    CHECK(duration_text(0.4) == "0:00");
    CHECK(duration_text(67) == "1:07");
    CHECK(duration_text(3723) == "1:02:03");
    CHECK(duration_text(-1) == "0:00");
}

TEST_CASE("piped progress is a few plain lines") {
    std::ostringstream out;
    double now = 0;
    {
        Progress progress("training", 1000, 0, out, false, [&] { return now; });
        for (Index step = 1; step <= 1000; ++step) {
            now = 0.1 * static_cast<double>(step);
            progress.update(step, "loss 2");
        }
    }
    const std::string text = out.str();
    CHECK(std::count(text.begin(), text.end(), '\n') == 10);
    CHECK(text.find("training  10 %  100/1000  1:30 left  loss 2\n") == 0);
    CHECK(text.find("training  100 %  1000/1000  1:40  loss 2\n") != std::string::npos);
    CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("a fast loop prints one plain line, a slow one gives a sign of life") {
    std::ostringstream fast, slow;
    double now = 0;
    {
        Progress progress("fast", 10, 0, fast, false, [&] { return now; });
        for (Index i = 1; i <= 10; ++i) progress.update(i);
    }
    CHECK(fast.str() == "fast  100 %  10/10  0:00\n");
    Progress progress("slow", 1000, 0, slow, false, [&] { return now; });
    for (Index i = 1; i <= 10; ++i) {
        now += 30;
        progress.update(i);
    }
    const std::string text = slow.str();
    CHECK(std::count(text.begin(), text.end(), '\n') == 5);
}

TEST_CASE("on a terminal a bar is redrawn in place and ends its line") {
    std::ostringstream out;
    double now = 0;
    Progress progress("search", 4, 0, out, true, [&] { return now; });
    progress.update(0);
    progress.update(1);  // too soon to be drawn
    now = 2;
    progress.update(2, "note");
    CHECK(out.str() ==
          "\rsearch [........................] 0 %  0/4\x1b[K\rsearch [############............] 50 %  2/4  0:02 left  note\x1b[K");
    progress.finish();
    progress.update(3);
    CHECK(out.str().back() == '\n');
    CHECK(out.str().find("50 %  2/4  0:02  note\x1b[K\n") != std::string::npos);
    CHECK_THROWS_WITH_AS(Progress("x", -1), "Progress: 0 of -1 units of work", ConfigError);
    CHECK_THROWS_WITH_AS(Progress("x", 3, 4), "Progress: 4 of 3 units of work", ConfigError);
    Progress nothing("nothing", 0, 0, out, true, [&] { return now; });
    nothing.finish();
    CHECK(out.str().find("nothing [########################] 100 %  0/0") != std::string::npos);
}

TEST_CASE("the time left is told by what was done since the beginning, not before, and by what there turns out to be") {
    std::ostringstream out;
    double now = 0;
    {
        Progress progress("training", 1000, 900, out, false, [&] { return now; });
        now = 10;
        progress.update(1000 - 80);
        now = 70;  // a sign of life
        progress.update(1000 - 60);
        progress.expect(950);
        now = 140;
        progress.update(945);
    }
    CHECK(out.str() ==
          "training  94 %  940/1000  1:45 left\n"
          "training  99 %  945/950  0:16 left\n"
          "training  99 %  945/950  2:20\n");
    Progress fewer("fewer", 10, 8, out, false, [&] { return now; });
    fewer.expect(4);
    fewer.finish();
    CHECK(out.str().ends_with("fewer  100 %  4/4  0:00\n"));
}

TEST_CASE("an example echoes its options and ends with its results") {
    const TemporaryFolder folder;
    const Index threads_before = threads();
    Index steps = 0;
    const Run run({"--output", (folder / "a" / "b").string(), "--threads", "1", "--widths", "3", "4"}, [&](Example& example) {
        std::vector<Index> widths{1, 2};
        bool hard = false;
        example.option("--steps", steps, Scaled<Index>{1, 10, 100}, "training steps");
        example.option("--widths", widths, "widths");
        example.flag("--hard", hard, "harder");
        CHECK_THROWS_WITH_AS(example.report(), "Example::report: call parse() first", ConfigError);
        example.parse();
        CHECK(widths == std::vector<Index>{3, 4});
        CHECK(example.seed() == 1);
        CHECK(example.name() == "some_example");
        example.out() << "body\n";
        example.report().result("loss", 0.25);
    });
    set_threads(threads_before);
    CHECK(run.code == 0);
    CHECK(steps == 10);
    const std::string output = (folder / "a" / "b").string();
    CHECK(std::filesystem::is_directory(output));
    const std::string faster = faster_blas_kernels(),
                      blas = blas_name() + (faster.empty()
                                                ? ""
                                                : "\n           this OpenBLAS does not know the processor; OPENBLAS_CORETYPE=" +
                                                      faster + " makes it several times as fast");
    CHECK(run.out.str() == "some_example: Does it run?\n  seed     1\n  threads  1\n  output   " + output +
                               "\n  steps    10\n  widths   3 4\n  hard     no\n  scale    default\n  BLAS     " + blas +
                               "\n\nbody\n\nresult loss 0.25\n");
    CHECK(run.errors.str().empty());
}

TEST_CASE("quick and full change the defaults, not what was given") {
    const TemporaryFolder folder;
    Index steps = 0;
    const auto body = [&](Example& example) {
        example.option("--steps", steps, Scaled<Index>{1, 10, 100}, "training steps");
        example.parse();
    };
    const std::string output = (folder / "").string();
    CHECK(Run({"--output", output, "--quick"}, body).code == 0);
    CHECK(steps == 1);
    CHECK(Run({"--output", output, "--full"}, body).code == 0);
    CHECK(steps == 100);
    CHECK(Run({"--output", output, "--quick", "--steps", "7"}, body).code == 0);
    CHECK(steps == 7);
    CHECK(Run({"--output", output, "--quick", "--full"}, body).code == 2);
}

TEST_CASE("help is no error, a wrong option is") {
    const auto body = [](Example& example) {
        Index steps = 0;
        example.option("--steps", steps, Scaled<Index>{1, 10, 100}, "training steps");
        example.parse();
    };
    const Run help({"--help"}, body);
    CHECK(help.code == 0);
    CHECK(help.out.str().find("10 (quick 1, full 100)") != std::string::npos);
    CHECK(help.out.str().find("results/some_example") != std::string::npos);
    for (const std::vector<std::string>& words : {std::vector<std::string>{"--stepz", "1"}, {"--steps", "many"}}) {
        const Run wrong(words, body);
        CHECK(wrong.code == 2);
        CHECK_FALSE(wrong.errors.str().empty());
    }
}

TEST_CASE("what an example throws becomes a message and an exit code") {
    const Run failed({}, [](Example&) { throw DataError("document 3 is empty"); });
    CHECK(failed.code == 1);
    CHECK(failed.errors.str() == "error: document 3 is empty\n");
    const Run threads_wrong({"--threads", "0"}, [](Example& example) { example.parse(); });
    CHECK(threads_wrong.code == 1);
    CHECK(threads_wrong.errors.str() == "error: --threads 0: expected 1 or more\n");
    const Run seed_wrong({"--seed", "-1"}, [](Example& example) { example.parse(); });
    CHECK(seed_wrong.errors.str() == "error: --seed -1: expected 0 or more\n");
    const Run out_of_memory({}, [](Example&) { throw std::bad_alloc(); });
    CHECK(out_of_memory.errors.str() == "error: out of memory\n");
    const TemporaryFolder folder;
    write_text_file(folder / "file", "");
    const Run no_folder({"--output", (folder / "file").string()}, [](Example& example) { example.parse(); });
    CHECK(no_folder.code == 1);
    CHECK(no_folder.errors.str().find("cannot make this folder") != std::string::npos);
}

TEST_CASE("what was reported before an error or Ctrl-C is printed too") {
    const TemporaryFolder folder;
    const auto failing = [&](auto&& fail) {
        return Run({"--output", folder.path()}, [&](Example& example) {
            example.parse();
            example.report().result("loss", 0.25);
            fail();
        });
    };
    const Run failed = failing([] { throw DataError("document 3 is empty"); });
    CHECK(failed.code == 1);
    CHECK(failed.out.str().ends_with("\n\nresult loss 0.25\n"));
    CHECK(failed.errors.str() == "error: document 3 is empty\n");
    const Run stopped = failing([] { throw Interrupted("go on"); });
    CHECK(stopped.code == 130);
    CHECK(stopped.out.str().ends_with("\n\nresult loss 0.25\n"));
}

TEST_CASE("output that cannot be written is an error") {
    const TemporaryFolder folder;
    const auto onto_a_full_disk = [](Example& example) {
        example.out().setstate(std::ios::badbit);
        example.parse();
    };
    const Run full({"--output", folder.path()}, onto_a_full_disk);
    CHECK(full.code == 1);
    CHECK(full.errors.str() == "error: cannot write the output\n");
    CHECK(Run({"--help"}, onto_a_full_disk).code == 1);
}

TEST_CASE("every value of a list is checked, and none may come twice") {
    const auto errors = [](const std::vector<std::string>& words) {
        return Run(words,
                   [](Example& example) {
                       std::vector<Index> sizes{1};
                       std::vector<double> rates{0.5};
                       std::vector<std::string> models{"base"};
                       example.option("--sizes", sizes, "sizes", 1);
                       example.option("--rates", rates, "rates");
                       example.option("--models", models, "models");
                       example.parse();
                   })
            .errors.str();
    };
    CHECK(errors({"--sizes", "2", "0"}) == "error: --sizes 0: expected 1 or more\n");
    CHECK(errors({"--sizes", "2", "3", "2"}) == "error: --sizes 2: given twice\n");
    CHECK(errors({"--rates", "1", "inf"}) == "error: --rates inf: expected a finite number\n");
    CHECK(errors({"--models", "base", "base"}) == "error: --models base: given twice\n");
}

TEST_CASE("seeds begin with --seed, and --full has three") {
    const TemporaryFolder folder;
    std::vector<std::uint64_t> seeds;
    const auto run = [&](std::vector<std::string> words, bool with_option) {
        words.insert(words.end(), {"--output", folder.path()});
        return Run(words, [&](Example& example) {
            if (with_option) example.add_seeds_option();
            example.parse();
            seeds = example.seeds();
        });
    };
    CHECK(run({"--seed", "7"}, true).code == 0);
    CHECK(seeds == std::vector<std::uint64_t>{7});
    run({"--seed", "7", "--seeds", "2"}, true);
    CHECK(seeds == std::vector<std::uint64_t>{7, 8});
    run({"--full"}, true);
    CHECK(seeds == std::vector<std::uint64_t>{1, 2, 3});
    run({"--full"}, false);
    CHECK(seeds == std::vector<std::uint64_t>{1});
    CHECK(run({"--seeds", "0"}, true).errors.str() == "error: --seeds 0: expected 1 or more\n");
}

TEST_CASE("Ctrl-C is seen by the loop and gives exit code 130") {
    const Run stopped({}, [](Example&) {
        stop_if_interrupted();
        CHECK_FALSE(interrupted());
        std::raise(SIGINT);
        CHECK(interrupted());
        stop_if_interrupted("the same command goes on");
    });
    CHECK(stopped.code == 130);
    CHECK(stopped.errors.str() == "interrupted: the same command goes on\n");
    std::signal(SIGINT, SIG_DFL);
}
