#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#if !__has_include(<Eigen/Core>)
#error "moderngpt2: <Eigen/Core> not found: link moderngpt2::moderngpt2"
#endif
#include <Eigen/Core>

#include "moderngpt2/backend/cuda/matmul_shape.hpp"
#include "moderngpt2/backend/cuda/simt/runtime_api.hpp"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Matrix products of the simulated GPU, by Eigen; same interface as the class of cublaslt.hpp. Inputs and results are
/// rounded as on a GPU, sums are in fp32.
class Blas {
 public:
  void multiply(cudaStream_t stream, const MatmulShape& shape, const void* a, const void* b, void* c,
                const void* bias) {
    simt::device().enqueue(simt::detail::stream_of(stream), {.run = [=] {
                             if (shape.input == Dtype::f32)
                               run<float, float>(shape, a, b, c, bias);
                             else if (shape.input == Dtype::bf16)
                               run_short<bf16>(shape, a, b, c, bias);
                             else
                               run_short<f16>(shape, a, b, c, bias);
                           }});
  }
  /// No-op but for searches(): there is one algorithm.
  void search(bool yes) { searches_ = yes; }
  bool searches() const { return searches_; }
  static constexpr std::size_t workspace_size = 0;
  std::size_t workspace_bytes() const { return workspace_size; }

 private:
  static constexpr std::int64_t depth = 256;
  using Array = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

  template <class T>
  static void run_short(const MatmulShape& s, const void* a, const void* b, void* c, const void* bias) {
    s.output == Dtype::f32 ? run<T, float>(s, a, b, c, bias) : run<T, T>(s, a, b, c, bias);
  }

  template <class T, class C>
  static void run(const MatmulShape& s, const void* a, const void* b, void* c, const void* bias) {
    const Array left = operand<T>(s.ta, a, s.m, s.k, s.lda, s.tf32),
                right = operand<T>(s.tb, b, s.k, s.n, s.ldb, s.tf32);
    Array sums = Array::Zero(s.m, s.n);
    for (std::int64_t at = 0; at < s.k; at += depth) {  // sums of partial sums: one sum of a long row would lose digits
      const std::int64_t n = std::min(depth, s.k - at);
      sums += left.middleCols(at, n).lazyProduct(right.middleRows(at, n));  // lazy: on this thread and its small stack
    }
    for (std::int64_t i = 0; i < s.m; ++i) {
      C* const row = static_cast<C*>(c) + i * s.ldc;
      for (std::int64_t j = 0; j < s.n; ++j) {
        if (s.accumulate) sums(i, j) += float(row[j]);
        if (s.bias) sums(i, j) += float(static_cast<const C*>(bias)[j]);
        row[j] = C(sums(i, j));
      }
    }
  }

  /// op(M) (rows,cols) as floats.
  template <class T>
  static Array operand(Transposed transpose, const void* data, std::int64_t rows, std::int64_t cols, std::int64_t ld,
                       bool tf32) {
    const bool turned = transpose == Transposed::yes;
    Array m(rows, cols);
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < cols; ++j) {
        const float x = float(static_cast<const T*>(data)[turned ? j * ld + i : i * ld + j]);
        m(i, j) = tf32 ? rounded_to_tf32(x) : x;
      }
    return m;
  }

  /// Rounds to 10 bits of mantissa, to nearest, ties away from zero.
  static float rounded_to_tf32(float x) {
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0x1000u) & 0xffffe000u);
  }

  bool searches_ = false;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
