#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Timeline of a process in Chrome's trace format (chrome://tracing, Perfetto): one row for computation, one for
/// communication. Processes on one machine share the time origin.
class TraceFile {
 public:
  enum class Row { computation, communication };

  /// With several ranks, `path` gets the rank's number before its extension: trace-rank-1.json.
  TraceFile(std::filesystem::path path, int rank, int ranks)
      : rank_(rank), file_((write_file(name(path, rank, ranks), "["), name(path, rank, ranks))) {
    add(Json{{"name", "process_name"}, {"ph", "M"}, {"pid", rank}, {"args", {{"name", fmt::format("rank {}", rank)}}}});
    for (const auto& [row, text] : {std::pair(Row::computation, "computation"), {Row::communication, "communication"}})
      add(Json{{"name", "thread_name"}, {"ph", "M"}, {"pid", rank}, {"tid", int(row)}, {"args", {{"name", text}}}});
  }
  ~TraceFile() {
    try {
      file_.add("\n]\n");
    } catch (const Error&) {  // the closing bracket is optional
    }
  }
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;

  /// Adds an event; `begin` and `end` are values of seconds_now().
  void add(Row row, const char* what, double begin, double end, std::int64_t bytes = 0) {
    Json event{{"name", what},    {"ph", "X"},         {"pid", rank_},
               {"tid", int(row)}, {"ts", begin * 1e6}, {"dur", (end - begin) * 1e6}};
    if (bytes > 0) event["args"]["bytes"] = bytes;
    add(event);
  }

 private:
  static std::filesystem::path name(const std::filesystem::path& path, int rank, int ranks) {
    if (ranks == 1) return path;
    return path.parent_path() / fmt::format("{}-rank-{}{}", path.stem().string(), rank, path.extension().string());
  }
  void add(const Json& event) {
    if (is_broken_) return;
    try {
      file_.add((is_empty_ ? "\n" : ",\n") + event.dump());
      is_empty_ = false;
    } catch (const Error& error) {  // a failed trace does not end the run
      is_broken_ = true;
      std::fprintf(stderr, "warning: rank %d: the trace ends here: %s\n", rank_, error.what());
    }
  }

  int rank_;
  bool is_empty_ = true, is_broken_ = false;
  AppendFile file_;
};

}  // namespace moderngpt2
