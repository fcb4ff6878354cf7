#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "moderngpt2/generation/batch.hpp"
#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/completion.hpp"
#include "moderngpt2/generation/generator.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Generates a completion of `prompt` by greedy decoding or sampling; an empty prompt starts from the eos token.
/// `callback(token)` is called for each new token but eos, and returns whether to continue. For beams, see
/// `beam_search`. `context`: as for Generator. Throws an Error for a prompt longer than n_positions or options out of
/// range. Several threads may call it with one model at once.
template <class M, class Callback>
GenerationResult generate(const M& model, std::span<const int> prompt, const GenerationOptions& options,
                          Callback&& callback, std::optional<typename M::Backend>&& context = {}) {
  validate(options);
  const std::int64_t length = std::max<std::int64_t>(std::int64_t(prompt.size()), 1);
  Generator<M> generator(model, length + options.max_new_tokens,
                         int(std::min<std::int64_t>(length, options.prefill_chunk)), std::move(context));
  return generator.generate(prompt, options, std::forward<Callback>(callback));
}

template <class M>
GenerationResult generate(const M& model, std::span<const int> prompt, const GenerationOptions& options) {
  return generate(model, prompt, options, [](int) { return true; });
}

}  // namespace moderngpt2
