#pragma once

#include <algorithm>
#include <cstddef>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/step_graph.hpp"
#include "moderngpt2/core/owner.hpp"

namespace moderngpt2::cuda {

namespace detail {

using OwnedGraph = Owner<cudaGraph_t, cudaGraphDestroy>;

inline constexpr const char* graph_advice =
    "a step cannot be a CUDA graph here, leave --cuda_graph off; and please report it";

inline void check_graph(cudaError_t status, std::string_view call,
                        std::source_location where = std::source_location::current()) {
  if (status == cudaSuccess) return;
  cudaGetLastError();
  throw Error("{}: {} failed: {} ({}): {}", place_of(where), call, cudaGetErrorString(status), cudaGetErrorName(status),
              graph_advice);
}

/// While it lives, what is queued on a backend's stream goes into a graph and is not done. ThreadLocal: a call that
/// would wait for the GPU or change its memory fails at once, whereas Relaxed would let scratch grow, and leave the
/// work before with the memory that is gone; and what other threads do is no matter, as Global would make it.
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

  /// What the capture came to.
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

/// Launches a step as one CUDA graph instead of kernel by kernel. Each step is captured anew, and the executable graph
/// of the last one of its shape is given the new arguments of kernels and copies (seeds, rates, addresses); it is
/// instantiated once, and again only where it cannot take them. The first step of a shape is queued as ever: CUDA loads
/// kernels and cuBLASLt chooses products then, which might do what a capture does not allow.
class StepGraph {
 public:
  explicit StepGraph(std::size_t max_graphs = default_max_graphs) : max_graphs_(max_graphs) {}

  /// queue() queues a step on the stream of `b` and waits for nothing; when this returns, the step is queued. Throws an
  /// Error where it cannot be captured.
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
  /// Executable graphs take memory of the GPU. Batches have few shapes, but for tasks with rows of any length.
  static constexpr std::size_t default_max_graphs = 8;

  template <class F>
  static detail::OwnedGraph capture(Backend& b, F&& queue) {
    detail::Capture capture(b);
    try {
      queue();
    } catch (const Error& e) {
      if (capture.end() == cudaSuccess) throw;  // it is not the capture that is at fault
      cudaGetLastError();
      throw Error("{}; {}", e.what(), detail::graph_advice);
    }
    detail::check_graph(capture.end(), "cudaStreamEndCapture");
    return capture.take();
  }

  static void update(Executable& executable, cudaGraph_t graph) {
    cudaGraphExecUpdateResultInfo result{};
    if (executable && cudaGraphExecUpdate(executable.get(), graph, &result) == cudaSuccess) return;
    cudaGetLastError();  // a refusal is not to show up in later calls
    executable.reset();
    cudaGraphExec_t made = nullptr;
    detail::check_graph(cudaGraphInstantiate(&made, graph, 0), "cudaGraphInstantiate");
    executable.reset(made);
  }

  std::size_t max_graphs_;
  std::vector<Step> steps_;  // the last used first
};

}  // namespace moderngpt2::cuda
