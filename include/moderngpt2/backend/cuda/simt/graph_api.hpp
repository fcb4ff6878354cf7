#pragma once

#include <memory>
#include <utility>

#include "moderngpt2/backend/cuda/simt/runtime_api.hpp"

// The part of CUDA's graphs that this library calls, on the simulated GPU: one stream's work, captured.

using cudaGraph_t = moderngpt2::simt::Graph*;
using cudaGraphExec_t = moderngpt2::simt::ExecutableGraph*;
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
struct cudaGraphExecUpdateResultInfo {};

/// In the one mode that the simulated GPU has: each of its host threads has a GPU of its own.
inline cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  if (!s) return cudaErrorStreamCaptureUnsupported;  // the legacy stream
  if (mode != cudaStreamCaptureModeThreadLocal) return cudaErrorInvalidValue;
  if (s->capture) return cudaErrorIllegalState;
  s->capture = std::make_unique<moderngpt2::simt::Graph>();
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!s->capture) return cudaErrorIllegalState;
  const auto captured = std::move(s->capture);
  if (std::exchange(s->has_broken_capture, false)) return cudaErrorStreamCaptureInvalidated;
  *graph = new moderngpt2::simt::Graph(std::move(*captured));
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }

inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long = 0) {
  ++moderngpt2::simt::device().graphs_instantiated;
  return *made = new moderngpt2::simt::ExecutableGraph{*graph}, cudaSuccess;
}
inline cudaError_t cudaGraphExecUpdate(cudaGraphExec_t executable, cudaGraph_t graph, cudaGraphExecUpdateResultInfo*) {
  if (!executable->graph.is_updated_by(*graph)) return cudaErrorGraphExecUpdateFailure;
  ++moderngpt2::simt::device().graphs_updated;
  return executable->graph = *graph, cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t s) {
  for (const auto& node : executable->graph.nodes)
    if (const cudaError_t status = moderngpt2::simt::detail::enqueue(s, {.run = node.run, .kind = node.kind}))
      return status;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return delete executable, cudaSuccess; }
