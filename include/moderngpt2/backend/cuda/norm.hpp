#pragma once

#include <cstdint>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/norm.cuh"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

/// Scratch floats of a backward pass: partial gradients of `gains` vectors of `width` channels.
inline std::int64_t norm_scratch(int rows, int gains, int width) {
  return std::int64_t(norm_parts(rows)) * gains * width;
}

}  // namespace detail

/// Queues u (N,C) = x rsqrt(mean(x^2) + eps) (1 + w), by row; w (C) in fp32 (Zhang and Sennrich 2019,
/// arXiv:1910.07467). Throws an Error for a width that no kernel supports (see dispatch_norm).
template <class T>
void rms_norm(Backend& b, Rows<T> u, ConstRows<T> x, Vector<const float> w, float eps) {
  if (x.count == 0) return;
  RmsNorm<T>{.u = u, .x = x, .w = w.data, .eps = eps}.launch(b.stream());
}

/// Queues dx (N,C) (+)= gradient of x, dw (C) += gradient of w, for du (N,C); `accumulate` selects +=. Sums over rows
/// have a fixed order.
template <class T>
void rms_norm_backward(Backend& b, Rows<T> dx, Vector<float> dw, ConstRows<T> du, ConstRows<T> x, Vector<const float> w,
                       float eps, bool accumulate) {
  if (x.count == 0) return;
  RmsNormBackward<T>{.dx = dx,
                     .du = du,
                     .x = x,
                     .w = w.data,
                     .dw = dw.data,
                     .partial = b.scratch<float>(detail::norm_scratch(x.count, 1, x.width)),
                     .eps = eps,
                     .accumulate = accumulate}
      .launch(b.stream());
}

/// Queues y = dropout(y) in place, x_out = x + norm(y, post) and u = norm(x_out, next), all (N,C) with gains (C): the
/// end of one half block and the beginning of the next. `time`: rows per sequence, for the dropout mask.
template <class T>
void add_norm(Backend& b, Rows<T> x_out, Rows<T> u, ConstRows<T> x, Rows<T> y, Vector<const float> post,
              Vector<const float> next, float eps, int time, const Dropout& d) {
  if (x.count == 0) return;
  AddNorm<T>{.x_out = x_out,
             .u = u,
             .y = y,
             .x = x,
             .post = post.data,
             .next = next.data,
             .dropout = DropoutSite(d),
             .eps = eps,
             .time = time}
      .launch(b.stream());
}

/// Queues the backward pass of add_norm. In: du, and in dx the gradient of x_out from the residual path. Out: dx and dy
/// (N,C); dpost and dnext (C) +=. y is the output of add_norm. Sums over rows have a fixed order.
template <class T>
void add_norm_backward(Backend& b, Rows<T> dx, Rows<T> dy, Vector<float> dpost, Vector<float> dnext, ConstRows<T> du,
                       ConstRows<T> x_out, ConstRows<T> y, Vector<const float> post, Vector<const float> next,
                       float eps, int time, const Dropout& d) {
  if (dx.count == 0) return;
  AddNormBackward<T>{.dx = dx,
                     .dy = dy,
                     .du = du,
                     .x_out = x_out,
                     .y = y,
                     .post = post.data,
                     .next = next.data,
                     .dpost = dpost.data,
                     .dnext = dnext.data,
                     .partial = b.scratch<float>(detail::norm_scratch(dx.count, 2, dx.width)),
                     .dropout = DropoutSite(d),
                     .eps = eps,
                     .time = time}
      .launch(b.stream());
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
