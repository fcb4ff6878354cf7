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

#define CUDNN_FRONTEND_SKIP_JSON_LIB
#include <cudnn_frontend.h>

#include "moderngpt2/backend/cuda/cudnn.hpp"
#include "moderngpt2/backend/cuda/stream.hpp"
#include "moderngpt2/core/owner.hpp"

// The only header that sees cuDNN, by cudnn-frontend, whose headers build the graph of an attention. It is compiled
// once, into moderngpt2::cuda: make_cudnn_attention() is not inline.
namespace moderngpt2::cuda {

static_assert(CUDNN_VERSION >= 91900, "MODERNGPT2_CUDNN needs cuDNN 9.19 or later");
static_assert(CUDNN_FRONTEND_VERSION >= 13200, "MODERNGPT2_CUDNN needs cudnn-frontend 1.32 or later");

namespace detail {

namespace frontend = cudnn_frontend;

/// cuDNN explains in several lines.
inline std::string in_one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

inline void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error("{} failed: {}: leave --cudnn_attention out, or check that all of cuDNN's libraries are there", call,
                cudnnGetErrorString(status));
}

inline void check(frontend::error_t status, const char* what) {
  if (status.is_bad())
    throw Error("cuDNN {}: {}: leave --cudnn_attention out, or take a later cuDNN", what,
                in_one_line(status.get_message()));
}

/// A GPU that need not be here: plans for it can be made, and not run.
struct CudnnDevice {
  std::shared_ptr<const frontend::DeviceProperties> properties;
  int compute_capability = 0;  ///< 90 for 9.0
};

/// The graph of an attention, and cuDNN's plan for it: the first that it proposes, so that every run takes the same.
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
    check(graph_.get_workspace_size(bytes), "does not know its workspace");
    return bytes;
  }
  /// On the handle's stream.
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
    std::unordered_map<std::int64_t, void*> places;  // as cuDNN takes what it reads, too
    for (const auto& [name, data] : tensors) places.emplace(name, const_cast<void*>(data));
    check(graph_.execute(handle, places, workspace), "could not run an attention");
  }
  void add_operation() {
    graph_.set_io_data_type(shape_.dtype == Dtype::bf16 ? frontend::DataType_t::BFLOAT16 : frontend::DataType_t::HALF)
        .set_intermediate_data_type(frontend::DataType_t::FLOAT)
        .set_compute_data_type(frontend::DataType_t::FLOAT);
    shape_.backward ? add_backward() : add_forward();
  }
  // Queries are scaled already. Scores are masked from the diagonal to the right.
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
  /// (B,heads,T,D) in rows (BT,heads D).
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

/// A plan a shape.
class CudnnPlans final : public CudnnAttention {
 public:
  CudnnPlans() {
    const std::size_t version = cudnnGetVersion();
    if (version / 10000 != CUDNN_MAJOR || version < CUDNN_VERSION)
      throw Error(
          "this program was compiled for cuDNN {}.{}.{} and finds {}.{}.{}: install that or a later {}, or leave "
          "--cudnn_attention out",
          CUDNN_MAJOR, CUDNN_MINOR, CUDNN_PATCHLEVEL, version / 10000, version / 100 % 100, version % 100, CUDNN_MAJOR);
    cudnnHandle_t handle = nullptr;
    check(cudnnCreate(&handle), "cudnnCreate");
    handle_.reset(handle);
  }

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

std::unique_ptr<CudnnAttention> make_cudnn_attention() { return std::make_unique<detail::CudnnPlans>(); }

}  // namespace moderngpt2::cuda

#endif
