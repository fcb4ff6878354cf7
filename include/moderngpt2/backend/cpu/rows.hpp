#pragma once

#include <algorithm>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu {

inline void gather_rows(Backend&, Rows<float> out, Rows<const float> x, const int* index) {
  for (int r = 0; r < out.count; ++r) std::copy_n(x.row(index[r]), out.width, out.row(r));
}

inline void scatter_rows_add(Backend&, Rows<float> dx, Rows<const float> dout, const int* index) {
  for (int r = 0; r < dout.count; ++r)
    for (int i = 0; i < dout.width; ++i) dx.row(index[r])[i] += dout.row(r)[i];
}

inline void fill(Backend& b, float* x, std::int64_t n, float value) {
  parallel_ranges(b.threads(), n, 1 << 16,
                  [&](std::int64_t begin, std::int64_t end) { std::fill(x + begin, x + end, value); });
}

}  // namespace moderngpt2::cpu
