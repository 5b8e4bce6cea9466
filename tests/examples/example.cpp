#include "../../examples/support/example.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <map>
#include <set>
#include <sstream>

#include "fot/core/blas_kernels.hpp"
#include "support/temporary_folder.hpp"

using namespace fot;
using namespace fot::examples;
using fot::testing::TemporaryFolder;

namespace {

/// Runs an example with these arguments; what it printed is in `out` and `errors`.
struct Run {
    int code = -1;
    std::ostringstream out, errors;

    template <class Body>
    Run(std::vector<std::string> words, Body&& body) {
        words.insert(words.begin(), "build/some_example");
        std::vector<const char*> arguments;
        for (const std::string& word : words) arguments.push_back(word.c_str());
        try {
            Example example(static_cast<int>(arguments.size()), arguments.data(), "Does it run?", out, errors);
            body(example);
            code = example.finish();
        } catch (...) {
            code = report_failure(errors);
        }
    }
};

}  // namespace

TEST_CASE("what the libraries of threads should find in the environment is missing there, unless the user has chosen") {
    std::map<std::string, std::string> before;  // of the variables that are changed here
    for (const char* name : {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"})
        if (const char* value = std::getenv(name)) before[name] = value;
    const auto missing = [](const std::map<std::string, std::string>& set) {
        for (const char* name : {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY"}) ::unsetenv(name);
        for (const auto& [name, value] : set) ::setenv(name.c_str(), value.c_str(), 1);
        std::set<std::string> names;
        for (const auto& [name, value] : missing_in_environment()) names.insert(name);
        names.erase("OPENBLAS_NUM_THREADS");  // where memory is limited
        return names;
    };
    CHECK(missing({}) == std::set<std::string>{"GOMP_SPINCOUNT", "KMP_BLOCKTIME"});
    CHECK(missing({{"KMP_BLOCKTIME", "5"}}) == std::set<std::string>{"GOMP_SPINCOUNT"});
    CHECK(missing({{"GOMP_SPINCOUNT", "7"}}) == std::set<std::string>{"KMP_BLOCKTIME"});
    CHECK(missing({{"OMP_WAIT_POLICY", "active"}}).empty());
    missing(before);
}

TEST_CASE("an example echoes its options and ends with its results") {
    const TemporaryFolder folder;
    const Index threads_before = threads();
    Index steps = 0;
    const Run run({"--output", (folder / "a" / "b").string(), "--threads", "1", "--widths", "3", "4"}, [&](Example& example) {
        std::vector<Index> widths{1, 2};
        bool hard = false;
        example.option("--steps", steps, {1, 10, 100}, "training steps");
        example.option("--widths", widths, "widths");
        example.flag("--hard", hard, "harder");
        example.parse();
        CHECK(widths == std::vector<Index>{3, 4});
        CHECK(example.seed() == 1);
        CHECK(example.name() == "some_example");
        example.out() << "body\n";
        example.result("loss", 0.25);
    });
    set_threads(threads_before);
    CHECK(run.code == 0);
    CHECK(steps == 10);
    const std::string output = (folder / "a" / "b").string();
    CHECK(std::filesystem::is_directory(output));
    CHECK(run.out.str().starts_with("some_example: Does it run?\nseed=1\nthreads=1\noutput=\"" + output +
                                    "\"\nquick=false\nfull=false\nsteps=10\nwidths=[3, 4]\nhard=false\nBLAS " + blas_name()));
    CHECK(run.out.str().ends_with("\n\nbody\n\nresult loss 0.25\n"));
    CHECK(run.errors.str().empty());
}

TEST_CASE("quick and full change the defaults, not what was given") {
    const TemporaryFolder folder;
    Index steps = 0;
    const auto body = [&](Example& example) {
        example.option("--steps", steps, {1, 10, 100}, "training steps");
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
        example.option("--steps", steps, {1, 10, 100}, "training steps");
        example.parse();
    };
    const Run help({"--help"}, body);
    CHECK(help.code == 0);
    CHECK(help.out.str().find("(1 quick, 10, 100 full)") != std::string::npos);
    CHECK(help.out.str().find("results/some_example") != std::string::npos);
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"--stepz", "1"}, {"--steps", "many"}, {"--quick=true"}, {"--full=1"}, {"--steps", "010"}}) {
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
    CHECK(threads_wrong.code == 2);
    CHECK(threads_wrong.errors.str().starts_with("--threads: 0, expected 1 or more\n"));
    const Run seed_wrong({"--seed", "-1"}, [](Example& example) { example.parse(); });
    CHECK(seed_wrong.errors.str().starts_with("--seed: -1, expected 0 or more\n"));
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
            example.result("loss", 0.25);
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
    CHECK(errors({"--sizes", "2", "0"}).starts_with("--sizes: 0, expected 1 or more\n"));
    CHECK(errors({"--sizes", "2", "3", "2"}).starts_with("--sizes: 2 is given twice\n"));
    CHECK(errors({"--sizes", "2,3,2"}).starts_with("--sizes: 2 is given twice\n"));
    CHECK(errors({"--sizes", "2,0"}).starts_with("--sizes: 0, expected 1 or more\n"));
    CHECK(errors({"--rates", "1", "inf"}).starts_with("--rates: inf, expected 0 or more\n"));
    CHECK(errors({"--rates", ""}).starts_with("--rates: nothing, expected 0 or more\n"));
    CHECK(errors({"--models", "base", "base"}).starts_with("--models: base is given twice\n"));
}

TEST_CASE("a list is written with spaces or commas, and a sequence may say a thing twice") {
    const TemporaryFolder folder;
    for (const std::vector<std::string>& words : {std::vector<std::string>{"--layers", "0,1", "--ids", "3,3"},
                                                  std::vector<std::string>{"--layers", "0", "1", "--ids", "3", "3"},
                                                  std::vector<std::string>{"--layers", "[0,1]", "--ids", "[3,3]"}}) {
        std::vector<std::string> all{"--output", folder.path()};
        all.insert(all.end(), words.begin(), words.end());
        std::vector<Index> layers, ids;
        const Run run(all, [&](Example& example) {
            example.option("--layers", layers, "layers");
            example.sequence("--ids", ids, "ids");
            example.parse();
        });
        CHECK(run.code == 0);
        CHECK(layers == std::vector<Index>{0, 1});
        CHECK(ids == std::vector<Index>{3, 3});
    }
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
    CHECK(run({"--seeds", "0"}, true).errors.str().starts_with("--seeds: 0, expected 1 or more\n"));
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

TEST_CASE("an option may have a second name") {
    const TemporaryFolder folder;
    for (const char* name : {"--places", "--queries"}) {
        Index places = 1;
        const Run run({"--output", folder.path(), name, "5"}, [&](Example& example) {
            example.option("--places,--queries", places, "places");
            example.parse();
        });
        CHECK(places == 5);
        CHECK(run.out.str().find("\nplaces=5\n") != std::string::npos);
    }
}

TEST_CASE("a run that shows a table leaves a page that says how to run it again") {
    const TemporaryFolder folder;
    const std::string output = (folder / "a b").string();
    const Run run({"--output", output}, [](Example& example) {
        example.parse();
        Table table({"a"});
        table.add(1);
        example.show("Numbers", table);
    });
    CHECK(run.code == 0);
    CHECK(run.out.str().find("written: " + output + "/report.html") != std::string::npos);
    const std::string page = read_text(output + "/report.html");
    CHECK(page.find("<h1>Does it run?</h1>\n<pre>build/some_example --output '" + output + "'</pre>") != std::string::npos);
    CHECK(page.find("seed=1\n") != std::string::npos);
}
