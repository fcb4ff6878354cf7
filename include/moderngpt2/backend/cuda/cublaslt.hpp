#pragma once

#ifndef MODERNGPT2_CUDA_SIMULATED

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<cublasLt.h>)
#error "moderngpt2: <cublasLt.h> not found: link moderngpt2::cuda (find_package(moderngpt2 COMPONENTS cuda))"
#endif
#include <cublasLt.h>
#include <fmt/format.h>

#include "moderngpt2/backend/cuda/check.hpp"
#include "moderngpt2/backend/cuda/matmul_shape.hpp"
#include "moderngpt2/backend/cuda/memory.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/owner.hpp"

// Matrix products by cuBLASLt; no other header includes it. cuBLASLt's matrices are column-major, so it computes the
// transpose C^T = op(B)^T op(A)^T of a row-major product.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Returns advice about a failed cuBLASLt call, for the end of an error message.
inline const char* advice(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "cuBLAS could not start: check the driver with nvidia-smi, and that the GPU has free memory";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return advice(cudaErrorMemoryAllocation);
    case CUBLAS_STATUS_ARCH_MISMATCH:
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "this version of cuBLAS does not support the product on this GPU: use a later CUDA, or another "
             "precision";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "the GPU failed in this call or in earlier work: compute-sanitizer names the kernel; please report it "
             "with "
             "the command";
    default:
      return "please report it with the command that led to it";
  }
}

/// Throws an Error if a call of cuBLASLt failed, with the caller's location, the status and what to do.
inline void check(cublasStatus_t status, std::string_view call,
                  std::source_location where = std::source_location::current()) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error("{}: {} failed: {} ({}): {}", place_of(where), call, cublasLtGetStatusString(status),
              cublasLtGetStatusName(status), advice(status));
}

namespace detail {

inline cudaDataType_t data_type(Dtype dtype) {
  return dtype == Dtype::bf16 ? CUDA_R_16BF : dtype == Dtype::f16 ? CUDA_R_16F : CUDA_R_32F;
}

/// Alignment of an address in bytes: a power of two, at most 256.
inline std::uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256;
  return std::uint32_t(bits & -bits);
}

/// Addresses of the operands of a product, in GPU memory. The bias may be null.
struct ProductData {
  const void *a, *b;
  void* c;
  const void* bias;
};

/// Product of one shape and alignment: its cuBLASLt descriptors and the algorithms that the heuristic proposes, best
/// first. The heuristic derives the alignment of rows from the leading dimensions.
class CublasProduct {
 public:
  using Alignments = std::array<std::uint32_t, 4>;  // A, B, C and the bias, in bytes
  static Alignments alignments_of(const ProductData& at) {
    return {alignment_of(at.a), alignment_of(at.b), alignment_of(at.c), alignment_of(at.bias)};
  }

  /// `first`: operands of the first call, for their alignment. `proposals`: maximum number of algorithms. Throws an
  /// Error if cuBLASLt supports none.
  CublasProduct(cublasLtHandle_t handle, const MatmulShape& s, const ProductData& first, std::size_t workspace,
                int proposals)
      : shape_(s), alignments_(alignments_of(first)) {
    const bool tf32 = s.tf32 && s.input == Dtype::f32;
    cublasLtMatmulDesc_t operation = nullptr;
    check(cublasLtMatmulDescCreate(&operation, tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    operation_.reset(operation);
    set(CUBLASLT_MATMUL_DESC_TRANSA, s.tb == Transposed::yes ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, s.ta == Transposed::yes ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (s.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, std::int32_t(data_type(s.output)));
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, first.bias);  // the heuristic considers its alignment
    }
    a_ = layout(s.input, s.ta, s.m, s.k, s.lda);
    b_ = layout(s.input, s.tb, s.k, s.n, s.ldb);
    c_ = layout(s.output, Transposed::no, s.m, s.n, s.ldc);

    cublasLtMatmulPreference_t made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
    const Owner<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy> preference(made);
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
      check(cublasLtMatmulPreferenceSetAttribute(made, what, &value, sizeof value),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(workspace));
    // Partial sums of a split-K product stay in fp32. By default they may be rounded to C's type in between.
    prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, std::uint32_t(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignments_[1]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignments_[0]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignments_[2]);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignments_[2]);
    int found = 0;
    std::vector<cublasLtMatmulHeuristicResult_t> results(std::size_t(proposals), cublasLtMatmulHeuristicResult_t{});
    check_product(cublasLtMatmulAlgoGetHeuristic(handle, operation, b_.get(), a_.get(), c_.get(), c_.get(), made,
                                                 proposals, results.data(), &found),
                  "cublasLtMatmulAlgoGetHeuristic");
    for (int i = 0; i < found; ++i)
      if (results[std::size_t(i)].state == CUBLAS_STATUS_SUCCESS) algorithms_.push_back(results[std::size_t(i)].algo);
    if (algorithms_.empty())
      check_product(found > 0 ? results[0].state : CUBLAS_STATUS_NOT_SUPPORTED, "cublasLtMatmulAlgoGetHeuristic");
  }

  bool serves(const MatmulShape& shape, const Alignments& alignments) const {
    return shape_ == shape && alignments_ == alignments;
  }
  void run(cublasLtHandle_t handle, cudaStream_t stream, const ProductData& at, const DeviceMemory& workspace) {
    if (shape_.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, at.bias);
    if (algorithms_.size() > 1) search(handle, stream, at, workspace);
    check_product(multiply(handle, stream, at, at.c, algorithms_[0], workspace), "cublasLtMatmul");
  }

 private:
  using Layout = Owner<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

  /// Like check(), with the product and its alignments in the message.
  void check_product(cublasStatus_t status, std::string_view call) const {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    const auto& at = alignments_;
    check(status, fmt::format("{} of {}, at multiples of {}, {} and {} bytes,", call, matmul_text(shape_), at[0], at[1],
                              at[2]));
  }

  cublasStatus_t multiply(cublasLtHandle_t handle, cudaStream_t stream, const ProductData& at, void* d,
                          const cublasLtMatmulAlgo_t& algorithm, const DeviceMemory& workspace) const {
    const float alpha = 1, beta = shape_.accumulate ? 1 : 0;
    return cublasLtMatmul(handle, operation_.get(), &alpha, at.b, b_.get(), at.a, a_.get(), &beta, at.c, c_.get(), d,
                          c_.get(), &algorithm, workspace.data(), workspace.size(), stream);
  }

  /// Times the algorithms on these operands and keeps the fastest. A product with C += writes to temporary memory
  /// meanwhile. No-op while the stream is being captured, when timing is impossible.
  void search(cublasLtHandle_t handle, cudaStream_t stream, const ProductData& at, const DeviceMemory& workspace) {
    cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
    check(cudaStreamIsCapturing(stream, &capturing), "cudaStreamIsCapturing");
    if (capturing != cudaStreamCaptureStatusNone) return;
    const std::int64_t elements = shape_.accumulate ? (shape_.m - 1) * shape_.ldc + shape_.n : 0;
    const DeviceMemory sums(std::size_t(elements * dtype_size(shape_.output)));
    void* const d = shape_.accumulate ? sums.data() : at.c;
    Event begin(true), end(true);
    const std::size_t best = fastest_of(algorithms_.size(), [&](std::size_t i) -> std::optional<float> {
      begin.record(stream);
      if (multiply(handle, stream, at, d, algorithms_[i], workspace) != CUBLAS_STATUS_SUCCESS) return {};
      end.record(stream);
      end.synchronize();
      return end.since(begin);
    });
    algorithms_ = {algorithms_[best]};
  }

  template <class V>
  void set(cublasLtMatmulDescAttributes_t what, const V& value) {
    check(cublasLtMatmulDescSetAttribute(operation_.get(), what, &value, sizeof value),
          "cublasLtMatmulDescSetAttribute");
  }
  /// Layout of a row-major matrix M whose op(M) is (rows,cols), as the column-major transpose.
  static Layout layout(Dtype dtype, Transposed transpose, std::int64_t rows, std::int64_t cols, std::int64_t ld) {
    if (transpose == Transposed::yes) std::swap(rows, cols);
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, data_type(dtype), std::uint64_t(cols), std::uint64_t(rows), ld),
          "cublasLtMatrixLayoutCreate");
    return Layout(made);
  }

  MatmulShape shape_;
  Alignments alignments_;
  Owner<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy> operation_;
  Layout a_, b_, c_;
  std::vector<cublasLtMatmulAlgo_t> algorithms_;
};

}  // namespace detail

/// Matrix products by cuBLASLt, with a workspace of 32 MiB. simt/blas.hpp has a class of the same interface for the
/// simulated GPU. The algorithm for a shape is chosen once: the first proposal of the heuristic, which is the same in
/// every run, or after search(true) the fastest of up to 12, which may differ between runs. Threads: one at a time.
class Blas {
 public:
  static constexpr std::size_t workspace_size = std::size_t(32) << 20;

  Blas() : workspace_(workspace_size) {
    cublasLtHandle_t handle = nullptr;
    check(cublasLtCreate(&handle), "cublasLtCreate");
    handle_.reset(handle);
  }

  /// Queues the product on operands in GPU memory; `bias` is null unless shape.bias.
  void multiply(cudaStream_t stream, const MatmulShape& shape, const void* a, const void* b, void* c,
                const void* bias) {
    const detail::ProductData at{a, b, c, bias};
    find(shape, at).run(handle_.get(), stream, at, workspace_);
  }
  std::size_t workspace_bytes() const { return workspace_.size(); }
  /// Enables or disables timing of algorithms. Discards earlier choices.
  void search(bool yes) {
    proposals_ = yes ? 12 : 1;
    products_.clear();
  }
  bool searches() const { return proposals_ > 1; }

 private:
  static constexpr std::size_t max_products = 256;

  detail::CublasProduct& find(const MatmulShape& shape, const detail::ProductData& at) {
    const auto alignments = detail::CublasProduct::alignments_of(at);
    for (detail::CublasProduct& product : products_)
      if (product.serves(shape, alignments)) return product;
    if (products_.size() == max_products) products_.clear();  // bounds memory: each prompt length is a shape
    return products_.emplace_back(handle_.get(), shape, at, workspace_.size(), proposals_);
  }

  Owner<cublasLtHandle_t, cublasLtDestroy> handle_;
  DeviceMemory workspace_;
  std::vector<detail::CublasProduct> products_;
  int proposals_ = 1;
};

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

#endif
