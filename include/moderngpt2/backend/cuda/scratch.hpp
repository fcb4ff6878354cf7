#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/cuda/attention.hpp"
#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/classifier.hpp"
#include "moderngpt2/backend/cuda/column_sum.hpp"
#include "moderngpt2/backend/cuda/cudnn.hpp"
#include "moderngpt2/backend/cuda/kernels/segments.cuh"
#include "moderngpt2/backend/cuda/kernels/user_activation.cuh"
#include "moderngpt2/backend/cuda/losses.hpp"
#include "moderngpt2/backend/cuda/matmul.hpp"
#include "moderngpt2/backend/cuda/norm.hpp"
#include "moderngpt2/backend/cuda/optimizer.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/dtype.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

/// Scratch bytes of cuDNN's attention, 0 unless it is enabled and supports calls of the model: those of full layers.
inline std::int64_t cudnn_scratch(const Config& c, const PassSize& size, Dtype dtype) {
  const LayerWindows windows = c.windows();
  const bool all_slide = windows.width > 0 && windows.types.sliding(c.n_layer) == c.n_layer;
  const AttentionCall call{.batch = size.batch,
                           .time = size.time,
                           .key_rows = size.time,
                           .n_head = c.n_head,
                           .n_kv_head = c.n_kv_head,
                           .head_dim = c.head_dim,
                           .softcap = c.attn_logit_softcapping.value_or(0.0),
                           .window = all_slide ? windows.width : 0,
                           .dropout = {.rate = c.attn_pdrop}};
  return size.cudnn_attention && cudnn_takes(call, dtype) ? cudnn_workspace_bytes(call) : 0;
}

/// Scratch bytes for training and evaluation on passes of up to this size: the maximum over all operations. Each
/// operation that takes scratch has its term here; tests/backend/cuda/scratch_test.cpp compares the sum with what
/// models use.
template <class T>
std::int64_t operation_scratch(const Config& c, const PassSize& size, std::int64_t logits_bytes) {
  const HeadSize& head = size.head;
  const OperationSizes& own = size.operations;
  const int rows = size.rows(), widest = std::max({c.n_embd, c.n_head * c.head_dim, own.width});
  std::int64_t floats = attention_backward_scratch(rows, std::max(c.n_head, own.n_head));
  if (head.predicts_tokens) floats = std::max(floats, classifier_scratch(logits_bytes, rows, c.vocab_size));
  if (head.rows > 0) {
    if (sizeof(T) < sizeof(float)) floats = std::max(floats, head_scratch(head.rows, c.n_embd, head.scores));
    const int losses = std::max(head.rows, ElementLoss<float>::parts(std::int64_t(head.rows) * head.scores));
    floats = std::max({floats, std::int64_t(losses), column_sum_scratch(head.rows, head.scores)});
  }
  floats = std::max(floats, column_sum_scratch(rows, widest));
  floats = std::max(floats, norm_scratch(rows * std::max(own.norm_rows, 1), 2, std::max(c.n_embd, own.width)));
  std::int64_t bytes = floats * std::int64_t(sizeof(float));
  bytes = std::max(bytes, SegmentSort::scratch_ints(rows) * std::int64_t(sizeof(int)));
  bytes = std::max(bytes, std::int64_t(widest) * std::int64_t(sizeof(T)));  // a bias rounded to T
  bytes = std::max(bytes, cudnn_scratch(c, size, *dtype_of<T>));
  return std::max(bytes, std::int64_t(max_square_parts + 1) * std::int64_t(sizeof(double)));
}

/// Bytes of the inputs of a pass: ids, mask, document bounds and labels for each token; position and labels for each
/// sequence.
inline std::int64_t input_bytes(const PassSize& size) {
  const auto ints = [](std::int64_t n) { return std::int64_t(Inputs::slot_bytes(std::size_t(n) * sizeof(int))); };
  return std::int64_t(Inputs::slot_bytes(std::size_t(size.rows()))) + 3 * ints(size.rows()) + ints(size.batch) +
         ints(std::int64_t(size.batch) * std::max(size.head.scores, 1));
}

/// Throws Error if an activation of the config has no kernels in this program.
template <class T>
void require_activation_kernels(const Config& c) {
  user_launchers<T>(c.activation);
  if (c.summary_activation) user_launchers<T>(*c.summary_activation);
}

}  // namespace detail

/// Memory of passes of this size beside tensors, with the default of Backend::limit_logits. Throws Error if the config
/// names a registered activation without kernels.
template <class T>
PassMemory pass_memory(std::type_identity<Backend>, const Config& c, const PassSize& size, int /*threads*/) {
  detail::require_activation_kernels<T>(c);
  const std::uint64_t inputs = std::uint64_t(detail::input_bytes(size));
  return {.scratch = std::uint64_t(detail::operation_scratch<T>(c, size, Backend::default_logits_bytes)) +
                     Blas::workspace_size,
          .uploaded = inputs,
          .pinned = std::uint64_t(size.queued) * inputs};
}

/// Allocates scratch and input buffers for passes of up to this size and the gradient norm of a step, which then
/// allocate and free no GPU or pinned memory. Exception: search_products(true) allocates while it times algorithms.
template <class T>
void reserve(Backend& b, const Config& c, PassSize size) {
  detail::require_activation_kernels<T>(c);
  size.cudnn_attention = b.cudnn_attention() != nullptr;
  b.scratch<std::byte>(detail::operation_scratch<T>(c, size, b.logits_bytes()));
  b.inputs().reserve(std::size_t(detail::input_bytes(size)), size.queued);
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
