#pragma once

#include <cstdint>

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

}  // namespace moderngpt2::cuda
