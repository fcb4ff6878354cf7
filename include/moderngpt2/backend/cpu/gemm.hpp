#pragma once

#include <cstddef>
#include <cstdint>

#ifdef MODERNGPT2_HAVE_ONEDNN
#include <vector>

#if !__has_include(<dnnl.h>)
#error "moderngpt2: <dnnl.h> not found: link moderngpt2::moderngpt2, or compile without MODERNGPT2_HAVE_ONEDNN"
#endif
#include <dnnl.h>
#if !defined(_OPENMP) && DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
#error "This oneDNN uses OpenMP, and so must this program: compile with -fopenmp, or without MODERNGPT2_HAVE_ONEDNN."
#endif
#else
#if !__has_include(<Eigen/Core>)
#error "moderngpt2: <Eigen/Core> not found: link moderngpt2::moderngpt2"
#endif
#include <Eigen/Core>
#endif

#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/owner.hpp"
#include "moderngpt2/core/parallel.hpp"

// Only this header includes Eigen or oneDNN.
namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

enum class Transpose : bool { no, yes };

/// C (+)= op(A) op(B), row-major with leading dimensions: op(A) is (m,k), op(B) is (k,n), C is (m,n). Uses the threads
/// of the enclosing ThreadScope; one thread inside a parallel region.
inline void gemm(Transpose ta, Transpose tb, std::int64_t m, std::int64_t n, std::int64_t k, const float* a,
                 std::int64_t lda, const float* b, std::int64_t ldb, float* c, std::int64_t ldc, bool accumulate) {
  const ThreadScope team(available_threads());
#ifdef MODERNGPT2_HAVE_ONEDNN
  // The arguments are valid, and sizes of 0 are supported, so that only an allocation can fail.
  if (dnnl_sgemm(ta == Transpose::yes ? 'T' : 'N', tb == Transpose::yes ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb,
                 accumulate ? 1.0f : 0.0f, c, ldc) != dnnl_success)
    throw Error("oneDNN cannot compute a product of {} x {} x {}: out of memory?", m, n, k);
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

/// Whether this processor and build have bf16 matrix products in hardware (AVX512-BF16 or AMX, through oneDNN).
inline bool has_bf16_products() {
#ifdef MODERNGPT2_HAVE_ONEDNN
  static const bool has = [] {
    const auto needed = unsigned(dnnl_cpu_isa_avx512_core_bf16);
    return (unsigned(dnnl_get_effective_cpu_isa()) & needed) == needed;
  }();
  return has;
#else
  return false;
#endif
}

/// Shape and types of a prepared product: op(A) and op(B) of type `input`, C of type `output`, sums in fp32. `bias`:
/// adds a row of n floats to each row of C.
struct ProductShape {
  Transpose ta, tb;
  std::int64_t m, n, k, lda, ldb, ldc;
  Dtype input, output;
  bool accumulate, bias;
  int threads;  ///< thread count of the ThreadScope in which the primitive is created and runs

  bool operator==(const ProductShape&) const = default;
};

#ifdef MODERNGPT2_HAVE_ONEDNN

namespace detail {

inline void require(dnnl_status_t status, const char* what) {
  if (status != dnnl_success) throw Error("oneDNN: {} failed with status {}", what, int(status));
}

#if DNNL_VERSION_MAJOR >= 3
using Description = Owner<dnnl_memory_desc_t, dnnl_memory_desc_destroy>;
inline const_dnnl_memory_desc_t pointer(const Description& d) { return d.get(); }
using DescriptionPointer = const_dnnl_memory_desc_t;
#else
using Description = dnnl_memory_desc_t;
inline const dnnl_memory_desc_t* pointer(const Description& d) { return &d; }
using DescriptionPointer = const dnnl_memory_desc_t*;
#endif

/// Descriptor of a matrix (rows,cols) with element (i,j) at offset i * row_stride + j * column_stride, in elements.
inline Description describe(std::int64_t rows, std::int64_t cols, Dtype dtype, std::int64_t row_stride,
                            std::int64_t column_stride) {
  const dnnl_dims_t dims = {rows, cols}, strides = {row_stride, column_stride};
  const dnnl_data_type_t type = dtype == Dtype::bf16 ? dnnl_bf16 : dnnl_f32;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t made = nullptr;
  require(dnnl_memory_desc_create_with_strides(&made, 2, dims, type, strides), "a memory descriptor");
  return Description(made);
#else
  Description made;
  require(dnnl_memory_desc_init_by_strides(&made, 2, dims, type, strides), "a memory descriptor");
  return made;
#endif
}

inline Description describe(Transpose transpose, std::int64_t rows, std::int64_t cols, Dtype dtype, std::int64_t ld) {
  return transpose == Transpose::yes ? describe(rows, cols, dtype, 1, ld) : describe(rows, cols, dtype, ld, 1);
}

inline dnnl_engine_t processor() {
  static const Owner<dnnl_engine_t, dnnl_engine_destroy> engine = [] {
    dnnl_engine_t made = nullptr;
    require(dnnl_engine_create(&made, dnnl_cpu, 0), "an engine");
    return Owner<dnnl_engine_t, dnnl_engine_destroy>(made);
  }();
  return engine.get();
}

/// oneDNN matmul primitive for one shape, with a scratchpad of the caller.
class PreparedProduct {
 public:
  explicit PreparedProduct(const ProductShape& s) : shape_(s) {
    const Description a = describe(s.ta, s.m, s.k, s.input, s.lda), b = describe(s.tb, s.k, s.n, s.input, s.ldb),
                      c = describe(s.m, s.n, s.output, s.ldc, 1), bias = describe(1, s.n, Dtype::f32, s.n, 1);
    dnnl_primitive_attr_t made_attributes = nullptr;
    require(dnnl_primitive_attr_create(&made_attributes), "attributes");
    const Owner<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy> attributes(made_attributes);
    require(dnnl_primitive_attr_set_scratchpad_mode(attributes.get(), dnnl_scratchpad_mode_user), "a scratchpad");
    dnnl_post_ops_t made_operations = nullptr;
    require(dnnl_post_ops_create(&made_operations), "post-operations");
    const Owner<dnnl_post_ops_t, dnnl_post_ops_destroy> operations(made_operations);
    dnnl_primitive_desc_t made = nullptr;
#if DNNL_VERSION_MAJOR >= 3
    if (s.accumulate) require(dnnl_post_ops_append_sum(operations.get(), 1.0f, 0, dnnl_data_type_undef), "a sum");
    require(dnnl_primitive_attr_set_post_ops(attributes.get(), operations.get()), "post-operations");
    const dnnl_status_t status = dnnl_matmul_primitive_desc_create(
        &made, processor(), pointer(a), pointer(b), s.bias ? pointer(bias) : nullptr, pointer(c), attributes.get());
#else
    if (s.accumulate) require(dnnl_post_ops_append_sum(operations.get(), 1.0f), "a sum");
    require(dnnl_primitive_attr_set_post_ops(attributes.get(), operations.get()), "post-operations");
    dnnl_matmul_desc_t operation;
    require(dnnl_matmul_desc_init(&operation, pointer(a), pointer(b), s.bias ? pointer(bias) : nullptr, pointer(c)),
            "a product");
    const dnnl_status_t status = dnnl_primitive_desc_create(&made, &operation, attributes.get(), processor(), nullptr);
#endif
    if (status == dnnl_unimplemented) return;
    require(status, "a product");
    const Owner<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy> description(made);
    const DescriptionPointer scratchpad = dnnl_primitive_desc_query_md(made, dnnl_query_scratchpad_md, 0);
    scratchpad_bytes_ = dnnl_memory_desc_get_size(scratchpad);
    dnnl_primitive_t primitive = nullptr;
    require(dnnl_primitive_create(&primitive, made), "a product");
    primitive_.reset(primitive);
    dnnl_stream_t stream = nullptr;
    require(dnnl_stream_create(&stream, processor(), dnnl_stream_default_flags), "a stream");
    stream_.reset(stream);
    add(DNNL_ARG_SRC, pointer(a));
    add(DNNL_ARG_WEIGHTS, pointer(b));
    add(DNNL_ARG_DST, pointer(c));
    add(DNNL_ARG_SCRATCHPAD, scratchpad);
    if (s.bias) add(DNNL_ARG_BIAS, pointer(bias));
  }

  const ProductShape& shape() const { return shape_; }
  /// Whether oneDNN supports this product on this processor.
  bool supported() const { return primitive_ != nullptr; }
  std::size_t scratchpad_bytes() const { return scratchpad_bytes_; }

  void run(const void* a, const void* b, void* c, const float* bias, void* scratchpad) {
    const void* const places[] = {a, b, c, scratchpad, bias};
    for (std::size_t i = 0; i < arguments_.size(); ++i)
      require(dnnl_memory_set_data_handle(memories_[i].get(), const_cast<void*>(places[i])), "a product");
    require(dnnl_primitive_execute(primitive_.get(), stream_.get(), int(arguments_.size()), arguments_.data()),
            "a product");
    require(dnnl_stream_wait(stream_.get()), "a product");
  }

 private:
  void add(int argument, DescriptionPointer description) {
    dnnl_memory_t memory = nullptr;
    require(dnnl_memory_create(&memory, description, processor(), DNNL_MEMORY_NONE), "memory");
    memories_.emplace_back(memory);
    arguments_.push_back({argument, memory});
  }

  ProductShape shape_;
  Owner<dnnl_primitive_t, dnnl_primitive_destroy> primitive_;
  Owner<dnnl_stream_t, dnnl_stream_destroy> stream_;
  std::vector<Owner<dnnl_memory_t, dnnl_memory_destroy>> memories_;
  std::vector<dnnl_exec_arg_t> arguments_;
  std::size_t scratchpad_bytes_ = 0;
};

}  // namespace detail

/// Cache of prepared products, by shape. The products of a training step are made in its first run. Threads: one at a
/// time.
class PreparedProducts {
 public:
  detail::PreparedProduct& find(const ProductShape& shape) {
    for (detail::PreparedProduct& product : products_)
      if (product.shape() == shape) return product;
    if (products_.size() == most) products_.clear();  // prompts of many lengths have many shapes
    return products_.emplace_back(shape);
  }

 private:
  static constexpr std::size_t most = 256;
  std::vector<detail::PreparedProduct> products_;
};

#endif

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
