#pragma once

#include <span>

namespace moderngpt2 {

/// How the next token of a row follows from its logits, for a backend that chooses where the logits are: what
/// generation/sampler.hpp does, as data. The spans live as long as whoever made them says.
struct TokenChoice {
  bool do_sample = true;
  double temperature = 1, top_p = 1, min_p = 0, repetition_penalty = 1;
  int top_k = 0;
  double uniform = 0;              ///< in [0, 1): where in the distribution function the token is
  std::span<const int> seen{};     ///< tokens that the repetition penalty is for, each once
  std::span<const int> removed{};  ///< tokens of the vocabulary that must not come
};

/// In place of a token: the logits are not numbers, or all were removed.
inline constexpr int not_finite_token = -1, no_token = -2;

}  // namespace moderngpt2
