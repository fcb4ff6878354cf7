#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/cudnn.hpp"
#include "moderngpt2/backend/cuda/kernels/attention_inputs.cuh"
#include "moderngpt2/backend/cuda/kernels/attention_rows.cuh"
#include "moderngpt2/backend/cuda/kernels/attention_rows_backward.cuh"
#include "moderngpt2/backend/cuda/kernels/decode_attention.cuh"
#include "moderngpt2/backend/cuda/kernels/flash_attention.cuh"
#include "moderngpt2/backend/cuda/kernels/flash_attention_backward.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

inline void require_head_dim(const AttentionCall& call) {
  if (call.head_dim > max_head_dim)
    throw Error(
        "attention on a GPU supports a head_dim of at most {} (this model has {}): use a smaller one, or the CPU",
        max_head_dim, call.head_dim);
}

/// Scratch floats of a backward pass: mean and share of AttentionMeans for each query and head.
constexpr std::int64_t attention_backward_scratch(int queries, int n_head) {
  return 2 * std::int64_t(queries) * n_head;
}

/// Whether a call without log-sum-exp is a decoding step: one query per sequence against its cache.
inline bool is_decode(const AttentionCall& call) { return call.time == 1 && call.past > 0 && !call.dropout.active(); }

/// Whether cuDNN is enabled and supports the call. It requires rows aligned to 16 bytes.
template <class T>
bool goes_to_cudnn(const Backend& b, const AttentionCall& call, std::initializer_list<Rows<const T>> rows) {
  if (!b.cudnn_attention() || !cudnn_takes(call, *dtype_of<T>)) return false;
  for (const Rows<const T>& r : rows)
    if (reinterpret_cast<std::uintptr_t>(r.data) % 16 != 0 || r.stride * sizeof(T) % 16 != 0) return false;
  return true;
}

template <class T>
CudnnShape cudnn_shape(const AttentionCall& call, ConstRows<T> o, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v) {
  return {.dtype = *dtype_of<T>,
          .batch = call.batch,
          .time = call.time,
          .n_head = call.n_head,
          .n_kv_head = call.n_kv_head,
          .head_dim = call.head_dim,
          .q = q.stride,
          .k = k.stride,
          .v = v.stride,
          .o = o.stride};
}

template <class Tensors>
void run_cudnn(Backend& b, const CudnnShape& shape, const Tensors& tensors) {
  CudnnAttention& cudnn = *b.cudnn_attention();
  cudnn.run(b.stream(), shape, tensors, b.scratch<std::byte>(cudnn.workspace_bytes(shape)));
}

}  // namespace detail

/// Queues o (BT,HD) = causal attention of q (BT,HD) to k and v (B key_rows, KD) by `call`, whose key_mask and first_key
/// are in GPU memory. Queries are scaled already. lse (B,H,T): log-sum-exp of the scores for the backward pass, or
/// null; infinity marks a query whose keys are all padding. Throws an Error for a head_dim over 256.
///
/// Kernels: cuDNN's if enabled and supported; decode_attention for one query per sequence; flash_attention for bf16 and
/// f16; attention_rows for fp32, and in bf16 and f16 for queries whose keys are all padding.
template <class T>
void attention(Backend& b, Rows<T> o, std::type_identity_t<float>* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v,
               const AttentionCall& call) {
  if (q.count == 0) return;
  detail::require_head_dim(call);
  if (lse && detail::goes_to_cudnn<T>(b, call, {o, q, k, v}))
    return detail::run_cudnn(b, detail::cudnn_shape<T>(call, o, q, k, v),
                             CudnnForward{.q = q.data, .k = k.data, .v = v.data, .o = o.data, .lse = lse});
  const AttentionInputs<T> in(q, k, v, call);
  auto queries = Queries::only_padding;
  if (!lse && detail::is_decode(call))
    DecodeAttention<T>{.in = in, .o = o, .parts = b.scratch<float>(DecodeAttention<T>::part_floats(call))}.launch(
        b.stream());
  else if constexpr (sizeof(T) == 2)
    FlashAttention<T>{.in = in, .o = o, .lse = lse}.launch(b.stream());
  else
    queries = Queries::all;
  if (queries == Queries::all || call.key_mask)
    AttentionRows<T>{.in = in, .o = o, .lse = lse, .queries = queries}.launch(b.stream());
}

/// Queues dq (BT,HD), dk and dv (B key_rows, KD) = gradients for d_o (BT,HD), with o and lse of the forward pass. For
/// training: call.past is 0. Sums have a fixed order. Throws an Error for a head_dim over 256.
template <class T>
void attention_backward(Backend& b, Rows<T> dq, Rows<T> dk, Rows<T> dv, ConstRows<T> d_o, ConstRows<T> o,
                        const float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  if (q.count == 0) return;
  detail::require_head_dim(call);
  if (detail::goes_to_cudnn<T>(b, call, {dq, dk, dv, d_o, o, q, k, v})) {
    CudnnShape shape = detail::cudnn_shape<T>(call, o, q, k, v);
    shape.backward = true;
    shape.d_o = d_o.stride, shape.dq = dq.stride, shape.dk = dk.stride, shape.dv = dv.stride;
    return detail::run_cudnn(b, shape,
                             CudnnBackward{.q = q.data,
                                           .k = k.data,
                                           .v = v.data,
                                           .o = o.data,
                                           .lse = lse,
                                           .d_o = d_o.data,
                                           .dq = dq.data,
                                           .dk = dk.data,
                                           .dv = dv.data});
  }
  const std::int64_t rows = std::int64_t(q.count) * call.n_head;
  float* const mean = b.scratch<float>(detail::attention_backward_scratch(q.count, call.n_head));
  float* const share = call.key_mask ? mean + rows : nullptr;
  AttentionMeans<T>{.d_o = d_o, .o = o, .lse = lse, .mean = mean, .share = share, .call = call}.launch(b.stream());
  const AttentionInputs<T> in(q, k, v, call);
  if constexpr (sizeof(T) == 2) {
    FlashAttentionBackward<T>{.in = in, .dq = dq, .dk = dk, .dv = dv, .d_o = d_o, .lse = lse, .mean = mean}.launch(
        b.stream());
    if (!call.key_mask) return;
  }
  AttentionRowsBackward<T>{.in = in,
                           .dq = dq,
                           .dk = dk,
                           .dv = dv,
                           .d_o = d_o,
                           .lse = lse,
                           .mean = mean,
                           .share = share,
                           .queries = sizeof(T) == 2 ? Queries::only_padding : Queries::all}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
