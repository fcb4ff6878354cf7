#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

enum class Transposed : bool { no, yes };

/// Shape and types of a matrix product C (+)= op(A) op(B) (+ bias). Matrices are row-major with leading dimensions lda,
/// ldb and ldc in elements: op(A) is (m,k), op(B) is (k,n), C is (m,n). Sums are in fp32 and rounded once, to C's type.
struct MatmulShape {
  Transposed ta, tb;
  std::int64_t m, n, k, lda, ldb, ldc;
  Dtype input;      ///< type of A and B: bf16, f16 or f32
  Dtype output;     ///< type of C and the bias: `input` or f32
  bool accumulate;  ///< C += instead of C =
  bool bias;        ///< adds a row (n) to each row of C
  bool tf32;        ///< f32 inputs may be rounded to TF32 (10 bits of mantissa)

  bool operator==(const MatmulShape&) const = default;
};

/// Description for error messages: "(8,16) x (4,16)^T in BF16 to F32, rows of 16, 16 and 4 elements, added, with a
/// bias".
inline std::string matmul_text(const MatmulShape& s) {
  const auto matrix = [](Transposed transpose, std::int64_t rows, std::int64_t cols) {
    return transpose == Transposed::yes ? fmt::format("({},{})^T", cols, rows) : fmt::format("({},{})", rows, cols);
  };
  return fmt::format("{} x {} in {} to {}, rows of {}, {} and {} elements{}{}", matrix(s.ta, s.m, s.k),
                     matrix(s.tb, s.k, s.n), s.tf32 && s.input == Dtype::f32 ? "TF32" : dtype_name(s.input),
                     dtype_name(s.output), s.lda, s.ldb, s.ldc, s.accumulate ? ", added" : "",
                     s.bias ? ", with a bias" : "");
}

namespace detail {

/// Index of the fastest of `count` candidates. time(i) runs candidate i and returns its time, or nothing if it cannot
/// run. Candidates run in alternation, so that a changing clock affects all alike: one warm-up round, then three, of
/// which the best time counts. Returns 0 if none can run.
template <class Time>
std::size_t fastest_of(std::size_t count, Time&& time) {
  constexpr int rounds = 4;
  constexpr float never = std::numeric_limits<float>::infinity();
  std::vector<float> best(count, never);
  std::vector<char> runs(count, 1);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < count; ++i) {
      if (!runs[i]) continue;
      const std::optional<float> taken = time(i);
      runs[i] = taken.has_value();
      if (!taken)
        best[i] = never;
      else if (round > 0 && *taken < best[i])
        best[i] = *taken;
    }
  std::size_t fastest = 0;
  for (std::size_t i = 1; i < count; ++i)
    if (best[i] < best[fastest]) fastest = i;
  return fastest;
}

}  // namespace detail

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
