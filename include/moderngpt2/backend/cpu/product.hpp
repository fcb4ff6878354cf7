#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/backend/cpu/gemm.hpp"
#include "moderngpt2/backend/cpu/simd.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/view.hpp"

// Matrix products of any element types. fp32 is one library call, as is bf16 on processors with bf16 instructions. On
// others, tiles of bf16 operands are expanded to fp32 and multiplied, and the results rounded.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

/// Note that programs print for bf16 where has_bf16_products() is false.
inline constexpr const char* slow_bf16_note =
    "this processor or this build has no bf16 matrix products (AVX512-BF16 or AMX, through oneDNN): they are computed "
    "in fp32, more slowly than with precision fp32";

namespace detail {

/// Rows and columns of a tile of C, and depth of its tiles of A and B. At these sizes each expanded element is used
/// hundreds of times, and the three tiles fit approximately in an L2 cache.
inline constexpr int product_rows = 256, product_columns = 512, product_depth = 512;

/// Floats of the tiles of one thread.
inline constexpr std::int64_t product_tiles = std::int64_t(product_rows) * product_depth +
                                              std::int64_t(product_depth) * product_columns +
                                              std::int64_t(product_rows) * product_columns;

/// Matrix (rows,cols) as floats: a float matrix in place, others expanded into `space`.
template <class T>
Rows<const float> as_floats(const T* data, int rows, int cols, std::int64_t ld, float* space) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    return {data, rows, cols, int(ld)};
  } else {
    for (int r = 0; r < rows; ++r) convert(space + std::int64_t(r) * cols, data + r * ld, cols);
    return {space, rows, cols};
  }
}

/// Tile of op(M) that begins at (row, col), in the storage order of M.
template <class T>
Rows<const float> operand_tile(Transpose transpose, const T* data, std::int64_t ld, std::int64_t row, std::int64_t col,
                               int rows, int cols, float* space) {
  if (transpose == Transpose::yes) std::swap(row, col), std::swap(rows, cols);
  return as_floats(data + row * ld + col, rows, cols, ld, space);
}

/// Each task is one tile of C, summed over k in order by one thread: the same bits for any thread count.
template <class A, class B, class C>
void product_through_fp32(Backend& backend, Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k,
                          const A* a, std::int64_t lda, const B* b, std::int64_t ldb, C* c, std::int64_t ldc,
                          bool accumulate, const float* bias) {
  const std::int64_t tiles_down = (m + product_rows - 1) / product_rows;
  const std::int64_t tiles_across = (n + product_columns - 1) / product_columns;
  float* scratch = backend.product_scratch<float>(product_tiles * backend.threads());
  parallel_tasks(backend.threads(), tiles_down * tiles_across, [&](std::int64_t task, int thread) {
    const ThreadScope alone(1);  // per task: OMP_NUM_THREADS=4,2 gives nested regions their own count
    float *a_space = scratch + product_tiles * thread, *b_space = a_space + product_rows * product_depth;
    float* c_space = b_space + product_depth * product_columns;
    const std::int64_t row = task % tiles_down * product_rows, col = task / tiles_down * product_columns;
    const int rows = int(std::min<std::int64_t>(product_rows, m - row));
    const int cols = int(std::min<std::int64_t>(product_columns, n - col));
    constexpr bool in_place = std::is_same_v<C, float>;
    C* const out = c + row * ldc + col;
    Rows<float> sums(c_space, rows, cols);
    if constexpr (in_place) sums = {out, rows, cols, int(ldc)};
    if (bias)
      for (int r = 0; r < rows; ++r) std::copy_n(bias + col, cols, sums.row(r));
    else if (accumulate && !in_place)
      for (int r = 0; r < rows; ++r) convert(sums.row(r), out + r * ldc, cols);
    for (std::int64_t at = 0; at < k; at += product_depth) {
      const int depth = int(std::min<std::int64_t>(product_depth, k - at));
      const auto left = operand_tile(ta, a, lda, row, at, rows, depth, a_space);
      const auto right = operand_tile(tb, b, ldb, at, col, depth, cols, b_space);
      gemm(ta, tb, rows, cols, depth, left.data, left.stride, right.data, right.stride, sums.data, sums.stride,
           at > 0 || accumulate || bias);
    }
    if constexpr (!in_place)
      for (int r = 0; r < rows; ++r) convert(out + r * ldc, sums.row(r), cols);
  });
}

}  // namespace detail

/// Floats of scratch that products of elements of type T use.
template <class T>
constexpr std::int64_t product_scratch(int threads) {
  return std::is_same_v<T, float> ? 0 : detail::product_tiles * threads;
}

/// C (m,n) (+)= op(A) (m,k) op(B) (k,n) (+ bias (n)), summed in fp32, with the threads of the backend. `accumulate` and
/// `bias` exclude each other.
template <class A, class B, class C>
void product(Backend& backend, Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, A* a,
             std::int64_t lda, B* b, std::int64_t ldb, C* c, std::int64_t ldc, bool accumulate,
             const float* bias = nullptr) {
  using TA = std::remove_const_t<A>;
  using TB = std::remove_const_t<B>;
  if constexpr (std::is_same_v<TA, float> && std::is_same_v<TB, float> && std::is_same_v<C, float>) {
    const ThreadScope threads(backend.threads());
    if (bias)
      for (std::int64_t r = 0; r < m; ++r) std::copy_n(bias, n, c + r * ldc);
    gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate || bias);
  } else {
#ifdef MODERNGPT2_HAVE_ONEDNN
    if (std::is_same_v<TA, bf16> && std::is_same_v<TB, bf16> && m > 0 && n > 0 && k > 0 && has_bf16_products()) {
      const ThreadScope threads(backend.threads());
      auto& prepared = backend.products().find(
          {ta, tb, m, n, k, lda, ldb, ldc, Dtype::bf16, *dtype_of<C>, accumulate, bias != nullptr, threads.threads()});
      if (prepared.supported()) {
        const auto bytes = std::int64_t(prepared.scratchpad_bytes());
        return prepared.run(a, b, c, bias, backend.template product_scratch<std::byte>(bytes));
      }
    }
#endif
    detail::product_through_fp32(backend, ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate, bias);
  }
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
