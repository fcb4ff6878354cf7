#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "moderngpt2/backend/cuda/check.hpp"
#include "moderngpt2/backend/cuda/mapped_memory.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/partial_use.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Owns uninitialized GPU memory. Throws an Error that names the requested and the free size if none is available.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    const cudaError_t status = cudaMalloc(&data_, bytes);
    if (status == cudaSuccess) return;
    cudaGetLastError();  // clears the status, which later calls would report
    if (status == cudaErrorMemoryAllocation) throw out_of_memory(bytes);
    check(status, "cudaMalloc");
  }
  DeviceMemory(DeviceMemory&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceMemory() {
    if (data_) cudaFree(data_);
  }

  void* data() const { return data_; }
  std::size_t size() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Owns zero-filled GPU memory for the tensors of a model, padded to a multiple of `alignment` bytes.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t bytes) : memory_(round_up(bytes, alignment)) {
    if (bytes > 0) clear(memory_.data(), memory_.size());
  }
  /// With Pages::as_used, reserves addresses only; commit_memory() allocates the memory.
  DeviceBuffer(std::size_t bytes, Pages pages) {
    if (pages == Pages::at_once || bytes == 0)
      *this = DeviceBuffer(bytes);
    else
      mapped_ = MappedMemory(round_up(bytes, alignment));
  }
  std::byte* data() const { return mapped_.size() > 0 ? mapped_.data() : static_cast<std::byte*>(memory_.data()); }
  std::size_t size() const { return mapped_.size() > 0 ? mapped_.size() : memory_.size(); }

  /// Allocated bytes; size() is the size of the address range.
  std::size_t memory_bytes() const { return mapped_.size() > 0 ? mapped_.memory_bytes() : memory_.size(); }

  /// Allocates and zero-fills the memory that `use` requires. No-op if the memory is allocated already.
  void commit_memory(const PartialUse& use) {
    if (mapped_.size() == 0 || mapped_.has_memory()) return;
    mapped_.map(use);
    clear(mapped_.data(), mapped_.size());
  }

 private:
  static void clear(void* data, std::size_t bytes) {
    check(cudaMemsetAsync(data, 0, bytes, nullptr), "cudaMemsetAsync");
    check(cudaStreamSynchronize(nullptr), "cudaStreamSynchronize");
  }

  DeviceMemory memory_;
  MappedMemory mapped_;  // replaces memory_ with Pages::as_used
};

/// Owns a flat array of `count` uninitialized elements in GPU memory.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::int64_t count) : memory_(std::size_t(count) * sizeof(T)), count_(count) {}
  T* data() const { return static_cast<T*>(memory_.data()); }
  std::int64_t size() const { return count_; }

 private:
  DeviceMemory memory_;
  std::int64_t count_ = 0;
};

/// Owns a flat array of `count` elements in pinned host memory, for asynchronous copies to and from the GPU.
template <class T>
class PinnedArray {
 public:
  explicit PinnedArray(std::int64_t count) {
    void* made = nullptr;
    const std::size_t bytes = std::size_t(count) * sizeof(T);
    if (const cudaError_t status = cudaMallocHost(&made, bytes); status != cudaSuccess) {
      cudaGetLastError();
      throw out_of_pinned_memory(bytes, status);
    }
    data_.reset(static_cast<T*>(made));
  }
  T* data() const { return data_.get(); }

 private:
  struct PinnedDeleter {
    void operator()(T* data) const { cudaFreeHost(data); }
  };
  std::unique_ptr<T, PinnedDeleter> data_;
};

/// Queues a copy of `count` elements between host and GPU memory, or within either. Host memory must not change before
/// the copy is complete.
template <class T>
void copy(cudaStream_t stream, T* to, const T* from, std::int64_t count) {
  check(cudaMemcpyAsync(to, from, std::size_t(count) * sizeof(T), cudaMemcpyDefault, stream), "cudaMemcpyAsync");
}
/// Queues a fill of `bytes` bytes of GPU memory with the byte `value`.
inline void fill_bytes(cudaStream_t stream, void* to, int value, std::size_t bytes) {
  check(cudaMemsetAsync(to, value, bytes, stream), "cudaMemsetAsync");
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
