#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Number of dropout factors generated at a time, on the stack.
inline constexpr int dropout_block = 256;

/// Multiplies columns [begin, end) of row r by their dropout factors.
template <class T>
void drop_row(T* x, int begin, int end, int r, int time, const Dropout& d) {
  float factors[dropout_block];
  for (int at = begin; at < end; at += dropout_block) {
    const int n = std::min(dropout_block, end - at);
    dropout_factors(d, r / time, 0, std::uint32_t(r % time), at, n, factors);
    vector_loop(n,
                [&](int i, auto part) { store(x + at + i, load(x + at + i, part) * load(factors + i, part), part); });
  }
}

}  // namespace detail

template <class T>
void dropout(Backend& b, Rows<T> x, int time, const Dropout& d) {
  if (!d.active()) return;
  parallel_ranges(b.threads(), x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) detail::drop_row(x.row(r), 0, x.width, r, time, d);
  });
}

template <class T>
void embedding(Backend& b, Rows<T> x, const int* ids, ConstMatrix<T> wte, float scale, int time, const Dropout& d) {
  parallel_ranges(b.threads(), x.count, 8, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r) {
      const T* from = wte.data + std::int64_t(ids[r]) * wte.cols;
      vector_loop(x.width, [&](int i, auto part) { store(x.row(r) + i, load(from + i, part) * scale, part); });
      if (d.active()) detail::drop_row(x.row(r), 0, x.width, r, time, d);
    }
  });
}

/// Each thread adds all rows, in order, for a part of the channels: results do not depend on the thread count.
template <class T>
void embedding_backward(Backend& b, Matrix<float> dwte, const int* ids, Rows<T> dx, float scale, int time,
                        const Dropout& d) {
  parallel_ranges(b.threads(), dx.width, 64, [&](std::int64_t begin, std::int64_t end) {
    float factors[detail::dropout_block];
    for (int at = int(begin); at < end; at += detail::dropout_block) {
      const int n = int(std::min<std::int64_t>(detail::dropout_block, end - at));
      for (int r = 0; r < dx.count; ++r) {
        const T* from = dx.row(r) + at;
        float* to = dwte.data + std::int64_t(ids[r]) * dwte.cols + at;
        if (d.active()) {
          dropout_factors(d, r / time, 0, std::uint32_t(r % time), at, n, factors);
          vector_loop(n, [&](int i, auto part) {
            store(to + i, load(to + i, part) + load(from + i, part) * load(factors + i, part) * scale, part);
          });
        } else {
          vector_loop(
              n, [&](int i, auto part) { store(to + i, load(to + i, part) + load(from + i, part) * scale, part); });
        }
      }
    }
  });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
