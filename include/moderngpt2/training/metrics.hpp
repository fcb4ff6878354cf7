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

/// metrics.jsonl: one JSON object a line. A number that is not finite stands there as null.
class MetricsFile {
 public:
  /// Begins an empty file.
  explicit MetricsFile(const std::filesystem::path& path) : file_((write_file(path, ""), path)) {}

  /// Goes on with a file after `step`: later lines are removed, and a line cut short. Where there is no file, or it has
  /// lost lines, `history` (log_history of a checkpoint) is written again.
  MetricsFile(const std::filesystem::path& path, std::int64_t step, const Json& history)
      : file_((write_file(path, kept_lines(path, step, history)), path)) {}

  void add(const Json& line) { file_.add(line.dump() + "\n"); }
  /// Makes durable what was added: before a checkpoint that a run may go on from without adding it again.
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

  /// A damaged line counts as later than every step.
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
