#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/embedding.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Number of groups of rows over which gradients of gains are summed first, then over the groups: the same bits for any
/// thread count.
inline constexpr int norm_partitions = 32;

template <class T>
float reciprocal_rms(const T* x, int width, float eps) {
  return 1.0f / std::sqrt(dot(x, x, width) / float(width) + eps);
}

/// Calls f(gain), where gain(i, part) is 1 + w of channels from i on, and 1 if w is null.
template <class F>
void with_gain(const float* w, F&& f) {
  if (w)
    f([w](int i, auto part) { return 1.0f + load(w + i, part); });
  else
    f([](int, auto) { return 1.0f; });
}

template <class T>
void norm_row(T* u, const T* x, const float* w, int width, float eps) {
  const float rstd = reciprocal_rms(x, width, eps);
  with_gain(w, [&](auto gain) {
    vector_loop(width, [&](int i, auto part) { store(u + i, load(x + i, part) * rstd * gain(i, part), part); });
  });
}

/// Backward pass of y = x rstd (1 + w) for one row: dx (+)= gradient of x, dw += gradient of w. Derivation:
/// docs/math.md.
template <class T>
void norm_row_backward(T* dx, float* dw, const T* dy, const T* x, const float* w, int width, float eps,
                       bool accumulate) {
  const float rstd = reciprocal_rms(x, width, eps);
  with_gain(w, [&](auto gain) {
    f32v total{};
    vector_loop(width, [&](int i, auto part) {
      const f32v product = load(dy + i, part) * load(x + i, part) * rstd;
      total += product * gain(i, part);
      store(dw + i, load(dw + i, part) + product, part);
    });
    const float pull = sum(total) / float(width) * rstd;
    vector_loop(width, [&](int i, auto part) {
      f32v d = rstd * (load(dy + i, part) * gain(i, part) - load(x + i, part) * pull);
      if (accumulate) d += load(dx + i, part);
      store(dx + i, d, part);
    });
  });
}

/// Calls f(row, partial) for all rows, which adds its gradients of N gains to partial (N,width), then adds the partial
/// sums to `gains` that are not null.
template <std::size_t N, class F>
void sum_gain_gradients(Backend& b, int rows, int width, const Vector<float> (&gains)[N], F&& f) {
  constexpr int count = int(N);
  const int parts = std::min(norm_partitions, rows);
  float* partial = b.scratch<float>(std::int64_t(parts) * count * width);
  parallel_tasks(b.threads(), parts, [&](std::int64_t part, int) {
    float* mine = partial + part * count * width;
    std::fill_n(mine, std::int64_t(count) * width, 0.0f);
    const int end = int(std::int64_t(rows) * (part + 1) / parts);
    for (int r = int(std::int64_t(rows) * part / parts); r < end; ++r) f(r, mine);
  });
  for (int n = 0; n < count; ++n) {
    if (!gains[n]) continue;
    parallel_ranges(b.threads(), width, 256, [&](std::int64_t begin, std::int64_t end) {
      for (int part = 0; part < parts; ++part)
        for (std::int64_t i = begin; i < end; ++i)
          gains[n].data[i] += partial[(std::int64_t(part) * count + n) * width + i];
    });
  }
}

}  // namespace detail

template <class T>
void rms_norm(Backend& b, Rows<T> u, ConstRows<T> x, Vector<const float> w, float eps) {
  parallel_ranges(b.threads(), x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) detail::norm_row<T>(u.row(r), x.row(r), w.data, x.width, eps);
  });
}

template <class T>
void rms_norm_backward(Backend& b, Rows<T> dx, Vector<float> dw, ConstRows<T> du, ConstRows<T> x, Vector<const float> w,
                       float eps, bool accumulate) {
  detail::sum_gain_gradients(b, x.count, x.width, {dw}, [&](int r, float* partial) {
    detail::norm_row_backward<T>(dx.row(r), partial, du.row(r), x.row(r), w.data, x.width, eps, accumulate);
  });
}

template <class T>
void add_norm(Backend& b, Rows<T> x_out, Rows<T> u, ConstRows<T> x, Rows<T> y, Vector<const float> post,
              Vector<const float> next, float eps, int time, const Dropout& d) {
  parallel_ranges(b.threads(), x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      if (d.active()) detail::drop_row(y.row(r), 0, y.width, r, time, d);
      const float rstd = detail::reciprocal_rms(y.row(r), y.width, eps);
      detail::with_gain(post.data, [&](auto gain) {
        vector_loop(x.width, [&](int i, auto part) {
          const f32v normed = load(y.row(r) + i, part) * rstd * gain(i, part);
          store(x_out.row(r) + i, load(x.row(r) + i, part) + normed, part);
        });
      });
      detail::norm_row<T>(u.row(r), x_out.row(r), next.data, x.width, eps);
    }
  });
}

template <class T>
void add_norm_backward(Backend& b, Rows<T> dx, Rows<T> dy, Vector<float> dpost, Vector<float> dnext, ConstRows<T> du,
                       ConstRows<T> x_out, ConstRows<T> y, Vector<const float> post, Vector<const float> next,
                       float eps, int time, const Dropout& d) {
  const int width = dx.width;
  detail::sum_gain_gradients(b, dx.count, width, {dnext, dpost}, [&](int r, float* partial) {
    detail::norm_row_backward<T>(dx.row(r), partial, du.row(r), x_out.row(r), next.data, width, eps, true);
    detail::norm_row_backward<T>(dy.row(r), partial + width, dx.row(r), y.row(r), post.data, width, eps, false);
    if (d.active()) detail::drop_row(dy.row(r), 0, width, r, time, d);
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
