#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/kernels/sampling.cuh"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

/// Chooses tokens[i] from row rows[i] of the logits (N,V) by choices[i]; a negative value is a code of
/// token_choice.hpp. Equals the choice of Sampler<float> unless the random number is within 1e-9 of the boundary
/// between two tokens (for vocabularies of up to 50,000). Overwrites the logits. Waits for the GPU; only the tokens are
/// copied from it.
inline void choose_tokens(Backend& b, std::span<int> tokens, Rows<float> logits, std::span<const int> rows,
                          std::span<const TokenChoice> choices) {
  const std::int64_t n = std::int64_t(tokens.size());
  if (n == 0) return;
  std::int64_t listed = 0;
  for (const TokenChoice& c : choices) listed += std::int64_t(c.seen.size() + c.removed.size());
  const int* const lists = b.inputs().add<int>(b.stream(), listed, [&](int* to) {
    for (const TokenChoice& c : choices) {
      to = std::ranges::copy(c.seen, to).out;
      to = std::ranges::copy(c.removed, to).out;
    }
  });
  const TokenRule* const rules = b.inputs().add<TokenRule>(b.stream(), n, [&](TokenRule* to) {
    int at = 0;
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const TokenChoice& c = choices[i];
      const int seen = at, removed = seen + int(c.seen.size());
      at = removed + int(c.removed.size());
      to[i] = {.temperature = c.temperature,
               .top_p = c.top_p,
               .min_p = c.min_p,
               .repetition_penalty = c.repetition_penalty,
               .uniform = c.uniform,
               .row = rows[i],
               .top_k = c.top_k,
               .seen = seen,
               .removed = removed,
               .end = at,
               .do_sample = c.do_sample};
    }
  });
  int* const there = b.scratch<int>(n);
  ChooseTokens<float>{.logits = logits, .rules = rules, .lists = lists, .tokens = there, .n = int(n)}.launch(
      b.stream());
  copy(b.stream(), tokens.data(), static_cast<const int*>(there), n);
  b.synchronize();
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
