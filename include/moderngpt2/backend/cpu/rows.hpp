#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

template <class T>
void gather_rows(Backend&, Rows<T> out, ConstRows<T> x, const int* index) {
  for (int r = 0; r < out.count; ++r) std::copy_n(x.row(index[r]), out.width, out.row(r));
}

template <class T>
void scatter_rows_add(Backend&, Rows<T> dx, ConstRows<T> dout, const int* index) {
  for (int r = 0; r < dout.count; ++r)
    vector_loop(dout.width, [&](int i, auto part) {
      T* to = dx.row(index[r]) + i;
      store(to, load(to, part) + load(dout.row(r) + i, part), part);
    });
}

/// Copies `from` (n) to `to` (n), rounded if To is the shorter type.
template <class To, class From>
void cast(Backend& b, To* to, const From* from, std::int64_t n) {
  constexpr std::int64_t block = 1 << 14;
  parallel_ranges(b.threads(), (n + block - 1) / block, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t at = begin * block; at < std::min(end * block, n); at += block)
      convert(to + at, from + at, int(std::min(block, n - at)));
  });
}

template <class T>
void fill(Backend& b, T* x, std::int64_t n, std::type_identity_t<T> value) {
  parallel_ranges(b.threads(), n, 1 << 16,
                  [&](std::int64_t begin, std::int64_t end) { std::fill(x + begin, x + end, value); });
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
