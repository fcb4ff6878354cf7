#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// metrics.jsonl: one JSON object a line. A number that is not finite stands there as null.
class MetricsFile {
 public:
  /// Begins an empty file.
  explicit MetricsFile(std::filesystem::path path) : path_(std::move(path)) {
    write_file(path_, "");
    open();
  }

  /// Goes on with a file after `step`: later lines are removed, and a line cut short. Where there is no file, `history`
  /// (log_history of a checkpoint) is written again.
  MetricsFile(std::filesystem::path path, std::int64_t step, const Json& history) : path_(std::move(path)) {
    std::string kept;
    if (std::filesystem::exists(path_)) {
      const std::string text = read_file(path_);
      for (const std::string_view line : whole_lines(text))
        if (step_of(line) <= step) kept.append(line) += '\n';
    } else {
      for (const Json& line : history) kept += line.dump() + "\n";
    }
    write_file(path_, kept);
    open();
  }

  void add(const Json& line) {
    const std::string text = line.dump() + "\n";
    if (std::fputs(text.c_str(), file_.get()) < 0 || std::fflush(file_.get()) != 0)
      throw Error("cannot write {}: {}", path_.string(), std::strerror(errno));
  }

 private:
  void open() {
    file_.reset(std::fopen(path_.c_str(), "ae"));
    if (!file_) throw Error("cannot write {}: {}", path_.string(), std::strerror(errno));
  }

  /// A damaged line counts as later than every step.
  static std::int64_t step_of(std::string_view line) {
    try {
      return get_field<std::int64_t>(parse_json(line, "metrics"), "step", "metrics");
    } catch (const Error&) {
      return INT64_MAX;
    }
  }

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace moderngpt2
