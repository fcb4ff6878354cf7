#pragma once

#include <cmath>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/separate_compilation.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Elements of a partial sum of squares, and number of partial sums in a batch: the same order for any thread count.
inline constexpr std::int64_t square_block = 4096, square_blocks = 4096;

}  // namespace detail

template <class T>
double sum_of_squares(Backend& b, const T* x, std::int64_t n) {
  using detail::square_block, detail::square_blocks;
  double* partial = b.scratch<double>(square_blocks);
  double total = 0;
  for (std::int64_t start = 0; start < n; start += square_block * square_blocks) {
    const std::int64_t count = std::min(n - start, square_block * square_blocks);
    const std::int64_t blocks = (count + square_block - 1) / square_block;
    parallel_ranges(b.threads(), blocks, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* from = x + start + i * square_block;
        partial[i] = dot(from, from, int(std::min(square_block, count - i * square_block)));
      }
    });
    for (std::int64_t i = 0; i < blocks; ++i) total += partial[i];
  }
  return total;
}

/// AdamW step on n elements. Unless `rounded` is null, also stores the new weights there in bf16.
void adamw(Backend& b, float* weight, float* first, float* second, const float* gradient, std::int64_t n,
           const AdamWStep& s, bf16* rounded = nullptr);

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

MODERNGPT2_INLINE void adamw(Backend& b, float* weight, float* first, float* second, const float* gradient,
                             std::int64_t n, const AdamWStep& s, bf16* rounded) {
  const double correction1 = 1 - std::pow(s.beta1, double(s.step)), correction2 = 1 - std::pow(s.beta2, double(s.step));
  const float scale = float(s.gradient_scale), beta1 = float(s.beta1), beta2 = float(s.beta2);
  const float rest1 = float(1 - s.beta1), rest2 = float(1 - s.beta2), epsilon = float(s.epsilon);
  const float rate = float(s.learning_rate / correction1), root = float(1 / std::sqrt(correction2));
  const float keep = float(1 - s.learning_rate * s.weight_decay);
  parallel_ranges(b.threads(), n, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    auto update = [&](std::int64_t i, auto part) {
      const f32v g = load(gradient + i, part) * scale;
      const f32v m = beta1 * load(first + i, part) + rest1 * g;
      const f32v v = beta2 * load(second + i, part) + rest2 * g * g;
      store(first + i, m, part);
      store(second + i, v, part);
      const f32v w = load(weight + i, part) * keep - rate * m / (square_root(v) * root + epsilon);
      store(weight + i, w, part);
      if (rounded) store(rounded + i, w, part);
    };
    std::int64_t i = begin;
    for (; i + lanes <= end; i += lanes) update(i, Whole{});
    if (i < end) update(i, Part{int(end - i)});
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI

#endif
