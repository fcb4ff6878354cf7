#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/simt/fiber.hpp"
#include "moderngpt2/backend/cuda/simt/machine.hpp"

namespace moderngpt2::simt {

/// CUDA event: number of records so far, and the last record whose preceding work is complete.
struct Event {
  std::uint64_t recorded = 0, finished = 0;
  std::chrono::steady_clock::time_point when{};
  char tag = 0;
};

/// Properties of a graph node that cudaGraphExecUpdate cannot change.
struct NodeKind {
  enum class Type { other, kernel, copy, copy_rows, fill } type = Type::other;
  const void* function = nullptr;         ///< kernel; GPUs allow another one since CUDA 11.2
  std::array<std::uintptr_t, 6> fixed{};  ///< arguments that must stay: all those of 2D copies

  bool operator==(const NodeKind&) const = default;
};

/// Queued work of a stream, and the record of an event that it waits for.
struct StreamOperation {
  std::function<void()> run;
  const Event* after = nullptr;
  std::uint64_t recording = 0;
  std::function<bool()> is_ready{};  ///< further condition, for work that depends on others than this GPU
  NodeKind kind{};
  std::unique_ptr<char> issued = std::make_unique<char>();
};

/// Captured work of one stream, in order, with the arguments of the capture.
struct Graph {
  struct Node {
    std::function<void()> run;
    NodeKind kind;
  };
  std::vector<Node> nodes;

  bool is_updated_by(const Graph& other) const {
    if (nodes.size() != other.nodes.size()) return false;
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (nodes[i].kind != other.nodes[i].kind) return false;
    return true;
  }
};
/// Instantiated graph. A launch runs the work of the last update before it.
struct ExecutableGraph {
  Graph graph;
};

/// Queue of work and the fiber that runs it. Only events order streams. Work runs when the host waits for it; with a
/// seed, also earlier, at random.
struct Stream {
  Fiber fiber;
  std::deque<StreamOperation> queue;
  std::unique_ptr<Graph> capture;   ///< destination of work during a capture
  bool has_broken_capture = false;  ///< a forbidden call invalidated the capture
  char done = 0;                    ///< address for ThreadSanitizer's order from work to waits
};

}  // namespace moderngpt2::simt
