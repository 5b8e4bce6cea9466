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

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include "fot/core/check.hpp"
#include "fot/core/index.hpp"

namespace fot::examples {

/// Seconds as "0:07", "12:30" or "1:02:03".
inline std::string duration_text(double seconds) {
    const auto total = static_cast<Index>(std::max(seconds, 0.0) + 0.5);
    const Index hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
    return message(hours > 0 ? message(hours, minutes < 10 ? ":0" : ":") : "", minutes, rest < 10 ? ":0" : ":", rest);
}

class Progress {
   public:
    /// Progress of `total` units of work (steps, documents, tokens) that is called `what`.
    Progress(std::string what, Index total)
        : Progress(std::move(what), total, std::cerr, ::isatty(STDERR_FILENO) != 0,
                   [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }) {}

    /// The same with its surroundings given: where to write, whether that is a terminal, and a clock.
    Progress(std::string what, Index total, std::ostream& out, bool terminal, std::function<double()> clock)
        : what_(std::move(what)), total_(total), out_(out), terminal_(terminal), clock_(std::move(clock)), begin_(clock_()) {}
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { finish(); }

    /// There turn out to be `total` units of work.
    void expect(Index total) { total_ = total; }

    /// `done` units are done (not one more: the count so far). `note` stands after the numbers, a loss for instance. What is shown
    /// is at most ten bars a second, or a line every half minute.
    void update(Index done, const std::string& note = "") {
        const double now = clock_();
        if (done_ < 0) {  // a loop that goes on where an earlier one stopped begins with a large count
            first_done_ = done;
            first_ = now;
            shown_ = terminal_ ? -1 : now;
        }
        done_ = std::min(done, total_);
        note_ = note;
        if (!finished_ && now - shown_ >= (terminal_ ? 0.1 : 30)) show(now);
    }

    /// Writes the last state and ends the line. Called by the destructor too, so that an error message starts on a line of its own.
    void finish() {
        if (std::exchange(finished_, true) || done_ < 0) return;
        show(clock_());
        out_ << (terminal_ ? "\n" : "") << std::flush;
    }

   private:
    void show(double now) {
        const double share = total_ == 0 ? 1 : static_cast<double>(done_) / static_cast<double>(total_);
        std::string text = message(static_cast<int>(100 * share), " %  ", done_, "/", total_);
        if (finished_) {
            text += "  " + duration_text(now - begin_);
        } else if (done_ > first_done_) {
            const double each = (now - first_) / static_cast<double>(done_ - first_done_);
            text += "  " + duration_text(each * static_cast<double>(total_ - done_)) + " left";
        }
        if (!note_.empty()) text += "  " + note_;
        if (terminal_) {
            std::string bar(24, '.');
            std::fill_n(bar.begin(), static_cast<int>(24 * share), '#');
            // The terminal is not to wrap the line: one that wraps could not be overwritten.
            out_ << "\r\x1b[?7l" << what_ << " [" << bar << "] " << text << "\x1b[K\x1b[?7h" << std::flush;
        } else {
            out_ << what_ << "  " << text << std::endl;
        }
        shown_ = now;
    }

    std::string what_, note_;
    Index total_, done_ = -1, first_done_ = 0;  // done_: -1 before the first update
    std::ostream& out_;
    bool terminal_, finished_ = false;
    std::function<double()> clock_;
    double begin_, first_ = 0, shown_ = 0;
};

}  // namespace fot::examples
