#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "moderngpt2/backend/cuda/cudnn.hpp"
#include "moderngpt2/backend/cuda/inputs.hpp"
#include "moderngpt2/backend/cuda/loss.hpp"
#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/simt/blas.hpp"
#else
#include "moderngpt2/backend/cuda/cublaslt.hpp"
#endif
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

class StepSums;
class GradientHash;
class StepGraph;

/// One GPU: the stream on which operations run, and their scratch memory. Operations queue work and return; their
/// pointers are to GPU memory, and results are valid after synchronize(). Scratch memory that has to grow waits for the
/// GPU; reserve() of cuda/scratch.hpp allocates it in advance.
///
/// Threads: for one thread at a time. Several threads share a GPU with a context each (new_context), whose streams run
/// at once. The current GPU is a setting of each thread, see select_device().
class Backend {
 public:
  static constexpr const char* name = "cuda";
  static constexpr std::int64_t default_logits_bytes = std::int64_t(512) << 20;
  using Memory = DeviceBuffer;
  using Loss = cuda::Loss;
  using StepSums = cuda::StepSums;
  using GradientHash = cuda::GradientHash;
  using StepGraph = cuda::StepGraph;

  explicit Backend(int device = 0) : device_(select(device)) {
    multiprocessors_ = attribute(cudaDevAttrMultiProcessorCount);
    compute_capability_ =
        10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
    shared_bytes_ = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    if (compute_capability_ < 80)
      throw Error("GPU {} has compute capability {}.{}, expected 8.0 (Ampere) or later: use another GPU, or the CPU",
                  device, compute_capability_ / 10, compute_capability_ % 10);
  }

  /// Device number for the process with this local rank (0 for the first process of a machine). Returns 0 if one GPU
  /// is visible, since a launcher such as Slurm with --gpus-per-task has then chosen it. Throws an Error if there are
  /// fewer GPUs than processes.
  static int device_of(int local_rank) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    if (count == 1) return 0;
    if (local_rank >= count)
      throw Error("local rank {} has no GPU, {} are visible: start one process per GPU", local_rank, count);
    return local_rank;
  }

  /// Host threads per operation.
  int threads() const { return 1; }
  int device() const { return device_; }
  const Stream& stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Compute capability as 10 * major + minor: 90 for 9.0.
  int compute_capability() const { return compute_capability_; }
  /// Maximum shared memory of a block in bytes, static and dynamic together.
  int shared_bytes() const { return shared_bytes_; }
  std::size_t scratch_bytes() const { return scratch_.size(); }
  struct MemoryState {
    std::size_t available = 0, total = 0;
  };
  /// Free and total memory of the GPU in bytes; other processes' memory counts as used.
  MemoryState memory() const {
    MemoryState now;
    check(cudaMemGetInfo(&now.available, &now.total), "cudaMemGetInfo");
    return now;
  }
  Blas& blas() { return blas_; }
  Inputs& inputs() { return inputs_; }
  LossMemory& losses() { return losses_; }
  /// Whether matrix products of fp32 may round their inputs to TF32, which is several times faster. Default: false.
  bool tf32() const { return tf32_; }
  void use_tf32(bool yes) { tf32_ = yes; }
  /// Enables timing of cuBLASLt's algorithms, once for each shape of a matrix product. The choice is then fixed within
  /// a run, but another run may choose differently and round differently. Default: false, every run chooses the same.
  void search_products(bool yes) { blas_.search(yes); }
  bool searches_products() const { return blas_.searches(); }
  /// Enables cuDNN's attention for the calls that it supports (cudnn_takes). Default: the kernels of this library for
  /// all calls. Throws a UsageError if the calling source file, whose function `make` is, was compiled without cuDNN.
  void use_cudnn_attention(bool yes, std::unique_ptr<CudnnAttention> (*make)() = make_cudnn_attention) {
    use_cudnn_attention(yes ? make() : nullptr);
  }
  void use_cudnn_attention(std::unique_ptr<CudnnAttention> cudnn) { cudnn_ = std::move(cudnn); }
  /// cuDNN's attention, or null if it is not enabled.
  CudnnAttention* cudnn_attention() const { return cudnn_.get(); }
  /// Maximum bytes of the logits that classifier() computes at a time. Default: 512 MiB.
  std::int64_t logits_bytes() const { return logits_bytes_; }
  void limit_logits(std::int64_t bytes) { logits_bytes_ = bytes; }

  /// Scratch for `count` elements of T in GPU memory, aligned to 256 bytes. The next call, of any operation, reuses it.
  template <class T>
  T* scratch(std::int64_t count) {
    const std::size_t bytes = std::size_t(count) * sizeof(T);
    if (bytes > scratch_.size()) {
      scratch_ = DeviceMemory();
      scratch_ = DeviceMemory(bytes);
    }
    return static_cast<T*>(scratch_.data());
  }
  void synchronize() const { stream_.synchronize(); }
  /// Makes later operations wait for those that `works` has queued. Does not block the host.
  void order_after(const Backend& works) const {
    others_.record(works.stream_);
    others_.wait(stream_);
  }

 private:
  static int select(int device) {
    check(cudaSetDevice(device), "cudaSetDevice");
    return device;
  }
  int attribute(cudaDeviceAttr which) const {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, which, device_), "cudaDeviceGetAttribute");
    return value;
  }

  int device_;
  int multiprocessors_ = 0, compute_capability_ = 0, shared_bytes_ = 0;
  Stream stream_;
  mutable Event others_;  // recorded by order_after() only
  DeviceMemory scratch_;
  Blas blas_;
  Inputs inputs_;
  LossMemory losses_;
  std::unique_ptr<CudnnAttention> cudnn_;
  bool tf32_ = false;
  std::int64_t logits_bytes_ = default_logits_bytes;
};

/// Makes the GPU of `b` the current one of the calling thread: for kernels, allocations and events. A thread begins
/// with GPU 0.
inline void select_device(const Backend& b) { check(cudaSetDevice(b.device()), "cudaSetDevice"); }

/// Another stream on the same GPU, with its own scratch memory and the same settings, for another thread. With
/// search_products(true) each context times algorithms by itself and may choose, and round, differently.
inline Backend new_context(const Backend& b) {
  Backend other(b.device());
  other.use_tf32(b.tf32());
  other.limit_logits(b.logits_bytes());
  other.search_products(b.searches_products());
  if (b.cudnn_attention()) other.use_cudnn_attention(b.cudnn_attention()->clone());
  return other;
}

inline void order_after(const Backend& waits, const Backend& works) { waits.order_after(works); }

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
