#pragma once

#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2::cuda {

enum class Transpose : bool { no, yes };

/// C (+)= op(A) op(B) (+ bias), row-major with rows lda, ldb and ldc elements apart: op(A) is (m,k), op(B) is (k,n), C
/// is (m,n). Sums are made in fp32 and rounded once, to C's elements.
struct ProductShape {
  Transpose ta, tb;
  std::int64_t m, n, k, lda, ldb, ldc;
  Dtype input;      ///< of A and B: bf16, f16 or f32
  Dtype output;     ///< of C and the bias: as the input, or f32
  bool accumulate;  ///< added to what C is
  bool bias;        ///< a row (n) is added to each row of C
  bool tf32;        ///< inputs of f32 may be rounded to ten bits of mantissa

  bool operator==(const ProductShape&) const = default;
};

/// For messages: "(8,16) x (4,16)^T in BF16 to F32, rows of 16, 16 and 4 elements, added, with a bias".
inline std::string product_text(const ProductShape& s) {
  const auto matrix = [](Transpose transpose, std::int64_t rows, std::int64_t cols) {
    return transpose == Transpose::yes ? fmt::format("({},{})^T", cols, rows) : fmt::format("({},{})", rows, cols);
  };
  return fmt::format("{} x {} in {} to {}, rows of {}, {} and {} elements{}{}", matrix(s.ta, s.m, s.k),
                     matrix(s.tb, s.k, s.n), s.tf32 && s.input == Dtype::f32 ? "TF32" : dtype_name(s.input),
                     dtype_name(s.output), s.lda, s.ldb, s.ldc, s.accumulate ? ", added" : "",
                     s.bias ? ", with a bias" : "");
}

}  // namespace moderngpt2::cuda
