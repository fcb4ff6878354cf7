#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/data/pretokenize_options.hpp"

namespace moderngpt2 {

/// Progress line for encoding and packing text. Rates exclude the work that a resumed run had done before.
class PackingProgress {
 public:
  void update(const PretokenizeProgress& now) {
    if (!first_) {
      line_.start_from(megabytes(now.resumed_text_bytes));
      first_ = now;
    }
    last_ = now;
    if (line_.due()) line_.update(megabytes(now.text_bytes), details());
  }

  void finish() {
    if (first_) line_.finish(megabytes(last_.text_bytes), details());
  }

  /// Clears the line so that a message can be printed.
  void clear() { line_.clear(); }

  /// Text such as "12.3 seconds, 4.5 MB/s" with a newline; empty if nothing was packed.
  std::string summary() const {
    if (!first_) return "";
    return fmt::format("{:.1f} seconds, {:.1f} MB/s\n", line_.seconds(),
                       megabytes(last_.text_bytes - last_.resumed_text_bytes) / std::max(line_.seconds(), 1e-9));
  }

 private:
  static double megabytes(std::int64_t bytes) { return static_cast<double>(bytes) / 1e6; }

  std::string details() const {
    const double seconds = line_.seconds();
    const double share =
        last_.total_bytes > 0 ? static_cast<double>(last_.bytes_read) / static_cast<double>(last_.total_bytes) : 1;
    const auto rate = [&](std::int64_t count) {
      return short_count(static_cast<double>(count) / std::max(seconds, 1e-9));
    };
    std::string text =
        fmt::format("{} documents/s, {} tokens/s, {:.0f}% of the input", rate(last_.documents - first_->documents),
                    rate(last_.tokens - first_->tokens), 100 * share);
    if (share > 0 && share < 1) text += fmt::format(", {} left", clock_text(seconds * (1 - share) / share));
    return text;
  }

  Progress line_{"pretokenize", "MB", 0};
  std::optional<PretokenizeProgress> first_;
  PretokenizeProgress last_;
};

}  // namespace moderngpt2
