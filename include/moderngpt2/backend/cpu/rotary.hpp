#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Rotates each pair (x[i], x[i + D/2]) of each head by its angle times `direction`, 1 or -1 (inverse). position(row):
/// position of a row.
template <class T, class Position>
void rotate(Backend& b, Rows<T> heads, const RotaryTable<float>& table, const Position& position, float scale,
            float direction) {
  parallel_ranges(b.threads(), heads.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const std::int64_t at = std::int64_t(position(r)) * table.half;
      for (int h = 0; h < heads.width; h += 2 * table.half) {
        T *low = heads.row(r) + h, *high = low + table.half;
        vector_loop(table.half, [&](int i, auto part) {
          const f32v c = load(table.cosine + at + i, part) * scale;
          const f32v s = load(table.sine + at + i, part) * (scale * direction);
          const f32v x = load(low + i, part), y = load(high + i, part);
          store(low + i, x * c - y * s, part);
          store(high + i, y * c + x * s, part);
        });
      }
    }
  });
}

}  // namespace detail

template <class T>
void rotary(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::rotate(
      b, heads, table, [=](int row) { return past + row % time; }, scale, 1);
}

template <class T>
void rotary(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, const int* pasts, float scale) {
  detail::rotate(
      b, heads, table, [=](int row) { return pasts[row / time] + row % time; }, scale, 1);
}

template <class T>
void rotary_backward(Backend& b, Rows<T> heads, const RotaryTable<float>& table, int time, int past, float scale) {
  detail::rotate(
      b, heads, table, [=](int row) { return past + row % time; }, scale, -1);
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
