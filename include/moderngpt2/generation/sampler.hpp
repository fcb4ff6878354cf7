#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/sampling_filters.hpp"
#include "moderngpt2/generation/text_rules.hpp"

namespace moderngpt2 {

/// Chooses the next token of one sequence from its logits, by greedy decoding or sampling. choose() allocates nothing.
/// Threads: one at a time.
template <class T>
class Sampler {
 public:
  Sampler(const GenerationOptions& options, int vocab_size)
      : options_((validate(options), options)),
        rules_(options_, vocab_size),
        filters_(options_, options.do_sample ? std::size_t(vocab_size) : 0),
        is_describable_(host_memory_options(options).empty()) {}
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  /// Returns the token after `text`: the prompt and a completion of `step` tokens. A pure function of the logits (V),
  /// the options, the text and the step; overwrites the logits. Throws an Error if a logit is NaN or +infinity, or if
  /// the options exclude every token.
  int choose(std::span<T> logits, std::span<const int> text, std::size_t step) {
    if (!options_.remove_invalid_values) require_finite(std::span<const T>(logits));
    rules_.apply(logits, text, step);
    const int token = options_.do_sample ? sample(logits, step) : argmax<T>(logits);
    if (logits[std::size_t(token)] == removed_logit<T>) throw_no_token_left(options_);
    return token;
  }

  /// Whether describe() can express the choice, so that a backend can make it in device memory.
  bool is_describable() const { return is_describable_; }
  /// Describes the choice that choose() makes as data, for a backend that chooses in device memory. Valid until the
  /// next call. Pass the backend's result to checked_token().
  TokenChoice describe(std::span<const int> text, std::size_t step) {
    TokenChoice choice{.do_sample = options_.do_sample,
                       .temperature = options_.temperature,
                       .top_p = options_.top_p,
                       .min_p = options_.min_p,
                       .top_k = options_.top_k,
                       .uniform = options_.do_sample ? uniform(step) : 0};
    rules_.describe(choice, text, step);
    return choice;
  }
  /// Returns `token`, as chosen by a backend. Throws the Error of choose() for not_finite_token and no_token.
  int checked_token(int token) const {
    if (token == not_finite_token) throw_not_finite();
    if (token == no_token) throw_no_token_left(options_);
    return token;
  }

 private:
  int sample(std::span<T> logits, std::uint64_t step) {
    // Without a finite logit, filters have nothing to keep: choose() reports it.
    if (*std::max_element(logits.begin(), logits.end()) == removed_logit<T>) return 0;
    filters_.apply(logits);
    return sample_softmax<T>(logits, uniform(step));
  }
  double uniform(std::uint64_t step) const {
    return uniform_at(random_key(options_.seed, RandomUse::sampling, step, options_.sequence), 0);
  }

  GenerationOptions options_;
  TextRules<T> rules_;
  SamplingFilters<T> filters_;
  bool is_describable_;
};

#ifdef MODERNGPT2_SEPARATE_COMPILATION
extern template class Sampler<float>;
#endif

}  // namespace moderngpt2
