/// How far a long loop is: a bar with the time left on a terminal, now and then a plain line when the output goes to a file.
///
///     Progress progress("training", steps);
///     for (Index step = 0; step < steps; ++step) {
///         ...
///         progress.update(step + 1, "loss " + fixed(loss));
///     }
///
/// A loop that goes on where an earlier one stopped gives its first step too: it says nothing of the speed of this one.
///
/// It writes to the standard error, so that results can be piped while the bar stays visible.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>
#include <string>
#include <utility>

#include "fot/core/tensor.hpp"

namespace fot::examples {

/// Seconds as "0:07", "12:30" or "1:02:03".
inline std::string duration_text(double seconds) {
    const auto total = static_cast<Index>(std::max(seconds, 0.0) + 0.5);
    const auto two_digits = [](Index number) { return (number < 10 ? "0" : "") + std::to_string(number); };
    const Index hours = total / 3600, minutes = total / 60 % 60;
    return (hours > 0 ? std::to_string(hours) + ":" + two_digits(minutes) : std::to_string(minutes)) + ":" + two_digits(total % 60);
}

class Progress {
   public:
    /// A terminal is redrawn ten times a second at most. A plain line comes after `quiet_seconds` at the earliest, and then with
    /// the next tenth of the work or after `silent_seconds`, whichever is first; the last one comes from `finish`.
    static constexpr double redraw_seconds = 0.1, quiet_seconds = 5, silent_seconds = 60;

    /// Progress of `total` units of work (steps, documents, tokens) that is called `what`, `begun` of them done before now.
    /// Errors: ConfigError unless 0 <= begun <= total.
    Progress(std::string what, Index total, Index begun = 0)
        : Progress(std::move(what), total, begun, std::cerr, ::isatty(STDERR_FILENO) != 0, steady_seconds) {}

    /// The same with its surroundings given: where to write, whether that is a terminal, and a clock.
    Progress(std::string what, Index total, Index begun, std::ostream& out, bool terminal, std::function<double()> clock)
        : what_(std::move(what)),
          total_(total),
          begun_(begun),
          done_(begun),
          shown_done_(begun),
          out_(out),
          terminal_(terminal),
          clock_(std::move(clock)),
          start_(clock_()),
          shown_(start_) {
        require<ConfigError>(begun >= 0 && begun <= total, "Progress: ", begun, " of ", total, " units of work");
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress() { finish(); }

    /// There turn out to be `total` units of work.
    void expect(Index total) {
        total_ = total;
        done_ = std::min(done_, total);
    }

    /// `done` units are done, those before now included (not one more: the count so far). `note` stands behind the numbers, a loss
    /// for instance.
    void update(Index done, const std::string& note = "") {
        if (finished_) return;
        done_ = std::clamp<Index>(done, 0, total_);
        note_ = note;
        const double now = clock_();
        if (terminal_) {
            if (now - shown_ >= redraw_seconds || !drawn_) show(now);
        } else if (done_ < total_ && now - shown_ >= quiet_seconds &&
                   (done_ - shown_done_ >= (total_ + 9) / 10 || now - shown_ >= silent_seconds)) {
            show(now);
        }
    }

    /// Writes the last state and ends the line. Called by the destructor too, so that an error message starts on a line of its own.
    void finish() {
        if (finished_) return;
        finished_ = true;
        show(clock_());
        if (terminal_) out_ << "\n";
        out_.flush();
    }

   private:
    static double steady_seconds() {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    }

    /// Columns of the terminal behind the standard error; 80 if it does not say.
    static Index terminal_columns() {
        winsize size{};
        return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    }

    void show(double now) {
        const double elapsed = now - start_, share = total_ == 0 ? 1 : static_cast<double>(done_) / static_cast<double>(total_);
        const std::string percent = std::to_string(static_cast<Index>(100 * share)) + " %";
        std::string numbers = std::to_string(done_) + "/" + std::to_string(total_);
        if (finished_)
            numbers += "  " + duration_text(elapsed);
        else if (done_ > begun_)
            numbers +=
                "  " + duration_text(elapsed / static_cast<double>(done_ - begun_) * static_cast<double>(total_ - done_)) + " left";
        if (!note_.empty()) numbers += "  " + note_;
        if (terminal_) {
            constexpr Index bar = 24;
            const auto full = static_cast<std::size_t>(static_cast<double>(bar) * share);
            std::string line =
                what_ + " [" + std::string(full, '#') + std::string(bar - full, '.') + "] " + percent + "  " + numbers;
            const auto room = static_cast<std::size_t>(std::max<Index>(terminal_columns() - 1, 20));
            if (line.size() > room) line.resize(room);  // a line that wraps could not be overwritten
            out_ << "\r" << line << "\x1b[K" << std::flush;
        } else {
            out_ << what_ << "  " << percent << "  " << numbers << std::endl;
        }
        shown_ = now;
        shown_done_ = done_;
        drawn_ = true;
    }

    std::string what_, note_;
    Index total_, begun_, done_, shown_done_;
    std::ostream& out_;
    bool terminal_, drawn_ = false, finished_ = false;
    std::function<double()> clock_;
    double start_, shown_;
};

}  // namespace fot::examples
