#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/classifier_rows.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/losses.cuh"
#include "moderngpt2/backend/cuda/losses.hpp"
#include "moderngpt2/backend/cuda/matmul.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Queues out (N,V) = hidden (N,C) w^T for w (V,C), then softcap tanh(out / softcap) if softcap > 0.
template <class X, class W>
void logits(Backend& b, Rows<float> out, Rows<X> hidden, Matrix<W> w, float softcap) {
  matmul(b, out, hidden, w);
  if (softcap > 0 && out.count > 0) SoftCap<float>{.x = out, .cap = softcap}.launch(b.stream());
}

namespace detail {

/// Scratch floats: losses and logits of one chunk of tokens.
constexpr std::int64_t classifier_scratch(std::int64_t logits_bytes, int rows, int vocab) {
  const std::int64_t chunk = classifier_rows(logits_bytes, rows, vocab);
  return FloatScratch::padded(chunk) + chunk * logits_stride(vocab);
}

/// Sum of the cross-entropies of all tokens, computed in chunks of tokens so that the logits (N,V) never exist as a
/// whole; with dhidden and dw, also their gradients. The gradient of a chunk's logits overwrites the logits. Each chunk
/// reads and writes all of dw, so chunks are as large as Backend::logits_bytes() allows.
template <class T>
Loss chunked_classifier(Backend& b, Rows<T> dhidden, Matrix<float> dw, Rows<const T> hidden, Matrix<const T> w,
                        const int* labels, float softcap, float scale, float smoothing) {
  if (hidden.count == 0) return {};
  const int chunk = classifier_rows(b.logits_bytes(), hidden.count, w.rows);
  FloatScratch scratch{b.scratch<float>(classifier_scratch(b.logits_bytes(), hidden.count, w.rows))};
  LossSum sum{.parts = scratch.take(chunk), .total = b.losses().next(), .add = false};
  for (int start = 0; start < hidden.count; start += chunk) {
    const int rows = std::min(chunk, hidden.count - start);
    const Rows<float> s(scratch.next, rows, w.rows, logits_stride(w.rows));
    const Rows<const T> x = hidden.slice(start, rows);
    product(b, Transposed::no, x, Transposed::yes, rows_of(w), s, false);
    sum.add = start > 0;
    const Rows<T> d = dhidden.data ? in_place<T>(s) : Rows<T>{};
    cross_entropy_rows(b, d, Rows<const float>(s), labels + start, softcap, scale, sum, smoothing);
    if (!dhidden.data) continue;
    product(b, Transposed::no, d, Transposed::no, rows_of(w), dhidden.slice(start, rows), false);
    product(b, Transposed::yes, d, Transposed::no, x, rows_of(dw), true);
  }
  return {b.stream(), sum.total};
}

}  // namespace detail

/// Sum of the cross-entropies of the softcapped logits hidden (N,C) w^T, w (V,C), with labels (N) in GPU memory.
/// `smoothing`: fraction of each label that is spread over all classes.
template <class X, class T = std::remove_const_t<X>>
Loss classifier_loss(Backend& b, Rows<X> hidden, ConstMatrix<T> w, const int* labels, float softcap,
                     float smoothing = 0) {
  return detail::chunked_classifier<T>(b, {}, {}, hidden, w, labels, softcap, 0, smoothing);
}

/// classifier_loss with gradients: dhidden (N,C) = and dw (V,C) += gradient times scale.
template <class T>
Loss classifier(Backend& b, Rows<T> dhidden, Matrix<float> dw, ConstRows<T> hidden, ConstMatrix<T> w, const int* labels,
                float softcap, float scale, float smoothing = 0) {
  return detail::chunked_classifier<T>(b, dhidden, dw, hidden, w, labels, softcap, scale, smoothing);
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
