#pragma once

#include <cstdint>

#include "moderngpt2/config/config.hpp"

namespace moderngpt2 {

/// Elements of all matrices that multiply a token's activations: the four of attention, the three of the gated MLP, and
/// the head (tied or not) if the model predicts tokens. The embedding is a look-up and does not count.
constexpr std::int64_t matmul_parameters(const Config& c, bool predicts_tokens = true) {
  const std::int64_t width = c.n_embd;
  const std::int64_t layer = width * 2 * (c.query_width() + c.kv_width()) + width * 3 * c.n_inner;
  return c.n_layer * layer + (predicts_tokens ? width * c.vocab_size : 0);
}

/// Floating-point operations per token for training on sequences of `time` tokens: 6 for each parameter of
/// a matrix product (2 forward, 4 backward), and 12 n_layer n_head head_dim keys for the two products of attention,
/// where a query sees (time + 1) / 2 keys on average. Recomputation is not counted (as for model FLOPs utilisation:
/// Chowdhery et al., PaLM, 2022, appendix B).
constexpr double training_flops_per_token(const Config& c, int time, bool predicts_tokens = true) {
  const double keys = (time + 1) / 2.0;
  return 6.0 * double(matmul_parameters(c, predicts_tokens)) + 12.0 * c.n_layer * double(c.query_width()) * keys;
}

}  // namespace moderngpt2
