#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Chooses the next token of one sequence from its logits. All memory is reserved at the start.
template <class T>
class Sampler {
 public:
  Sampler(const GenerationOptions& options, int vocab_size)
      : options_(options),
        is_seen_(std::size_t(vocab_size)),
        values_(std::size_t(vocab_size)),
        order_(std::size_t(vocab_size)) {
    validate(options_);
    seen_.reserve(std::size_t(vocab_size));
  }

  /// Notes a token of the prompt or the completion, for the repetition penalty.
  void see(int token) {
    if (token < 0 || std::size_t(token) >= is_seen_.size() || is_seen_[std::size_t(token)]) return;
    is_seen_[std::size_t(token)] = 1;
    seen_.push_back(token);
  }

  /// The token of completion step `step`, and notes it. A pure function of the logits (V), which it changes, the
  /// options, the tokens seen and the step. Logits that are not numbers are an Error.
  int choose(std::span<T> logits, std::uint64_t step) {
    if (logits.size() != is_seen_.size())
      throw Error("internal: {} logits for a vocabulary of {}", logits.size(), is_seen_.size());
    for (const T logit : logits)
      if (std::isnan(logit) || logit == std::numeric_limits<T>::infinity())
        throw Error("the model's logits are not finite: its weights are damaged, or its training went astray");
    if (options_.repetition_penalty != 1) apply_repetition_penalty<T>(logits, seen_, options_.repetition_penalty);
    const int token = options_.do_sample ? sample(logits, step) : argmax<T>(logits);
    see(token);
    return token;
  }

 private:
  int sample(std::span<T> logits, std::uint64_t step) {
    if (options_.temperature != 1) apply_temperature(logits, options_.temperature);
    if (options_.top_k > 0) keep_top_k<T>(logits, options_.top_k, values_);
    if (options_.top_p < 1) keep_top_p<T>(logits, options_.top_p, order_);
    if (options_.min_p > 0) keep_min_p(logits, options_.min_p);
    const std::uint64_t key = random_key(options_.seed, RandomUse::sampling, step, options_.sequence);
    return sample_softmax<T>(logits, uniform_at(key, 0));
  }

  GenerationOptions options_;
  std::vector<char> is_seen_;  // by token
  std::vector<int> seen_;      // each token once
  std::vector<T> values_;
  std::vector<int> order_;
};

}  // namespace moderngpt2
