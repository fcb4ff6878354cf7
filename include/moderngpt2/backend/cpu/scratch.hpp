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

/// Floats of scratch for a training step of `batch` x `time` tokens: the maximum over all operations.
template <class T>
constexpr std::int64_t operation_scratch(const Config& c, int batch, int time, int threads) {
  std::int64_t floats = attention_scratch<T>(c.head_dim) * threads;
  floats = std::max(floats, attention_backward_scratch<T>(time, c.n_head / c.n_kv_head, c.head_dim) * threads);
  floats = std::max(floats, classifier_scratch(batch * time, c.vocab_size));
  floats = std::max(floats, std::int64_t(norm_partitions) * 2 * c.n_embd);
  return std::max(floats, square_blocks * 2);
}

}  // namespace detail

/// Bytes of scratch for a training step on activations of type T. oneDNN's bf16 products report their scratchpad only
/// when they are made; the scratch of the path through fp32 is an upper estimate.
template <class T>
constexpr std::size_t scratch_bytes(const Config& c, int batch, int time, int threads) {
  return std::size_t(detail::operation_scratch<T>(c, batch, time, threads) + product_scratch<T>(threads)) *
         sizeof(float);
}

/// Bytes that oneDNN allocates for code when a product is first made, a few MiB in pieces. It does not check for
/// failure, so reserve() checks that they are available.
inline constexpr std::size_t library_bytes = std::size_t{8} << 20;

/// Bytes of scratch for passes of a size.
template <class T>
PassMemory pass_memory(std::type_identity<Backend>, const Config& c, const PassSize& size, int threads) {
  return {.scratch = scratch_bytes<T>(c, size.batch, size.time, threads)};
}

/// Allocates the scratch for passes of a size, so that no step allocates. Throws an Error if memory is not available.
template <class T>
void reserve(Backend& b, const Config& c, const PassSize& size) {
  b.scratch<float>(detail::operation_scratch<T>(c, size.batch, size.time, b.threads()));
  b.product_scratch<float>(product_scratch<T>(b.threads()));
  AlignedBuffer{library_bytes};
}

}  // namespace moderngpt2::cpu::inline MODERNGPT2_CPU_ABI
