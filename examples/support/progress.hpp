/// How far a long loop is: a bar with the time left on a terminal, a plain line now and then when the output goes to a file.
///
///     Progress progress("training", steps);
///     for (Index step = 0; step < steps; ++step) {
///         ...
///         progress.update(step + 1, "loss " + fixed(loss));
///     }
///
/// It writes to the standard error, so that results can be piped while the bar stays visible. A loop that is never
/// entered shows nothing.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "fot/core/index.hpp"

namespace fot::examples {

/// Seconds as "0:07", "12:30" or "1:02:03".
std::string duration_text(double seconds);

class Progress {
   public:
    /// Progress of `total` units of work (steps, documents, tokens) that is called `what`.
    Progress(std::string what, Index total);

    /// The same with its surroundings given: where to write, whether that is a terminal, and a clock.
    Progress(std::string what, Index total, std::ostream& out, bool terminal, std::function<double()> clock);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { finish(); }

    /// There turn out to be `total` units of work.
    void expect(Index total) { total_ = total; }

    /// `done` units are done (not one more: the count so far). `note` stands after the numbers, a loss for instance. What is shown
    /// is at most ten bars a second, or a line every half minute.
    void update(Index done, const std::string& note = "");

    /// Writes the last state and ends the line. Called by the destructor too, so that an error message starts on a line of its own.
    void finish();

   private:
    void show(double now);

    std::string what_, note_;
    Index total_, done_ = -1, first_done_ = 0;  // done_: -1 before the first update
    std::ostream& out_;
    bool terminal_, finished_ = false;
    std::function<double()> clock_;
    double begin_, first_ = 0, shown_ = 0;
};

}  // namespace fot::examples
