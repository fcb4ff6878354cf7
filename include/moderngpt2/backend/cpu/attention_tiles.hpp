#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/view.hpp"

// Shared parts of attention's forward and backward passes: tile sizes, visible keys of a query, products of tiles.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Queries and keys of a tile. A tile with its probabilities and gradients fits an L2 cache of 512 KiB, and is large
/// enough that the overhead of a library call is small.
inline constexpr int query_tile = 64, key_tile = 256;

/// Keys [low, high) of a tile that query t of sequence b sees, counted from the tile's first key.
struct VisibleKeys {
  int low, high;
  VisibleKeys(const AttentionCall& call, int b, int t, int first, int count)
      : low(std::clamp(call.begin(b, t) - first, 0, count)), high(std::clamp(call.past + t + 1 - first, 0, count)) {
    low = std::min(low, high);
  }
};

/// Softcap of a row: s = c tanh(s / c). Stores the tanh in `tanh` unless that is null.
inline void cap_scores(float* s, float* tanh, int n, float cap) {
  vector_loop(n, [&](int i, auto part) {
    const f32v t = hyperbolic_tangent(load(s + i, part) * (1.0f / cap));
    if (tanh) store(tanh + i, t, part);
    store(s + i, t * cap, part);
  });
}

/// First key that a query of the tile [t0, t0 + rows) sees.
inline int first_visible_key(const AttentionCall& call, int b, int t0, int rows) {
  int first = call.keys();
  for (int t = t0; t < t0 + rows; ++t) first = std::min(first, call.begin(b, t));
  return first;
}

/// Log-sum-exp that marks a query that sees only padding: exp(s - infinity) is 0 in the tiles, and the uniform
/// attention (AttentionCall::in_uniform_fallback) is added separately.
inline constexpr float only_padding = std::numeric_limits<float>::infinity();

/// Calls f(key, probability, dropout factor) for each key that a query that sees only padding attends to.
template <class F>
void for_uniform_fallback(const AttentionCall& call, int b, int h, int t, F&& f) {
  const float share = 1.0f / float(call.uniform_fallback_keys(b, t));
  for (int u = 0; u < call.keys(); ++u) {
    if (!call.in_uniform_fallback(b, t, u)) continue;
    float factor = 1;
    if (call.dropout.active())
      dropout_factors(call.dropout, b, std::uint32_t(h), std::uint32_t(call.past + t), u, 1, &factor);
    f(u, share, factor);
  }
}

/// Floats of memory for a copy of a tile of `count` elements in a 16-bit type T; 0 for fp32.
template <class T>
constexpr std::int64_t rounded_tile(std::int64_t count) {
  return std::is_same_v<T, float> ? 0 : count * std::int64_t(sizeof(T)) / std::int64_t(sizeof(float));
}

/// Copies rows of a 16-bit type to contiguous memory `space`, where the library multiplies them faster; returns fp32
/// rows as they are.
template <class T>
Rows<const T> packed(Rows<const T> rows, [[maybe_unused]] T* space) {
  if constexpr (std::is_same_v<T, float>) {
    return rows;
  } else {
    for (int r = 0; r < rows.count; ++r) std::copy_n(rows.row(r), rows.width, space + std::int64_t(r) * rows.width);
    return {space, rows.count, rows.width};
  }
}

/// Matrix products of tiles on one thread, inside or outside a parallel region: operands of type T, results in fp32.
template <class T>
class TileProducts {
 public:
  /// Floats of `space`: two operands in fp32, for processors without products of T.
  static constexpr std::int64_t space(int head_dim) {
    return std::is_same_v<T, float> ? 0
                                    : std::int64_t(query_tile) * std::max(key_tile, head_dim) +
                                          std::int64_t(std::max(query_tile, key_tile)) * head_dim;
  }
  TileProducts(Backend& backend, int thread, float* space) : backend_(backend), thread_(thread), space_(space) {}

  /// C (+)= op(A) op(B), op(A) is (m,k) and op(B) (k,n).
  void operator()(Transpose ta, Transpose tb, int m, int n, int k, Rows<const T> a, Rows<const T> b, Rows<float> c,
                  bool accumulate) const {
    if constexpr (std::is_same_v<T, float>) {
      gemm(ta, tb, m, n, k, a.data, a.stride, b.data, b.stride, c.data, c.stride, accumulate);
    } else {
#ifdef MODERNGPT2_HAVE_ONEDNN
      if (has_bf16_products()) {
        auto& product = backend_.tile_products(thread_).find(
            {ta, tb, m, n, k, a.stride, b.stride, c.stride, *dtype_of<T>, Dtype::f32, accumulate, false, 1});
        if (product.supported())
          return product.run(a.data, b.data, c.data, nullptr,
                             backend_.tile_scratchpad(thread_, product.scratchpad_bytes()));
      }
#endif
      const auto left = as_floats(a.data, a.count, a.width, a.stride, space_);
      const auto right = as_floats(b.data, b.count, b.width, b.stride, space_ + left.size());
      gemm(ta, tb, m, n, k, left.data, left.stride, right.data, right.stride, c.data, c.stride, accumulate);
    }
  }

 private:
  const ThreadScope alone_{1};
  Backend& backend_;
  int thread_;
  float* space_;
};

}  // namespace detail

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
