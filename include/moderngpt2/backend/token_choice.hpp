#pragma once

#include <span>

namespace moderngpt2 {

/// Description of how to choose the next token of a row from its logits, for a backend that chooses in device memory.
/// The data form of what Sampler::choose() does (generation/sampler.hpp), which also states how long the spans are
/// valid.
struct TokenChoice {
  bool do_sample = true;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
  int top_k = 0;
  double uniform = 0;              ///< random number in [0, 1) that selects the token
  std::span<const int> seen{};     ///< tokens that get the repetition penalty, each once
  std::span<const int> removed{};  ///< tokens that must not be chosen
};

/// Results in place of a token: a logit is NaN or +infinity; all tokens are removed.
inline constexpr int not_finite_token = -1, no_token = -2;

}  // namespace moderngpt2
