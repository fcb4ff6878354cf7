#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "moderngpt2/backend/cpu/attention.hpp"
#include "moderngpt2/backend/cpu/attention_backward.hpp"
#include "moderngpt2/backend/cpu/losses.hpp"
#include "moderngpt2/backend/cpu/norm.hpp"
#include "moderngpt2/backend/cpu/optimizer.hpp"
#include "moderngpt2/backend/cpu/product.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/abi.hpp"

namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI {

namespace detail {

/// Floats of scratch for a training step on passes of a size: the maximum over all operations.
template <class T>
constexpr std::int64_t operation_scratch(const Config& c, const PassSize& size, int threads) {
  const int head_dim = std::max(c.head_dim, size.operations.head_dim);
  const int group = std::max(c.n_head / c.n_kv_head, size.operations.group);
  std::int64_t floats = attention_scratch<T>(head_dim) * threads;
  floats = std::max(floats, attention_backward_scratch<T>(size.time, group, head_dim) * threads);
  floats = std::max(floats, classifier_scratch(size.rows(), c.vocab_size));
  floats = std::max(floats, std::int64_t(norm_partitions) * 2 * std::max(c.n_embd, size.operations.width));
  return std::max(floats, square_blocks * 2);
}

}  // namespace detail

/// Bytes of scratch for a training step on passes of a size and activations of type T. oneDNN's bf16 products report
/// their scratchpad only when they are made; the scratch of the path through fp32 is an upper estimate.
template <class T>
constexpr std::size_t scratch_bytes(const Config& c, const PassSize& size, int threads) {
  return std::size_t(detail::operation_scratch<T>(c, size, threads) + product_scratch<T>(threads)) * sizeof(float);
}

/// Bytes that oneDNN allocates for code when a product is first made, a few MiB in pieces. It does not check for
/// failure, so reserve() checks that they are available.
inline constexpr std::size_t library_bytes = std::size_t{8} << 20;

/// Bytes of scratch for passes of a size.
template <class T>
PassMemory pass_memory(std::type_identity<Backend>, const Config& c, const PassSize& size, int threads) {
  return {.scratch = scratch_bytes<T>(c, size, threads)};
}

/// Allocates the scratch for passes of a size, so that no step allocates. Throws an Error if memory is not available.
template <class T>
void reserve(Backend& b, const Config& c, const PassSize& size) {
  b.scratch<float>(detail::operation_scratch<T>(c, size, b.threads()));
  b.product_scratch<float>(product_scratch<T>(b.threads()));
  AlignedBuffer{library_bytes};
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
