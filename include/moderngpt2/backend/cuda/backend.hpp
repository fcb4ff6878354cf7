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

namespace moderngpt2::cuda {

class StepSums;
class StepGraph;

/// One GPU, the stream of its operations and their scratch memory. Operations only queue work: pointers are to GPU
/// memory, and results are there once the stream was waited for. Nothing waits for the GPU but scratch that has to
/// grow: reserve() of cuda/scratch.hpp makes it large enough before.
class Backend {
 public:
  static constexpr const char* name = "cuda";
  static constexpr std::int64_t default_logits_bytes = std::int64_t(512) << 20;
  using Memory = DeviceBuffer;
  using Loss = cuda::Loss;
  using StepSums = cuda::StepSums;
  using StepGraph = cuda::StepGraph;

  explicit Backend(int device = 0) : device_(select(device)) {
    multiprocessors_ = attribute(cudaDevAttrMultiProcessorCount);
    compute_capability_ =
        10 * attribute(cudaDevAttrComputeCapabilityMajor) + attribute(cudaDevAttrComputeCapabilityMinor);
    shared_bytes_ = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    if (compute_capability_ < 80)
      throw Error("GPU {} has compute capability {}.{}, and 8.0 (Ampere) is the least: use another, or --device cpu",
                  device, compute_capability_ / 10, compute_capability_ % 10);
  }

  /// The GPU of a process by its number on its machine. A launcher that shows each process one GPU (Slurm's
  /// --gpus-per-task) has chosen it; where that is one for several, NCCL refuses it.
  static int device_of(int local_rank) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
    if (count == 1) return 0;
    if (local_rank >= count)
      throw Error("process {} of this machine has no GPU, there are {}: start one process a GPU", local_rank, count);
    return local_rank;
  }

  /// Of the host.
  int threads() const { return 1; }
  int device() const { return device_; }
  const Stream& stream() const { return stream_; }
  int multiprocessors() const { return multiprocessors_; }
  /// 80 for 8.0, 90 for 9.0.
  int compute_capability() const { return compute_capability_; }
  /// Most shared memory of a block, static and dynamic together.
  int shared_bytes() const { return shared_bytes_; }
  std::size_t scratch_bytes() const { return scratch_.size(); }
  struct MemoryState {
    std::size_t available = 0, total = 0;
  };
  /// Of the GPU, with what others take of it.
  MemoryState memory() const {
    MemoryState now;
    check(cudaMemGetInfo(&now.available, &now.total), "cudaMemGetInfo");
    return now;
  }
  Blas& blas() { return blas_; }
  Inputs& inputs() { return inputs_; }
  LossMemory& losses() { return losses_; }
  /// Whether products of fp32 may round their inputs to TF32, several times as fast.
  bool tf32() const { return tf32_; }
  void use_tf32(bool yes) { tf32_ = yes; }
  /// Whether the algorithms of matrix products are timed, once a shape. They are then the same within a run, but
  /// another run may take others, which round differently; without it every run takes the same.
  void search_products(bool yes) { blas_.search(yes); }
  /// Attention by cuDNN where that takes the call (cudnn_takes), by our own kernels elsewhere, and at first everywhere.
  void use_cudnn_attention(bool yes) { use_cudnn_attention(yes ? make_cudnn_attention() : nullptr); }
  void use_cudnn_attention(std::unique_ptr<CudnnAttention> cudnn) { cudnn_ = std::move(cudnn); }
  /// Null: not wanted.
  CudnnAttention* cudnn_attention() const { return cudnn_.get(); }
  /// Most memory for the logits of a classifier, which makes them for as many tokens at once.
  std::int64_t logits_bytes() const { return logits_bytes_; }
  void limit_logits(std::int64_t bytes) { logits_bytes_ = bytes; }

  /// GPU memory for one operation, at a multiple of 256 bytes; its content is lost at the next.
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
  DeviceMemory scratch_;
  Blas blas_;
  Inputs inputs_;
  LossMemory losses_;
  std::unique_ptr<CudnnAttention> cudnn_;
  bool tf32_ = false;
  std::int64_t logits_bytes_ = default_logits_bytes;
};

}  // namespace moderngpt2::cuda
