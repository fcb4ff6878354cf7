#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2::distributed {

/// Reduction of a reduce_scatter or all_reduce.
enum class ReduceOp { sum, max, min };

enum class CollectiveKind { reduce_scatter, all_gather, all_reduce, broadcast, barrier };

/// Arguments of one collective, with its name for error messages and traces.
struct Collective {
  CollectiveKind kind = CollectiveKind::barrier;
  std::byte* data = nullptr;
  std::int64_t count = 0;    ///< elements; for reduce_scatter and all_gather, per rank
  int element_size = 0;      ///< bytes
  Dtype dtype = Dtype::f32;  ///< element type of reductions: f32, f64 or i64
  ReduceOp op = ReduceOp::sum;
  int root = 0;
  std::int64_t step = -1;  ///< training step; -1: none yet
  double begin = 0;        ///< time of issue, by seconds_now()
  char what[56] = {};      ///< name, truncated to 55 bytes

  void name(const char* text) { std::strncpy(what, text, sizeof what - 1); }
  std::int64_t bytes() const { return count * element_size; }
};

/// Returns "NAME in step STEP", or only the name before the first step.
inline std::string step_text(const char* name, std::int64_t step) {
  return step < 0 ? std::string(name) : fmt::format("{} in step {}", name, step);
}

/// Name and step of a collective, such as "all-gather of bucket 3 in step 17".
inline std::string description(const Collective& c) { return step_text(c.what, c.step); }

/// Bytes that each of `size` = N ranks sends with ring algorithms, which are optimal for large buffers: (N-1)/N of the
/// whole buffer for reduce-scatter and all-gather, twice that for all-reduce, the buffer for broadcast.
inline std::int64_t ring_bytes(const Collective& c, int size) {
  switch (c.kind) {
    case CollectiveKind::reduce_scatter:
    case CollectiveKind::all_gather:
      return c.bytes() * (size - 1);
    case CollectiveKind::all_reduce:
      return 2 * c.bytes() * (size - 1) / size;
    case CollectiveKind::broadcast:
      return size > 1 ? c.bytes() : 0;
    case CollectiveKind::barrier:
      break;
  }
  return 0;
}

/// Hook called for each completed collective: begin and end (seconds_now(); the end is when this rank first observed
/// completion), name, and bytes that this rank sent.
using TraceHook = std::function<void(double begin, double end, const char* what, std::int64_t bytes)>;

/// End of the whole job, because a collective timed out or a rank called abort(). Thrown by a single rank and by ranks
/// that are threads; ranks that are processes print the same line on standard error and exit.
class JobEnded : public Error {
 public:
  JobEnded(const std::string& message, int job_status) : Error(message), status(job_status) {}
  int status;
};

/// Collective that a rank waits for, in a fixed-size form for exchange between ranks.
struct RankPosition {
  std::int64_t number = -1;  ///< collectives that the rank had issued before this one; -1: unknown
  std::int64_t step = -1;    ///< training step; -1: none yet
  char what[sizeof Collective::what] = {};

  static RankPosition at(std::int64_t number, const Collective& c) {
    RankPosition position{number, c.step, {}};
    std::copy_n(c.what, sizeof c.what, position.what);
    return position;
  }
};

/// Report of a timed-out collective: the collective that each rank waits for, and the ranks that block it.
class StallReport {
 public:
  StallReport(int size, int rank, const RankPosition& own) : rank_(rank), positions_(std::size_t(size)) {
    of(rank) = own;
  }

  RankPosition& of(int rank) { return positions_[std::size_t(rank)]; }
  const RankPosition& own() { return of(rank_); }
  /// Whether the positions of all ranks are known.
  bool is_complete() const {
    return std::all_of(positions_.begin(), positions_.end(), [](const RankPosition& p) { return p.number >= 0; });
  }

  /// Names the ranks that do not answer or wait for another collective than this rank, for an error message.
  std::string text() {
    std::string text;
    for (int r = 0; r < int(positions_.size()); ++r) {
      const RankPosition& p = of(r);
      if (p.number == own().number) continue;
      text += text.empty() ? "" : ", ";
      if (p.number < 0)
        text += fmt::format("rank {} does not answer (it is stopped, or busy with something else)", r);
      else
        text += fmt::format("rank {} waits for {}, {} it", r, step_text(p.what, p.step),
                            p.number < own().number ? "before" : "after");
    }
    return text.empty() ? "all ranks wait for it (is the network slow or broken?)" : text;
  }

 private:
  int rank_;
  std::vector<RankPosition> positions_;
};

}  // namespace moderngpt2::distributed
