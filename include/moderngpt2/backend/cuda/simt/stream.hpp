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

/// Counts how often it was recorded, and up to which recording the work before it is done.
struct Event {
  std::uint64_t recorded = 0, finished = 0;
  std::chrono::steady_clock::time_point when{};
  char tag = 0;
};

/// What an executable graph may not change of a node: these are equal, or it has to be instantiated again.
struct NodeKind {
  enum class Type { other, kernel, copy, copy_rows, fill } type = Type::other;
  const void* function = nullptr;         ///< of a kernel; since CUDA 11.2 a GPU would take another one
  std::array<std::uintptr_t, 6> fixed{};  ///< arguments that have to stay: of copies of rows, all

  bool operator==(const NodeKind&) const = default;
};

/// Work of a stream: what to do, and which recording of an event must be done before.
struct StreamOperation {
  std::function<void()> run;
  const Event* after = nullptr;
  std::uint64_t recording = 0;
  std::function<bool()> is_ready{};  ///< where it also waits for something that others do, beside this GPU
  NodeKind kind{};
  std::unique_ptr<char> issued = std::make_unique<char>();
};

/// Work that was captured of one stream, in its order. Arguments are those of the capture.
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
/// What is launched is the work of the last update, whatever comes after the launch.
struct ExecutableGraph {
  Graph graph;
};

/// A queue of work and the fiber that does it. Streams are unordered but for events; without a seed each works only
/// when the host waits for it, with one also at random moments before.
struct Stream {
  Fiber fiber;
  std::deque<StreamOperation> queue;
  std::unique_ptr<Graph> capture;   ///< where work goes while it is captured
  bool has_broken_capture = false;  ///< by a call that a capture does not allow
  char done = 0;                    ///< address of the order from its work to who waits for it
};

}  // namespace moderngpt2::simt
