#include "../../examples/support/progress.hpp"

#include <doctest/doctest.h>

#include <sstream>

using namespace fot;
using namespace fot::examples;

TEST_CASE("durations are written as on a clock") {
    CHECK(duration_text(0.4) == "0:00");
    CHECK(duration_text(67) == "1:07");
    CHECK(duration_text(3723) == "1:02:03");
    CHECK(duration_text(-1) == "0:00");
}

TEST_CASE("piped progress is a plain line every half minute, and one at the end") {
    std::ostringstream out;
    double now = 0;
    {
        Progress progress("training", 1000, out, false, [&] { return now; });
        for (Index step = 1; step <= 1000; ++step) {
            now = 0.1 * static_cast<double>(step);
            progress.update(step, "loss 2");
        }
    }
    const std::string text = out.str();
    CHECK(std::count(text.begin(), text.end(), '\n') == 4);
    CHECK(text.find("training  30 %  301/1000  1:10 left  loss 2\n") == 0);
    CHECK(text.ends_with("training  100 %  1000/1000  1:40  loss 2\n"));
    CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("a loop that is not entered shows nothing, a fast one a single line") {
    std::ostringstream out;
    {
        Progress nothing("nothing", 10, out, false, [] { return 0.0; });
    }
    CHECK(out.str().empty());
    {
        Progress fast("fast", 10, out, false, [] { return 0.0; });
        for (Index i = 1; i <= 10; ++i) fast.update(i);
    }
    CHECK(out.str() == "fast  100 %  10/10  0:00\n");
}

TEST_CASE("on a terminal a bar is redrawn in place and ends its line") {
    std::ostringstream out;
    double now = 0;
    Progress progress("search", 4, out, true, [&] { return now; });
    progress.update(0);
    progress.update(1);  // too soon to be drawn
    now = 2;
    progress.update(2, "note");
    CHECK(out.str() ==
          "\r\x1b[?7lsearch [........................] 0 %  0/4\x1b[K\x1b[?7h"
          "\r\x1b[?7lsearch [############............] 50 %  2/4  0:02 left  note\x1b[K\x1b[?7h");
    progress.finish();
    progress.update(3);
    CHECK(out.str().back() == '\n');
    CHECK(out.str().find("50 %  2/4  0:02  note\x1b[K\x1b[?7h\n") != std::string::npos);
}

TEST_CASE("the time left is told by what was done since the first update, and by what there turns out to be") {
    std::ostringstream out;
    double now = 0;
    {
        Progress progress("training", 1000, out, false, [&] { return now; });
        now = 10;
        progress.update(920);  // of which this loop did one
        now = 70;
        progress.update(940);
        progress.expect(950);
        now = 140;
        progress.update(945);
    }
    CHECK(out.str() ==
          "training  94 %  940/1000  3:00 left\n"
          "training  99 %  945/950  0:26 left\n"
          "training  99 %  945/950  2:20\n");
}
