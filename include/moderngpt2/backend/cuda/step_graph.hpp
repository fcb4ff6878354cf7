#pragma once

#include <algorithm>
#include <cstddef>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/owner.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

using OwnedGraph = Owner<cudaGraph_t, cudaGraphDestroy>;

inline constexpr const char* graph_advice =
    "this step cannot run as a CUDA graph: turn cuda_graph off, and please report it";

/// Throws an Error if a call of CUDA's graph API failed; the advice is to run without graphs.
inline void check_graph(cudaError_t status, std::string_view call,
                        std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw Error("{}: {} failed: {} ({}): {}", place_of(where), call, cudaGetErrorString(status), cudaGetErrorName(status),
              graph_advice);
}

/// Captures the work that is queued on a backend's stream into a graph instead of running it, from construction to
/// end() or destruction. The mode is ThreadLocal: calls of this thread that wait for the GPU or allocate memory fail at
/// once. Relaxed would allow scratch memory to move while captured kernels refer to the old address; Global would
/// forbid such calls in other threads too.
class Capture {
 public:
  explicit Capture(Backend& b) : backend_(b) {
    b.inputs().begin_capture();
    const cudaError_t status = cudaStreamBeginCapture(b.stream(), cudaStreamCaptureModeThreadLocal);
    is_open_ = status == cudaSuccess;
    if (!is_open_) b.inputs().end_capture();
    check_graph(status, "cudaStreamBeginCapture");
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  ~Capture() {
    if (is_open_ && end() != cudaSuccess) cudaGetLastError();
    backend_.inputs().end_capture();
  }

  /// Ends the capture. The graph is in take() if the status is cudaSuccess.
  cudaError_t end() {
    cudaGraph_t made = nullptr;
    is_open_ = false;
    const cudaError_t status = cudaStreamEndCapture(backend_.stream(), &made);
    graph_.reset(made);
    return status;
  }
  OwnedGraph take() { return std::move(graph_); }

 private:
  Backend& backend_;
  bool is_open_ = false;
  OwnedGraph graph_;
};

}  // namespace detail

/// Launches a training step as one CUDA graph instead of kernel by kernel. Each step is captured again, and the
/// executable graph of its shape is updated with the new arguments of kernels and copies (seeds, rates, addresses)
/// by cudaGraphExecUpdate; it is instantiated anew only if that fails. The first step of a shape runs without a graph:
/// loading kernels and choosing cuBLASLt algorithms may involve calls that a capture forbids. Threads: one at a time.
class StepGraph {
 public:
  /// Keeps up to `max_graphs` executable graphs, those of the shapes used last. Default: 8.
  explicit StepGraph(std::size_t max_graphs = default_max_graphs) : max_graphs_(max_graphs) {}

  /// Calls queue(), which queues a step of this shape on the stream of `b` without waiting, and launches the step.
  /// Returns when it is queued. Throws an Error if the step cannot be captured.
  template <class F>
  void run(Backend& b, const StepShape& shape, F&& queue) {
    const auto known = std::find_if(steps_.begin(), steps_.end(), [&](const Step& s) { return s.shape == shape; });
    if (known == steps_.end()) {
      queue();
      steps_.insert(steps_.begin(), {shape, {}});
    } else {
      std::rotate(steps_.begin(), known, known + 1);
      update(steps_[0].executable, capture(b, queue).get());
      detail::check_graph(cudaGraphLaunch(steps_[0].executable.get(), b.stream()), "cudaGraphLaunch");
      b.inputs().record_copies(b.stream());
    }
    if (steps_.size() > max_graphs_) steps_[max_graphs_].executable.reset();
  }

 private:
  using Executable = Owner<cudaGraphExec_t, cudaGraphExecDestroy>;
  struct Step {
    StepShape shape;
    Executable executable;
  };
  /// Executable graphs take GPU memory. Batches of most tasks have few shapes; those with rows of any length have many.
  static constexpr std::size_t default_max_graphs = 8;

  template <class F>
  static detail::OwnedGraph capture(Backend& b, F&& queue) {
    detail::Capture capture(b);
    try {
      queue();
    } catch (const Error& e) {
      if (capture.end() == cudaSuccess) throw;  // the error has nothing to do with the capture
      cudaGetLastError();
      throw Error("{}; {}", e.what(), detail::graph_advice);
    }
    detail::check_graph(capture.end(), "cudaStreamEndCapture");
    return capture.take();
  }

  static void update(Executable& executable, cudaGraph_t graph) {
    cudaGraphExecUpdateResultInfo result{};
    if (executable && cudaGraphExecUpdate(executable.get(), graph, &result) == cudaSuccess) return;
    cudaGetLastError();  // clears the status, which later calls would report
    executable.reset();
    cudaGraphExec_t made = nullptr;
    detail::check_graph(cudaGraphInstantiate(&made, graph, 0), "cudaGraphInstantiate");
    executable.reset(made);
  }

  std::size_t max_graphs_;
  std::vector<Step> steps_;  // most recently used first
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
