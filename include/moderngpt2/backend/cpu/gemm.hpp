#pragma once

#include <cstdint>

#ifdef MODERNGPT2_HAVE_ONEDNN
#include <dnnl.h>
#else
#include <Eigen/Core>
#endif

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/parallel.hpp"

// The only header that sees Eigen or oneDNN.
namespace moderngpt2::cpu {

enum class Transpose : bool { no, yes };

/// C (+)= op(A) op(B), row-major with leading dimensions: op(A) is (m,k), op(B) is (k,n), C is (m,n). Uses the threads
/// of the enclosing ThreadScope; one thread inside a parallel region.
inline void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, bool accumulate) {
#ifdef MODERNGPT2_HAVE_ONEDNN
  // The library answers a size of 0 by itself; what is left can only be refused memory.
  if (dnnl_sgemm(ta == Transpose::yes ? 'T' : 'N', tb == Transpose::yes ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb,
                 accumulate ? 1.0f : 0.0f, c, ldc) != dnnl_success)
    throw Error("oneDNN refused a product of {} x {} x {}: out of memory?", m, n, k);
#else
  using Array = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Stride = Eigen::OuterStride<>;
  const bool at = ta == Transpose::yes, bt = tb == Transpose::yes;
  Eigen::Map<const Array, 0, Stride> ma(a, at ? k : m, at ? m : k, Stride(lda)),
      mb(b, bt ? n : k, bt ? k : n, Stride(ldb));
  Eigen::Map<Array, 0, Stride> mc(c, m, n, Stride(ldc));
  if (!accumulate) mc.setZero();
  if (at && bt)
    mc.noalias() += ma.transpose() * mb.transpose();
  else if (at)
    mc.noalias() += ma.transpose() * mb;
  else if (bt)
    mc.noalias() += ma * mb.transpose();
  else
    mc.noalias() += ma * mb;
#endif
}

}  // namespace moderngpt2::cpu
