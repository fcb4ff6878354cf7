#pragma once

#include <algorithm>

#include "moderngpt2/backend/cpu/attention.hpp"
#include "moderngpt2/backend/cpu/losses.hpp"
#include "moderngpt2/backend/cpu/norm.hpp"
#include "moderngpt2/backend/cpu/optimizer.hpp"
#include "moderngpt2/config/config.hpp"

namespace moderngpt2::cpu {

/// Bytes of scratch for a training step of `batch` x `time` tokens: the largest need of any operation.
constexpr std::size_t scratch_bytes(const Config& c, int batch, int time, int threads) {
  const int rows = batch * time;
  std::int64_t floats = attention_scratch(c.head_dim) * threads;
  floats = std::max(floats, attention_backward_scratch(time, c.n_head / c.n_kv_head, c.head_dim) * threads);
  floats = std::max(floats, classifier_scratch(rows, c.vocab_size));
  floats = std::max(floats, std::int64_t(detail::norm_partitions) * 2 * c.n_embd);
  floats = std::max(floats, detail::square_blocks * 2);
  return std::size_t(floats) * sizeof(float);
}

}  // namespace moderngpt2::cpu
