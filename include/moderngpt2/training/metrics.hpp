#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// metrics.jsonl: one JSON object per line. Numbers that are not finite are written as null. Threads: one at a time.
class MetricsFile {
 public:
  /// Creates an empty file.
  explicit MetricsFile(const std::filesystem::path& path) : file_((write_file(path, ""), path)) {}

  /// Opens a file to append after `step`; removes later lines and an incomplete last line. If the file is missing or
  /// has fewer lines than `history` (log_history of a checkpoint), writes the history instead.
  MetricsFile(const std::filesystem::path& path, std::int64_t step, const Json& history)
      : file_((write_file(path, kept_lines(path, step, history)), path)) {}

  void add(const Json& line) { file_.add(line.dump() + "\n"); }
  /// Flushes added lines to the disk. Call before publishing a checkpoint: a run resumed from it does not add them
  /// again.
  void sync() { file_.sync(); }

 private:
  static std::string kept_lines(const std::filesystem::path& path, std::int64_t step, const Json& history) {
    std::string kept;
    std::size_t lines = 0;
    if (std::filesystem::exists(path)) {
      const std::string text = read_file(path);
      for (const std::string_view line : complete_lines(text))
        if (step_of(line) <= step) kept.append(line) += '\n', ++lines;
    }
    if (lines >= history.size()) return kept;
    kept.clear();
    for (const Json& line : history) kept += line.dump() + "\n";
    return kept;
  }

  /// Step of a line; INT64_MAX if the line is damaged.
  static std::int64_t step_of(std::string_view line) {
    try {
      return get_field<std::int64_t>(parse_json(line, "metrics"), "step", "metrics");
    } catch (const Error&) {
      return INT64_MAX;
    }
  }

  AppendFile file_;
};

}  // namespace moderngpt2
