#pragma once

#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/attention_rows.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/view.hpp"
#ifdef MODERNGPT2_CUDA_SIMULATED
#include "moderngpt2/backend/cuda/kernels/attention_rows.cuh"
#endif

namespace moderngpt2::cuda {

namespace detail {

inline void require_head_dim(const AttentionCall& call) {
  if (call.head_dim > max_head_dim)
    throw Error("attention with a head_dim of {} does not run on a GPU: use {} or less, or --device cpu", call.head_dim,
                max_head_dim);
}

}  // namespace detail

/// key_mask and first_key of the call are in GPU memory. lse (B,H,T) or null; infinity marks a query that sees only
/// padding. An Error for a head_dim over 256.
template <class T>
void attention(Backend& b, Rows<T> o, std::type_identity_t<float>* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v,
               const AttentionCall& call) {
  if (q.count == 0) return;
  detail::require_head_dim(call);
  AttentionRows<T>{.in = {q, k, v, call}, .o = o, .lse = lse}.launch(b.stream());
}

/// Training only: past is 0. Sums have a fixed order.
template <class T>
void attention_backward(Backend& b, Rows<T> dq, Rows<T> dk, Rows<T> dv, ConstRows<T> d_o, ConstRows<T> o,
                        const float* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  if (q.count == 0) return;
  detail::require_head_dim(call);
  const std::int64_t rows = std::int64_t(q.count) * call.n_head;
  float* const mean = b.scratch<float>(2 * rows);
  float* const share = call.key_mask ? mean + rows : nullptr;
  AttentionMeans<T>{.d_o = d_o, .o = o, .lse = lse, .mean = mean, .share = share, .call = call}.launch(b.stream());
  AttentionRowsBackward<T>{
      .in = {q, k, v, call}, .dq = dq, .dk = dk, .dv = dv, .d_o = d_o, .lse = lse, .mean = mean, .share = share}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda
