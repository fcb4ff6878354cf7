#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/classifier_rows.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/matmul.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Cross-entropy of one row of logits with the target (1 - smoothing) * one_hot + smoothing / width. Unless d is null,
/// stores its gradient there: scale * (softmax - target), times the derivative of the softcap if softcap > 0. d may be
/// the memory of the row itself, also with 16-bit elements. An ignored label has loss 0 and gradient 0.
template <class D>
float cross_entropy_row(D* d, const float* s, int width, int label, float softcap, float scale, float smoothing = 0) {
  if (label == ignored_label) {
    if (d) std::fill_n(d, width, D(0));
    return 0;
  }
  const float top = largest(s[0], s, width);
  double total = 0, below = 0;  // double across blocks: fp32 loses digits on large vocabularies
  constexpr int block = 1024;
  for (int at = 0; at < width; at += block) {
    const int count = std::min(block, width - at);
    const auto sum_of = [&](auto&& f) {
      f32v sums{};
      vector_loop(count, [&](int i, auto part) {
        const f32v e = f(load(s + at + i, part) - top);
        if constexpr (std::is_same_v<decltype(part), Whole>)
          sums += e;
        else
          for (int j = 0; j < part.n; ++j) sums[j] += e[j];
      });
      return sum(sums);
    };
    total += sum_of([](f32v x) { return exponential(x); });
    if (smoothing > 0) below += sum_of([](f32v x) { return x; });
  }
  // Not top + log(total): with logits around 100, its rounding error would dominate a small loss.
  float loss = float(std::log(total)) - (s[label] - top);
  if (smoothing > 0) loss = float(std::log(total) - ((1.0 - smoothing) * (s[label] - top) + smoothing * below / width));
  if (d) {
    const float share = float(scale / total), spread = scale * smoothing / float(width);
    const float of_label = scale * (1 - smoothing), at_label = s[label],
                slope_at_label = softcap > 0 ? 1 - at_label * at_label / (softcap * softcap) : 1.0f;
    const auto probability = [&](f32v logit) {
      f32v g = exponential(logit - top) * share - spread;
      if (softcap > 0) {
        const f32v tanh = logit * (1.0f / softcap);
        g *= 1.0f - tanh * tanh;
      }
      return g;
    };
    vector_loop(width, [&](int i, auto part) { store(d + i, probability(load(s + i, part)), part); });
    if constexpr (std::is_same_v<D, float>)
      d[label] -= of_label * slope_at_label;
    else  // rounds the difference of two numbers near 1 once, not twice
      d[label] = D(probability(broadcast(at_label))[0] - of_label * slope_at_label);
  }
  return loss;
}

inline void cap_row(float* s, int width, float cap) {
  vector_loop(
      width, [&](int i, auto part) { store(s + i, hyperbolic_tangent(load(s + i, part) * (1.0f / cap)) * cap, part); });
}

/// Rows of logits computed at a time: about 64 MiB of them. Each chunk reads all of w and updates all of dw.
constexpr int classifier_chunk(int rows, int vocab) { return classifier_rows(std::int64_t(64) << 20, rows, vocab); }

/// Computes losses[r] = f(r) in parallel, and returns their sum in order.
template <class F>
double sum_row_losses(Backend& b, float* losses, int rows, F&& f) {
  parallel_ranges(b.threads(), rows, 1, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) losses[r] = f(r);
  });
  double total = 0;
  for (int r = 0; r < rows; ++r) total += losses[r];
  return total;
}

}  // namespace detail

/// Floats of scratch that `classifier` and `classifier_loss` use.
constexpr std::int64_t classifier_scratch(int rows, int vocab) {
  return std::int64_t(detail::classifier_chunk(rows, vocab)) * (vocab + 1);
}

double cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels, float scale,
                     float smoothing = 0);

double mean_squared_error(Backend&, Rows<float> dlogits, Rows<const float> logits, const float* targets, float scale);

double binary_cross_entropy(Backend&, Rows<float> dlogits, Rows<const float> logits, const float* targets, float scale);

template <class X, class W>
void logits(Backend& b, Rows<float> out, Rows<X> hidden, Matrix<W> w, float softcap) {
  matmul(b, out, hidden, w);
  if (softcap > 0)
    parallel_ranges(b.threads(), out.count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (int r = int(begin); r < end; ++r) detail::cap_row(out.row(r), out.width, softcap);
    });
}

namespace detail {

/// Sum of f(first row, logits, losses) over chunks of `rows` rows. `logits` (chunk,vocab) and `losses` (chunk) are
/// scratch memory.
template <class F>
double sum_chunks(Backend& b, int rows, int vocab, F&& f) {
  const int chunk = classifier_chunk(rows, vocab);
  float* scores = b.scratch<float>(classifier_scratch(rows, vocab));
  float* losses = scores + std::int64_t(chunk) * vocab;
  double total = 0;
  for (int first = 0; first < rows; first += chunk)
    total += f(first, Rows<float>(scores, std::min(chunk, rows - first), vocab), losses);
  return total;
}

/// Sum of losses over all rows, in chunks. Unless dhidden is null, also computes gradients; those of the logits
/// overwrite the logits of their chunk.
template <class T>
double chunked_classifier(Backend& b, Rows<T> dhidden, Matrix<float> dw, Rows<const T> hidden, Matrix<const T> w,
                          const int* labels, float softcap, float scale, float smoothing) {
  return sum_chunks(b, hidden.count, w.rows, [&](int start, Rows<float> s, float* losses) {
    const int rows = s.count;
    const Rows<T> d = in_place<T>(s);
    const Rows<const T> x = hidden.slice(start, rows);
    product(b, Transpose::no, Transpose::yes, rows, w.rows, w.cols, x.data, x.stride, w.data, w.cols, s.data, s.stride,
            false);
    const double total = sum_row_losses(b, losses, rows, [&](int r) {
      if (softcap > 0) cap_row(s.row(r), s.width, softcap);
      return cross_entropy_row(dhidden.data ? d.row(r) : nullptr, s.row(r), s.width, labels[start + r], softcap, scale,
                               smoothing);
    });
    if (!dhidden.data) return total;
    const Rows<T> dx = dhidden.slice(start, rows);
    product(b, Transpose::no, Transpose::no, rows, w.cols, w.rows, d.data, d.stride, w.data, w.cols, dx.data, dx.stride,
            false);
    product(b, Transpose::yes, Transpose::no, w.rows, w.cols, rows, d.data, d.stride, x.data, x.stride, dw.data,
            dw.cols, true);
    return total;
  });
}

}  // namespace detail

template <class X, class T = std::remove_const_t<X>>
double classifier_loss(Backend& b, Rows<X> hidden, ConstMatrix<T> w, const int* labels, float softcap,
                       float smoothing = 0) {
  return detail::chunked_classifier<T>(b, {}, {}, hidden, w, labels, softcap, 0, smoothing);
}

template <class T>
double classifier(Backend& b, Rows<T> dhidden, Matrix<float> dw, ConstRows<T> hidden, ConstMatrix<T> w,
                  const int* labels, float softcap, float scale, float smoothing = 0) {
  return detail::chunked_classifier<T>(b, dhidden, dw, hidden, w, labels, softcap, scale, smoothing);
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

MODERNGPT2_INLINE double cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels,
                                       float scale, float smoothing) {
  float* losses = b.scratch<float>(logits.count);
  return detail::sum_row_losses(b, losses, logits.count, [&](int r) {
    return detail::cross_entropy_row(dlogits.data ? dlogits.row(r) : nullptr, logits.row(r), logits.width, labels[r], 0,
                                     scale, smoothing);
  });
}

MODERNGPT2_INLINE double mean_squared_error(Backend&, Rows<float> dlogits, Rows<const float> logits,
                                            const float* targets, float scale) {
  double loss = 0;
  for (int r = 0; r < logits.count; ++r)
    for (int i = 0; i < logits.width; ++i) {
      const float difference = logits.row(r)[i] - targets[std::int64_t(r) * logits.width + i];
      loss += double(difference) * difference;
      if (dlogits.data) dlogits.row(r)[i] = 2 * scale * difference;
    }
  return loss;
}

MODERNGPT2_INLINE double binary_cross_entropy(Backend&, Rows<float> dlogits, Rows<const float> logits,
                                              const float* targets, float scale) {
  double loss = 0;
  for (int r = 0; r < logits.count; ++r)
    for (int i = 0; i < logits.width; ++i) {
      const double s = logits.row(r)[i];
      const float target = targets[std::int64_t(r) * logits.width + i];
      loss += softplus(s) - target * s;
      if (dlogits.data) dlogits.row(r)[i] = scale * (float(moderngpt2::sigmoid(s)) - target);
    }
  return loss;
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI

#endif
