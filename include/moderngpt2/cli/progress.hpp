#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// Formats 1234567 as "1,234,567".
std::string with_separators(std::int64_t number);

/// Formats a count with a short unit: 950, "12.3k", "4.56M", "7.89G".
std::string short_count(double count);

/// Formats seconds as "0:07", "12:30" or "3:05:10".
std::string clock_text(double seconds);

/// Width of a terminal in columns; 0 if unknown.
int terminal_columns(std::FILE* file);

/// Progress display: on a terminal a line that is redrawn every 0.1 s and truncated to its width; in a log a plain line
/// every 10 s. update() is cheap: it reads the clock.
class Progress {
 public:
  /// `total` is the number of `unit`s to be done; 0 if unknown.
  Progress(std::string label, std::string unit, double total, std::FILE* out = stderr)
      : Progress(std::move(label), std::move(unit), total, out, ::isatty(::fileno(out)) == 1, &seconds_now,
                 &terminal_columns) {}

  /// Constructor for tests: form, clock (seconds) and width are arguments.
  Progress(
      std::string label, std::string unit, double total, std::FILE* out, bool terminal, std::function<double()> clock,
      std::function<int(std::FILE*)> columns = [](std::FILE*) { return 0; })
      : label_(std::move(label)),
        unit_(std::move(unit)),
        total_(total),
        out_(out),
        terminal_(terminal),
        clock_(std::move(clock)),
        columns_(std::move(columns)),
        start_(clock_()),
        shown_(terminal ? start_ - redraw_seconds : start_) {}

  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  /// Sets the work done before the start, which does not count for the rate.
  void start_from(double done) { done_before_ = done; }

  /// Whether the next update() will show a line. Otherwise callers can skip composing `extra`.
  bool due() const { return clock_() - shown_ >= (terminal_ ? redraw_seconds : log_seconds); }

  /// Shows `done` units as completed. `extra` is at the end of the line; `first`, at its beginning, is never truncated.
  void update(double done, std::string_view extra = {}, std::string_view first = {}) {
    if (due()) show(done, extra, first, false);
  }

  /// Shows the final line immediately and ends it.
  void finish(double done, std::string_view extra = {}) {
    show(done, extra, {}, true);
    drawn_ = false;
  }

  /// Erases the line from the terminal, for a message in its place.
  void clear() {
    if (terminal_ && drawn_) std::fputs("\r\x1b[K", out_);
    if (terminal_) std::fflush(out_);
    drawn_ = false;
  }

  /// Seconds since the start.
  double seconds() const { return clock_() - start_; }

 private:
  static constexpr double redraw_seconds = 0.1, log_seconds = 10;

  void show(double done, std::string_view extra, std::string_view first, bool last) {
    shown_ = clock_();
    const double elapsed = shown_ - start_;
    const double rate = elapsed > 0.01 ? (done - done_before_) / elapsed : 0;
    std::string line = label_ + ": ", share;
    if (total_ > 0 && !last) share = fmt::format("{:.0f}%", std::floor(100 * std::min(1.0, done / total_)));
    if (!first.empty()) {
      line += fmt::format("{}{}{}", first, share.empty() ? "" : ", ", share);
    } else {
      line +=
          share.empty() ? short_count(done) : fmt::format("{} {}/{}", share, short_count(done), short_count(total_));
      line += " " + unit_;
    }
    line += fmt::format(", {} {}/s, {}", short_count(rate), unit_, clock_text(elapsed));
    if (total_ > 0 && rate > 0 && !last) line += fmt::format(", {} left", clock_text((total_ - done) / rate));
    if (!extra.empty()) line += fmt::format(", {}", extra);
    // A wrapped line cannot be redrawn.
    if (const int columns = terminal_ && !last ? columns_(out_) : 0; columns > 1)
      line.resize(std::min(line.size(), std::size_t(columns - 1)));
    std::fprintf(out_, "%s%s%s", terminal_ ? "\r" : "", line.c_str(), terminal_ ? "\x1b[K" : "\n");
    if (terminal_ && last) std::fputs("\n", out_);
    drawn_ = true;
    std::fflush(out_);
  }

  std::string label_, unit_;
  double total_;
  std::FILE* out_;
  bool terminal_;
  std::function<double()> clock_;
  std::function<int(std::FILE*)> columns_;
  double start_, shown_, done_before_ = 0;
  bool drawn_ = false;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_COMMAND_LINE

namespace moderngpt2 {

MODERNGPT2_INLINE std::string with_separators(std::int64_t number) {
  std::string text = fmt::format("{}", number);
  const std::ptrdiff_t stop = number < 0 ? 1 : 0;
  for (std::ptrdiff_t i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > stop; i -= 3)
    text.insert(static_cast<std::size_t>(i), ",");
  return text;
}

MODERNGPT2_INLINE std::string short_count(double count) {
  const double size = std::abs(count);
  if (size < 1e3) return fmt::format("{:.{}f}", count, size < 10 && size != std::floor(size) ? 1 : 0);
  if (size < 1e6) return fmt::format("{:.3g}k", std::min(count / 1e3, 999.0));
  if (size < 1e9) return fmt::format("{:.3g}M", std::min(count / 1e6, 999.0));
  if (size < 1e12) return fmt::format("{:.3g}G", std::min(count / 1e9, 999.0));
  return fmt::format("{:.3g}T", count / 1e12);
}

MODERNGPT2_INLINE std::string clock_text(double seconds) {
  const std::int64_t s = static_cast<std::int64_t>(std::max(0.0, seconds));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

MODERNGPT2_INLINE int terminal_columns(std::FILE* file) {
  winsize size{};
  const int fd = ::fileno(file);
  return fd >= 0 && ::ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

}  // namespace moderngpt2

#endif
