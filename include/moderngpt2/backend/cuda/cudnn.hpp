#pragma once

#include <cstdint>
#include <memory>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/runtime.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"

// Attention by NVIDIA's cuDNN, beside our own kernels: what the rest of the backend knows of it. cudnn_attention.hpp
// does it, which moderngpt2::cuda compiles with MODERNGPT2_CUDNN=ON.
namespace moderngpt2::cuda {

/// What cuDNN makes a plan of: sizes, and how many elements lie between rows.
struct CudnnShape {
  Dtype dtype = Dtype::bf16;
  bool backward = false, deterministic = true;
  int batch = 1, time = 2, n_head = 1, n_kv_head = 1, head_dim = 8;
  int q = 8, k = 8, v = 8, o = 8;
  int d_o = 0, dq = 0, dk = 0, dv = 0;  ///< of a backward pass

  bool operator==(const CudnnShape&) const = default;
};

/// First elements, in GPU memory. lse (B,H,T).
struct CudnnForward {
  const void *q, *k, *v;
  void* o;
  float* lse;
};
struct CudnnBackward {
  const void *q, *k, *v, *o;
  const float* lse;
  const void* d_o;
  void *dq, *dk, *dv;
};

/// Attention of a library. Only queues work.
class CudnnAttention {
 public:
  virtual ~CudnnAttention() = default;
  /// Of scratch that run() wants. The first time of a shape its plan is made, which takes a good part of a second.
  virtual std::int64_t workspace_bytes(const CudnnShape& shape) = 0;
  virtual void run(cudaStream_t stream, const CudnnShape& shape, const CudnnForward& tensors, void* workspace) = 0;
  virtual void run(cudaStream_t stream, const CudnnShape& shape, const CudnnBackward& tensors, void* workspace) = 0;
};

/// Whether cuDNN has an attention that is ours: full causal sequences, and no dropout, since its masks are not those of
/// core/dropout.hpp. It has more (windows, caps, padding on the right), which no run of ours needs without the rest.
constexpr bool cudnn_takes(const AttentionCall& call, Dtype dtype) {
  return (dtype == Dtype::bf16 || dtype == Dtype::f16) && call.past == 0 && call.time > 1 &&
         call.key_rows == call.time && call.head_dim % 8 == 0 && call.head_dim <= 128 && call.softcap == 0 &&
         call.window == 0 && !call.key_mask && !call.first_key && !call.dropout.active();
}

/// Bytes of scratch for a call of that size, forward or backward: what the plans of cuDNN 9.19 asked for at most. Its
/// deterministic backward pass keeps a gradient of every score, and with fewer key/value heads than query heads the
/// gradients of keys and values for each of the latter.
constexpr std::int64_t cudnn_workspace_bytes(const AttentionCall& call) {
  const std::int64_t heads = std::int64_t(call.batch) * call.n_head, time = round_up(std::int64_t(call.time), 128);
  const std::int64_t scores = 2 * time * time, sums = 4 * time;
  const std::int64_t copies = call.group() > 1 ? 4 * time * round_up(call.head_dim, 64) : 0;
  return heads * (scores + sums + copies) + 4096;
}

#ifdef MODERNGPT2_HAVE_CUDNN
/// On the GPU at hand. An Error where there is no cuDNN, or an older one than the program was compiled for.
std::unique_ptr<CudnnAttention> make_cudnn_attention();
inline void require_cudnn() {}
#else
/// Throws a UsageError where this program has no cuDNN.
inline void require_cudnn() {
  throw UsageError(
      "--cudnn_attention: this program was built without cuDNN (configure with -DMODERNGPT2_CUDNN=ON), leave it out");
}
inline std::unique_ptr<CudnnAttention> make_cudnn_attention() {
  require_cudnn();
  return nullptr;
}
#endif

}  // namespace moderngpt2::cuda
