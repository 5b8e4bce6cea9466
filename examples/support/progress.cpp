#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <utility>

#include "fot/core/check.hpp"

namespace fot::examples {

std::string duration_text(double seconds) {
    const auto total = static_cast<Index>(std::max(seconds, 0.0) + 0.5);
    const Index hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
    return message(hours > 0 ? message(hours, minutes < 10 ? ":0" : ":") : "", minutes, rest < 10 ? ":0" : ":", rest);
}

Progress::Progress(std::string what, Index total)
    : Progress(std::move(what), total, std::cerr, ::isatty(STDERR_FILENO) != 0,
               [] { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }) {}

Progress::Progress(std::string what, Index total, std::ostream& out, bool terminal, std::function<double()> clock)
    : what_(std::move(what)), total_(total), out_(out), terminal_(terminal), clock_(std::move(clock)), begin_(clock_()) {}

void Progress::update(Index done, const std::string& note) {
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

void Progress::finish() {
    if (std::exchange(finished_, true) || done_ < 0) return;
    show(clock_());
    out_ << (terminal_ ? "\n" : "") << std::flush;
}

void Progress::show(double now) {
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

}  // namespace fot::examples
