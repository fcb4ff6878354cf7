#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <tuple>
#include <utility>

#include "moderngpt2/backend/cuda/simt/device.hpp"

// Functions of CUDA's runtime API that this library uses, on the simulated GPU. Invalid arguments yield CUDA's status
// codes. Errors of kernels are thrown as a Fault by the call that detects them, usually a synchronization.

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorStubLibrary = 34,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorECCUncorrectable = 214,
  cudaErrorNvlinkUncorrectable = 220,
  cudaErrorUnsupportedPtxVersion = 222,
  cudaErrorIllegalState = 401,
  cudaErrorNotReady = 600,
  cudaErrorIllegalAddress = 700,
  cudaErrorLaunchTimeout = 702,
  cudaErrorHardwareStackError = 714,
  cudaErrorMisalignedAddress = 716,
  cudaErrorLaunchFailure = 719,
  cudaErrorSystemNotReady = 802,
  cudaErrorSystemDriverMismatch = 803,
  cudaErrorCompatNotSupportedOnDevice = 804,
  cudaErrorMpsConnectionFailed = 805,
  cudaErrorMpsRpcFailure = 806,
  cudaErrorMpsServerNotReady = 807,
  cudaErrorMpsMaxClientsReached = 808,
  cudaErrorMpsMaxConnectionsReached = 809,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorGraphExecUpdateFailure = 910
};
inline const char* cudaGetErrorName(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "an error of the simulated GPU";
  }
}
inline const char* cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }

using cudaStream_t = moderngpt2::simt::Stream*;
using cudaEvent_t = moderngpt2::simt::Event*;
enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
inline constexpr unsigned cudaStreamNonBlocking = 1;
inline constexpr unsigned cudaEventDisableTiming = 2;

namespace moderngpt2::simt::detail {

inline Stream& stream_of(cudaStream_t s) { return s ? *s : device().default_stream(); }
inline cudaError_t enqueue(cudaStream_t s, StreamOperation op) {
  return device().enqueue(stream_of(s), std::move(op)) ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
}
/// Calls f(), which is not permitted during a capture of this thread.
template <class F>
cudaError_t outside_captures(F&& f) {
  return device().breaks_captures() ? cudaErrorStreamCaptureUnsupported : (f(), cudaSuccess);
}

}  // namespace moderngpt2::simt::detail

inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  return *count = moderngpt2::simt::device().visible_gpus, cudaSuccess;
}
inline cudaError_t cudaGetDevice(int* index) { return *index = 0, cudaSuccess; }
inline cudaError_t cudaSetDevice(int index) { return index == 0 ? cudaSuccess : cudaErrorInvalidDevice; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  const auto& d = moderngpt2::simt::device();
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = d.multiprocessors;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = d.compute_major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = d.compute_minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = int(d.shared_bytes_per_block);
      break;
  }
  return cudaSuccess;
}

inline cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  if (moderngpt2::simt::device().breaks_captures()) return cudaErrorStreamCaptureUnsupported;
  *data = moderngpt2::simt::device().allocate(bytes);
  return *data ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFree(void* data) {
  if (!data) return cudaSuccess;
  if (moderngpt2::simt::device().breaks_captures()) return cudaErrorStreamCaptureUnsupported;
  return moderngpt2::simt::device().free(data) ? cudaSuccess : cudaErrorInvalidValue;
}
inline cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  if (moderngpt2::simt::device().breaks_captures()) return cudaErrorStreamCaptureUnsupported;
  *data = moderngpt2::simt::device().allocate_pinned(bytes);
  return *data ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void* data) {
  return moderngpt2::simt::detail::outside_captures([=] { ::operator delete(data); });
}
inline cudaError_t cudaMemGetInfo(std::size_t* available, std::size_t* total) {
  const auto& d = moderngpt2::simt::device();
  *total = d.memory_bytes, *available = d.memory_bytes - d.used();
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned flags) {
  if (flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
  return *s = moderngpt2::simt::device().create_stream(), cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t s) {
  return moderngpt2::simt::device().destroy_stream(s), cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t s) {
  namespace simt = moderngpt2::simt;
  return simt::detail::outside_captures([&] { simt::device().synchronize(simt::detail::stream_of(s)); });
}
inline cudaError_t cudaDeviceSynchronize() {
  return moderngpt2::simt::detail::outside_captures([] { moderngpt2::simt::device().synchronize(); });
}
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  return *e = new moderngpt2::simt::Event, cudaSuccess;
}
inline cudaError_t cudaEventDestroy(cudaEvent_t e) {
  moderngpt2::simt::device().synchronize(*e);  // queued work refers to the event
  return delete e, cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) {
  return moderngpt2::simt::device().record(moderngpt2::simt::detail::stream_of(s), *e), cudaSuccess;
}
inline cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned = 0) {
  return moderngpt2::simt::device().wait(moderngpt2::simt::detail::stream_of(s), *e), cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  return moderngpt2::simt::detail::outside_captures([&] { moderngpt2::simt::device().synchronize(*e); });
}
inline cudaError_t cudaEventQuery(cudaEvent_t e) {
  if (moderngpt2::simt::device().breaks_captures()) return cudaErrorStreamCaptureUnsupported;
  return moderngpt2::simt::device().query(*e) ? cudaSuccess : cudaErrorNotReady;
}
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->finished < from->recorded || to->finished < to->recorded) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}

inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t s) {
  return moderngpt2::simt::detail::enqueue(
      s, {.run = [=] { std::memcpy(to, from, bytes); }, .kind = {moderngpt2::simt::NodeKind::Type::copy}});
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                                     std::size_t width, std::size_t height, cudaMemcpyKind, cudaStream_t s) {
  if (to_pitch < width || from_pitch < width) return cudaErrorInvalidValue;
  using Address = std::uintptr_t;
  return moderngpt2::simt::detail::enqueue(
      s, {.run =
              [=] {
                for (std::size_t row = 0; row < height; ++row)
                  std::memcpy(static_cast<char*>(to) + row * to_pitch,
                              static_cast<const char*>(from) + row * from_pitch, width);
              },
          .kind = {.type = moderngpt2::simt::NodeKind::Type::copy_rows,
                   .fixed = {Address(to), to_pitch, Address(from), from_pitch, width, height}}});
}
inline cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t s) {
  return moderngpt2::simt::detail::enqueue(
      s, {.run = [=] { std::memset(to, value, bytes); }, .kind = {moderngpt2::simt::NodeKind::Type::fill}});
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute, int value) {
  const bool is_set = moderngpt2::simt::device().set_shared_limit(reinterpret_cast<const void*>(kernel), value);
  return is_set ? cudaSuccess : cudaErrorInvalidValue;
}

namespace moderngpt2::simt {

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments...)
template <class... Parameters, class... Arguments>
cudaError_t launch_kernel(cudaStream_t stream, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                          std::size_t shared_bytes, Arguments&&... arguments) {
  const std::uint64_t threads = std::uint64_t(block.x) * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || grid.x == 0 || grid.x > 0x7fffffffu || grid.y == 0 ||
      grid.y > 65535 || grid.z == 0 || grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  if (shared_bytes > device().shared_limit(reinterpret_cast<const void*>(kernel))) return cudaErrorInvalidValue;
  return detail::enqueue(stream, {.run =
                                      [=, values = std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)] {
                                        machine().run_grid(grid, block, shared_bytes,
                                                           [&] { std::apply(kernel, values); });
                                      },
                                  .kind = {NodeKind::Type::kernel, reinterpret_cast<const void*>(kernel)}});
}

}  // namespace moderngpt2::simt

// ---- graphs

using cudaGraph_t = moderngpt2::simt::Graph*;
using cudaGraphExec_t = moderngpt2::simt::ExecutableGraph*;
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
struct cudaGraphExecUpdateResultInfo {};

/// Supports cudaStreamCaptureModeThreadLocal only. A capture concerns all threads that share the GPU.
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
