#pragma once

#include <utility>

#include "moderngpt2/backend/cuda/check.hpp"

namespace moderngpt2::cuda {

/// Owns a stream that is ordered with no other but by events.
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
  /// Waits for all its work; what failed in it is thrown here.
  void synchronize() const { check(cudaStreamSynchronize(handle_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t handle_ = nullptr;
};

/// Owns an event: a point in a stream's work for other streams or the host to wait for.
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
  /// Later work of `stream` waits for the work before the last record.
  void wait(cudaStream_t stream) const { check(cudaStreamWaitEvent(stream, handle_, 0), "cudaStreamWaitEvent"); }
  void synchronize() const { check(cudaEventSynchronize(handle_), "cudaEventSynchronize"); }
  /// Milliseconds from `earlier` to this one; both are timed and done.
  float since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_), "cudaEventElapsedTime");
    return milliseconds;
  }

 private:
  cudaEvent_t handle_ = nullptr;
};

}  // namespace moderngpt2::cuda
