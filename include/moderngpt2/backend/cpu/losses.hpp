#pragma once

#include <algorithm>
#include <cmath>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/backend/cpu/matmul.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu {

namespace detail {

/// Cross-entropy of one row of logits. With `d`, writes scale * (softmax - one hot), times the slope of the softcap
/// when the logits went through one; d may be the row itself. An ignored label gives loss 0 and gradient 0.
inline float cross_entropy_row(float* d, const float* s, int width, int label, float softcap, float scale) {
  if (label == ignored_label) {
    if (d) std::fill_n(d, width, 0.0f);
    return 0;
  }
  const float top = largest(s[0], s, width);
  double total = 0;  // registers are added to it block by block: fp32 alone loses digits on large vocabularies
  constexpr int block = 1024;
  for (int at = 0; at < width; at += block) {
    f32v sums{};
    vector_loop(std::min(block, width - at), [&](int i, auto part) {
      const f32v e = exponential(load(s + at + i, part) - top);
      if constexpr (std::is_same_v<decltype(part), Whole>)
        sums += e;
      else
        for (int j = 0; j < part.n; ++j) sums[j] += e[j];
    });
    total += sum(sums);
  }
  // Never top + log(total): with logits of 100 its rounding would be most of a small loss.
  const float loss = float(std::log(total)) - (s[label] - top);
  if (d) {
    const float share = float(scale / total);
    const float at_label = s[label],
                slope_at_label = softcap > 0 ? 1 - at_label * at_label / (softcap * softcap) : 1.0f;
    vector_loop(width, [&](int i, auto part) {
      const f32v logit = load(s + i, part);
      f32v g = exponential(logit - top) * share;
      if (softcap > 0) {
        const f32v tanh = logit * (1.0f / softcap);
        g *= 1.0f - tanh * tanh;
      }
      store(d + i, g, part);
    });
    d[label] -= scale * slope_at_label;
  }
  return loss;
}

inline void cap_row(float* s, int width, float cap) {
  vector_loop(
      width, [&](int i, auto part) { store(s + i, hyperbolic_tangent(load(s + i, part) * (1.0f / cap)) * cap, part); });
}

/// Tokens whose logits exist at once: about 32 MB of them.
constexpr int classifier_chunk(int rows, int vocab) {
  const std::int64_t fitting = (std::int64_t(32) << 20) / (std::int64_t(vocab) * 4) / 16 * 16;
  return int(std::clamp<std::int64_t>(fitting, 16, std::max(rows, 16)));
}

/// Adds the losses of `rows` rows in order.
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

/// Floats of scratch that `classifier` and `classifier_loss` take.
constexpr std::int64_t classifier_scratch(int rows, int vocab) {
  return std::int64_t(detail::classifier_chunk(rows, vocab)) * (vocab + 1);
}

inline double cross_entropy(Backend& b, Rows<float> dlogits, Rows<const float> logits, const int* labels, float scale) {
  float* losses = b.scratch<float>(logits.count);
  return detail::sum_row_losses(b, losses, logits.count, [&](int r) {
    return detail::cross_entropy_row(dlogits.data ? dlogits.row(r) : nullptr, logits.row(r), logits.width, labels[r], 0,
                                     scale);
  });
}

inline double mean_squared_error(Backend&, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                 float scale) {
  double loss = 0;
  for (int r = 0; r < logits.count; ++r)
    for (int i = 0; i < logits.width; ++i) {
      const float difference = logits.row(r)[i] - targets[std::int64_t(r) * logits.width + i];
      loss += double(difference) * difference;
      if (dlogits.data) dlogits.row(r)[i] = 2 * scale * difference;
    }
  return loss;
}

inline double binary_cross_entropy(Backend&, Rows<float> dlogits, Rows<const float> logits, const float* targets,
                                   float scale) {
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

inline void logits(Backend& b, Rows<float> out, Rows<const float> hidden, Matrix<const float> w, float softcap) {
  matmul(b, out, hidden, w);
  if (softcap > 0)
    parallel_ranges(b.threads(), out.count, 1, [&](std::int64_t begin, std::int64_t end) {
      for (int r = int(begin); r < end; ++r) detail::cap_row(out.row(r), out.width, softcap);
    });
}

namespace detail {

/// Loss over all tokens by chunks; with dhidden and dw, their gradients too, the logits of a chunk overwritten by
/// their gradient.
inline double chunked_classifier(Backend& b, Rows<float> dhidden, Matrix<float> dw, Rows<const float> hidden,
                                 Matrix<const float> w, const int* labels, float softcap, float scale) {
  const int chunk = classifier_chunk(hidden.count, w.rows);
  float* scores = b.scratch<float>(classifier_scratch(hidden.count, w.rows));
  float* losses = scores + std::int64_t(chunk) * w.rows;
  double total = 0;
  for (int start = 0; start < hidden.count; start += chunk) {
    const int rows = std::min(chunk, hidden.count - start);
    const Rows<float> s(scores, rows, w.rows);
    const Rows<const float> x = hidden.slice(start, rows);
    ThreadScope threads(b.threads());
    gemm(Transpose::no, Transpose::yes, rows, w.rows, w.cols, x.data, x.stride, w.data, w.cols, s.data, s.stride,
         false);
    total += sum_row_losses(b, losses, rows, [&](int r) {
      if (softcap > 0) cap_row(s.row(r), s.width, softcap);
      return cross_entropy_row(dhidden.data ? s.row(r) : nullptr, s.row(r), s.width, labels[start + r], softcap, scale);
    });
    if (!dhidden.data) continue;
    const Rows<float> dx = dhidden.slice(start, rows);
    gemm(Transpose::no, Transpose::no, rows, w.cols, w.rows, s.data, s.stride, w.data, w.cols, dx.data, dx.stride,
         false);
    gemm(Transpose::yes, Transpose::no, w.rows, w.cols, rows, s.data, s.stride, x.data, x.stride, dw.data, dw.cols,
         true);
  }
  return total;
}

}  // namespace detail

inline double classifier_loss(Backend& b, Rows<const float> hidden, Matrix<const float> w, const int* labels,
                              float softcap) {
  return detail::chunked_classifier(b, {}, {}, hidden, w, labels, softcap, 0);
}

inline double classifier(Backend& b, Rows<float> dhidden, Matrix<float> dw, Rows<const float> hidden,
                         Matrix<const float> w, const int* labels, float softcap, float scale) {
  return detail::chunked_classifier(b, dhidden, dw, hidden, w, labels, softcap, scale);
}

}  // namespace moderngpt2::cpu
