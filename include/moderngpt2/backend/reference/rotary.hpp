#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

template <class T>
void rotary(Backend&, Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, int past, real_t<T> scale) {
  for (int r = 0; r < heads.count; ++r) {
    const std::int64_t at = std::int64_t(past + r % time) * table.half;
    for (int h = 0; h < heads.width; h += 2 * table.half)
      for (int i = 0; i < table.half; ++i) {
        T &a = heads.row(r)[h + i], &b = heads.row(r)[h + i + table.half];
        const real_t<T> c = table.cosine[at + i] * scale, s = table.sine[at + i] * scale;
        const T turned_a = a * c - b * s, turned_b = b * c + a * s;
        a = turned_a, b = turned_b;
      }
  }
}

template <class T>
void rotary_backward(Backend&, Rows<T> heads, const RotaryTable<real_t<T>>& table, int time, int past,
                     real_t<T> scale) {
  for (int r = 0; r < heads.count; ++r) {
    const std::int64_t at = std::int64_t(past + r % time) * table.half;
    for (int h = 0; h < heads.width; h += 2 * table.half)
      for (int i = 0; i < table.half; ++i) {
        T &a = heads.row(r)[h + i], &b = heads.row(r)[h + i + table.half];
        const real_t<T> c = table.cosine[at + i] * scale, s = table.sine[at + i] * scale;
        const T turned_a = a * c + b * s, turned_b = b * c - a * s;
        a = turned_a, b = turned_b;
      }
  }
}

}  // namespace moderngpt2::reference
