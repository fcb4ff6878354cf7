#pragma once

#include <utility>

#include "moderngpt2/backend/cuda/check.hpp"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Owns a non-blocking CUDA stream. Only events order its work with that of other streams.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  Stream(Stream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Stream() {
    if (handle_) cudaStreamDestroy(handle_);
  }

  cudaStream_t get() const { return handle_; }
  operator cudaStream_t() const { return handle_; }
  /// Waits for all queued work. Throws an Error if any of it failed.
  void synchronize() const { check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t handle_ = nullptr;
};

/// Owns a CUDA event: a point in a stream's work that other streams or the host can wait for. `timed` enables since().
class Event {
 public:
  explicit Event(bool timed = false) {
    check(cudaEventCreateWithFlags(&handle_, timed ? 0 : cudaEventDisableTiming), "cudaEventCreateWithFlags");
  }
  Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Event() {
    if (handle_) cudaEventDestroy(handle_);
  }

  void record(cudaStream_t stream) { check(cudaEventRecord(handle_, stream), "cudaEventRecord"); }
  /// Makes later work of `stream` wait for the work that precedes the last record(). Does not block the host.
  void wait(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent"); }
  /// Blocks the host until the work that precedes the last record() is complete.
  void synchronize() const { check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }
  /// Milliseconds from `earlier` to this event. Both are timed, recorded and complete.
  float since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
