#pragma once

#include <cstdint>
#include <memory>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"

// Interface of cuDNN's attention, an alternative to this library's kernels. The implementation is cudnn_attention.hpp,
// which the target moderngpt2::cuda compiles with MODERNGPT2_CUDNN=ON.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Parameters of a cuDNN plan: sizes, and the row strides of q, k, v, ... in elements.
struct CudnnShape {
  Dtype dtype = Dtype::bf16;
  bool backward = false, deterministic = true;
  int batch = 1, time = 2, n_head = 1, n_kv_head = 1, head_dim = 8;
  int q = 8, k = 8, v = 8, o = 8;
  int d_o = 0, dq = 0, dk = 0, dv = 0;  ///< backward pass only

  bool operator==(const CudnnShape&) const = default;
};

/// Operands of a forward pass in GPU memory: first elements of q, o (BT,HD), k, v (BT,KD) and lse (B,H,T).
struct CudnnForward {
  const void *q, *k, *v;
  void* o;
  float* lse;
};
/// Operands of a backward pass in GPU memory, shaped like those of CudnnForward.
struct CudnnBackward {
  const void *q, *k, *v, *o;
  const float* lse;
  const void* d_o;
  void *dq, *dk, *dv;
};

/// Interface of attention by cuDNN. The functions queue work and return without waiting for the GPU. Threads: for one
/// thread at a time.
class CudnnAttention {
 public:
  virtual ~CudnnAttention() = default;
  /// Another instance on the current GPU, without plans, for another thread.
  virtual std::unique_ptr<CudnnAttention> clone() const = 0;
  /// Scratch bytes that run() needs. The first call for a shape builds its plan, which takes up to a second.
  virtual std::int64_t workspace_bytes(const CudnnShape& shape) = 0;
  /// Queues the forward pass. workspace: workspace_bytes(shape) bytes of GPU memory.
  virtual void run(cudaStream_t stream, const CudnnShape& shape, const CudnnForward& tensors, void* workspace) = 0;
  /// Queues the backward pass, with the same workspace.
  virtual void run(cudaStream_t stream, const CudnnShape& shape, const CudnnBackward& tensors, void* workspace) = 0;
};

/// Whether cuDNN supports the call: full causal sequences in bf16 or f16, head_dim a multiple of 8 and at most
/// 128, no dropout (its masks would differ from those of core/dropout.hpp). cuDNN's sliding windows, softcaps and right
/// padding are not used.
constexpr bool cudnn_takes(const AttentionCall& call, Dtype dtype) {
  return (dtype == Dtype::bf16 || dtype == Dtype::f16) && call.past == 0 && call.time > 1 &&
         call.key_rows == call.time && call.head_dim % 8 == 0 && call.head_dim <= 128 && call.softcap == 0 &&
         call.window == 0 && !call.key_mask && !call.first_key && !call.dropout.active();
}

/// Upper bound of the scratch bytes for a call of this size, forward or backward, as measured with cuDNN 9.19. Its
/// deterministic backward pass stores a gradient for every score and, with grouped queries, gradients of keys and
/// values for every query head.
constexpr std::int64_t cudnn_workspace_bytes(const AttentionCall& call) {
  const std::int64_t heads = std::int64_t(call.batch) * call.n_head, time = round_up(std::int64_t(call.time), 128);
  const std::int64_t scores = 2 * time * time, sums = 4 * time;
  const std::int64_t copies = call.group() > 1 ? 4 * time * round_up(call.head_dim, 64) : 0;
  return heads * (scores + sums + copies) + 4096;
}

#ifdef MODERNGPT2_HAVE_CUDNN
inline namespace with_cudnn {

/// cuDNN's attention on the current GPU. Throws an Error if cuDNN is missing or older than the one compiled for.
std::unique_ptr<CudnnAttention> make_cudnn_attention();
inline void require_cudnn() {}

}  // namespace with_cudnn
#else
inline namespace without_cudnn {

/// Throws a UsageError if this program was built without cuDNN.
inline void require_cudnn() {
  throw UsageError("{}: this program was built without cuDNN (configure with -DMODERNGPT2_CUDNN=ON): turn it off",
                   Setting{"cudnn_attention"});
}
inline std::unique_ptr<CudnnAttention> make_cudnn_attention() {
  require_cudnn();
  return nullptr;
}

}  // namespace without_cudnn
#endif

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
