#pragma once

#ifdef MODERNGPT2_HAVE_CUDNN

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#if !__has_include(<cudnn_frontend.h>)
#error "moderngpt2: <cudnn_frontend.h> not found: configure with MODERNGPT2_CUDNN=ON, then link moderngpt2::cuda"
#endif
#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include "moderngpt2/backend/cuda/cudnn.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/owner.hpp"

// Attention by cuDNN, built with the headers of cudnn-frontend; no other header includes either. One source file of
// moderngpt2::cuda compiles this header, since make_cudnn_attention() is not inline.
namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

static_assert(CUDNN_VERSION >= 91900, "MODERNGPT2_CUDNN needs cuDNN 9.19 or later");
static_assert(CUDNN_FRONTEND_VERSION >= 13200, "MODERNGPT2_CUDNN needs cudnn-frontend 1.32 or later");

namespace detail {

namespace frontend = cudnn_frontend;

/// Joins the lines of a message of cuDNN.
inline std::string in_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

inline void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error("{} failed: {}: turn cudnn_attention off, or check that all libraries of cuDNN are installed", call,
                cudnnGetErrorString(status));
}

inline void check(frontend::error_t status, const char* what) {
  if (status.is_bad())
    throw Error("cuDNN {}: {}: turn cudnn_attention off, or install a later cuDNN", what,
                in_one_line(status.get_message()));
}

/// Properties of a GPU that need not be present. Plans for it can be built but not run.
struct CudnnDevice {
  std::shared_ptr<const frontend::DeviceProperties> properties;
  int compute_capability = 0;  ///< 10 * major + minor: 90 for 9.0
};

/// Graph of an attention and cuDNN's plan for it: the first that its heuristic proposes, which is the same in every
/// run.
class CudnnPlan {
 public:
  CudnnPlan(const CudnnShape& shape, cudnnHandle_t handle) : shape_(shape) {
    add_operation();
    check(graph_.build(handle, {frontend::HeurMode_t::A}), "has no plan for this attention");
  }
  CudnnPlan(const CudnnShape& shape, const CudnnDevice& device) : shape_(shape) {
    graph_.set_device_properties(device.properties).set_sm_version(device.compute_capability);
    add_operation();
    check(graph_.build({frontend::HeurMode_t::A}), "has no plan for this attention");
  }
  CudnnPlan(const CudnnPlan&) = delete;
  CudnnPlan& operator=(const CudnnPlan&) = delete;

  const CudnnShape& shape() const { return shape_; }
  std::int64_t workspace_bytes() const {
    std::int64_t bytes = 0;
    check(graph_.get_workspace_size(bytes), "cannot determine the workspace size");
    return bytes;
  }
  /// Queues the attention on the handle's stream. workspace: workspace_bytes() bytes of GPU memory.
  void run(cudnnHandle_t handle, const CudnnForward& t, void* workspace) const {
    run(handle, {{q, t.q}, {k, t.k}, {v, t.v}, {o, t.o}, {lse, t.lse}}, workspace);
  }
  void run(cudnnHandle_t handle, const CudnnBackward& t, void* workspace) const {
    run(handle,
        {{q, t.q}, {k, t.k}, {v, t.v}, {o, t.o}, {lse, t.lse}, {d_o, t.d_o}, {dq, t.dq}, {dk, t.dk}, {dv, t.dv}},
        workspace);
  }

 private:
  using Tensor = std::shared_ptr<frontend::graph::Tensor_attributes>;
  enum Name : std::int64_t { q = 1, k, v, o, lse, d_o, dq, dk, dv };

  void run(cudnnHandle_t handle, std::initializer_list<std::pair<Name, const void*>> tensors, void* workspace) const {
    std::unordered_map<std::int64_t, void*> places;  // non-const even for inputs, as cuDNN expects
    for (const auto& [name, data] : tensors) places.emplace(name, const_cast<void*>(data));
    check(graph_.execute(handle, places, workspace), "cannot run this attention");
  }
  void add_operation() {
    graph_.set_io_data_type(shape_.dtype == Dtype::bf16 ? frontend::DataType_t::BFLOAT16 : frontend::DataType_t::HALF)
        .set_intermediate_data_type(frontend::DataType_t::FLOAT)
        .set_compute_data_type(frontend::DataType_t::FLOAT);
    shape_.backward ? add_backward() : add_forward();
  }
  // Causal mask; a scale of 1, since queries are scaled already.
  template <class Attributes>
  static Attributes causal(const char* name) {
    return Attributes().set_name(name).set_attn_scale(1.0f).set_causal_mask(true);
  }
  void add_forward() {
    auto [out, sums] = graph_.sdpa(input(q, shape_.n_head, shape_.q), input(k, shape_.n_kv_head, shape_.k),
                                   input(v, shape_.n_kv_head, shape_.v),
                                   causal<frontend::graph::SDPA_attributes>("attention").set_generate_stats(true));
    describe(*out, o, shape_.n_head, shape_.o).set_output(true);
    describe_lse(*sums).set_output(true);
  }
  void add_backward() {
    frontend::graph::Tensor_attributes sums;
    auto [d_query, d_key, d_value] = graph_.sdpa_backward(
        input(q, shape_.n_head, shape_.q), input(k, shape_.n_kv_head, shape_.k), input(v, shape_.n_kv_head, shape_.v),
        input(o, shape_.n_head, shape_.o), input(d_o, shape_.n_head, shape_.d_o), graph_.tensor(describe_lse(sums)),
        causal<frontend::graph::SDPA_backward_attributes>("attention_backward")
            .set_deterministic_algorithm(shape_.deterministic));
    describe(*d_query, dq, shape_.n_head, shape_.dq).set_output(true);
    describe(*d_key, dk, shape_.n_kv_head, shape_.dk).set_output(true);
    describe(*d_value, dv, shape_.n_kv_head, shape_.dv).set_output(true);
  }

  Tensor input(Name name, int heads, int stride) {
    frontend::graph::Tensor_attributes tensor;
    return graph_.tensor(describe(tensor, name, heads, stride));
  }
  /// Describes a tensor (B,heads,T,D) stored as rows (BT,heads D).
  frontend::graph::Tensor_attributes& describe(frontend::graph::Tensor_attributes& tensor, Name name, int heads,
                                               std::int64_t stride) const {
    return tensor.set_uid(name)
        .set_dim({shape_.batch, heads, shape_.time, shape_.head_dim})
        .set_stride({shape_.time * stride, shape_.head_dim, stride, 1});
  }
  frontend::graph::Tensor_attributes& describe_lse(frontend::graph::Tensor_attributes& tensor) const {
    return tensor.set_uid(lse)
        .set_data_type(frontend::DataType_t::FLOAT)
        .set_dim({shape_.batch, shape_.n_head, shape_.time, 1})
        .set_stride({std::int64_t(shape_.n_head) * shape_.time, shape_.time, 1, 1});
  }

  CudnnShape shape_;
  frontend::graph::Graph graph_;
};

inline void destroy(cudnnContext* handle) { cudnnDestroy(handle); }

/// cuDNN's attention with one plan per shape, built on first use.
class CudnnPlans final : public CudnnAttention {
 public:
  CudnnPlans() {
    const std::size_t version = cudnnGetVersion();
    if (version / 10000 != CUDNN_MAJOR || version < CUDNN_VERSION)
      throw Error(
          "this program was compiled for cuDNN {}.{}.{} but {}.{}.{} is installed: install that version or a later "
          "{}.x, "
          "or turn cudnn_attention off",
          CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL, version / 10000, version / 100 % 100, version % 100, CUDNN_MAJOR);
    cudnnHandle_t handle = nullptr;
    check(cudnnCreate(&handle), "cudnnCreate");
    handle_.reset(handle);
  }

  std::unique_ptr<CudnnAttention> clone() const override { return std::make_unique<CudnnPlans>(); }
  std::int64_t workspace_bytes(const CudnnShape& shape) override { return plan(shape).workspace_bytes(); }
  void run(cudaStream_t stream, const CudnnShape& shape, const CudnnForward& tensors, void* workspace) override {
    on(stream, shape).run(handle_.get(), tensors, workspace);
  }
  void run(cudaStream_t stream, const CudnnShape& shape, const CudnnBackward& tensors, void* workspace) override {
    on(stream, shape).run(handle_.get(), tensors, workspace);
  }

 private:
  const CudnnPlan& on(cudaStream_t stream, const CudnnShape& shape) {
    check(cudnnSetStream(handle_.get(), stream), "cudnnSetStream");
    return plan(shape);
  }
  const CudnnPlan& plan(const CudnnShape& shape) {
    for (const auto& made : plans_)
      if (made->shape() == shape) return *made;
    return *plans_.emplace_back(std::make_unique<CudnnPlan>(shape, handle_.get()));
  }

  Owner<cudnnHandle_t, destroy> handle_;
  std::vector<std::unique_ptr<CudnnPlan>> plans_;
};

}  // namespace detail

std::unique_ptr<CudnnAttention> with_cudnn::make_cudnn_attention() { return std::make_unique<detail::CudnnPlans>(); }

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI

#endif
