#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2 {

/// CPU time of a process's threads in nanoseconds: used, and spent waiting for a processor.
struct ProcessorTime {
  std::uint64_t used = 0, waited = 0;
};

/// Processor time of this process so far, from /proc/self/task/*/schedstat; zeros if that is not available.
ProcessorTime processor_time();

/// Detects that other programs take CPU time from this process: compares its share with that at the start. Threads: one
/// at a time.
class MachineShare {
 public:
  /// `read`: source of the times, for tests.
  explicit MachineShare(std::function<ProcessorTime()> read = processor_time)
      : read_(std::move(read)), before_(read_()) {}

  /// Returns a message if this process waited for processors much longer since the last call than in the first
  /// interval; nullopt otherwise. Intervals with less than a second of CPU time are extended.
  std::optional<std::string> note();

 private:
  std::function<ProcessorTime()> read_;
  ProcessorTime before_;
  std::optional<double> at_start_;  // share of the first interval
  bool reported_ = false;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE ProcessorTime processor_time() {
  ProcessorTime sum;
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    std::ifstream file(thread.path() / "schedstat");
    std::uint64_t used = 0, waited = 0;
    if (file >> used >> waited) sum.used += used, sum.waited += waited;
  }
  return sum;
}

MODERNGPT2_INLINE std::optional<std::string> MachineShare::note() {
  constexpr double interval = 1e9, drop = 0.8, recovery = 0.9;
  const ProcessorTime now = read_();
  if (now.used < before_.used || now.waited < before_.waited) {  // a thread ended
    before_ = now;
    return std::nullopt;
  }
  const double used = double(now.used - before_.used), waited = double(now.waited - before_.waited);
  if (used + waited < interval) return std::nullopt;
  before_ = now;
  const double share = used / (used + waited);
  if (!at_start_) at_start_ = share;
  if (share > recovery * *at_start_) reported_ = false;
  if (reported_ || share > drop * *at_start_) return std::nullopt;
  reported_ = true;
  return fmt::format(
      "note: other programs use this machine: this process gets {:.0f}% of the CPU time that it could use ({:.0f}% at "
      "the start). If this persists, a smaller {} is faster",
      100 * share, 100 * *at_start_, Setting{"threads"});
}

}  // namespace moderngpt2

#endif
