#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Throws the Error for logits that are NaN or +infinity.
[[noreturn]] inline void throw_not_finite() {
  throw Error("the model's logits are not finite: its weights are corrupt, or its training has diverged");
}

/// Throws an Error if a logit is NaN or +infinity.
template <class T>
void require_finite(std::span<const T> logits) {
  for (const T logit : logits)
    if (std::isnan(logit) || logit == std::numeric_limits<T>::infinity()) throw_not_finite();
}

/// Throws an Error that says that the options exclude every token.
[[noreturn]] inline void throw_no_token_left(const GenerationOptions& o) {
  throw Error("no token is left to continue with: relax no_repeat_ngram_size {} or min_new_tokens {}",
              o.no_repeat_ngram_size, o.min_new_tokens);
}

/// Logits processors that depend on the text so far, in the order of Hugging Face's generate(): repetition_penalty,
/// no_repeat_ngram_size, min_new_tokens. They apply to greedy decoding, sampling and beam search. apply() allocates
/// nothing. Threads: one at a time.
template <class T>
class TextRules {
 public:
  /// `options` must outlive this object.
  TextRules(const GenerationOptions& options, int vocab_size) : options_(&options), is_seen_(std::size_t(vocab_size)) {
    seen_.reserve(std::size_t(vocab_size));
  }

  /// Applies the rules to logits (V). `text`: the prompt and a completion of `new_tokens` tokens.
  void apply(std::span<T> logits, std::span<const int> text, std::size_t new_tokens) {
    if (logits.size() != is_seen_.size())
      throw Error("internal: {} logits for a vocabulary of {}", logits.size(), is_seen_.size());
    if (options_->repetition_penalty != 1) penalize(logits, text);
    if (options_->no_repeat_ngram_size > 0) forbid_repeated_ngrams(logits, text, options_->no_repeat_ngram_size);
    if (new_tokens < std::size_t(options_->min_new_tokens)) remove_tokens<T>(logits, options_->eos_token_ids);
  }

  /// Describes the rules as data, for logits in device memory: the tokens to penalize and those to remove. The lists
  /// are valid until the next call.
  void describe(TokenChoice& choice, std::span<const int> text, std::size_t new_tokens) {
    seen_.clear();
    removed_.clear();
    choice.repetition_penalty = options_->repetition_penalty;
    if (options_->repetition_penalty != 1) list_seen(text);
    for_each_repeated_end(text, options_->no_repeat_ngram_size, [&](int token) { removed_.push_back(token); });
    if (new_tokens < std::size_t(options_->min_new_tokens))
      for (const int token : options_->eos_token_ids)
        if (token >= 0 && std::size_t(token) < is_seen_.size()) removed_.push_back(token);
    choice.seen = seen_, choice.removed = removed_;
  }

 private:
  void list_seen(std::span<const int> text) {
    seen_.clear();
    for (const int token : text)
      if (!is_seen_[std::size_t(token)]) {
        is_seen_[std::size_t(token)] = 1;
        seen_.push_back(token);
      }
    for (const int token : seen_) is_seen_[std::size_t(token)] = 0;
  }
  void penalize(std::span<T> logits, std::span<const int> text) {
    list_seen(text);
    apply_repetition_penalty<T>(logits, seen_, options_->repetition_penalty);
  }

  const GenerationOptions* options_;
  std::vector<char> is_seen_;  // by token; all 0 between calls
  std::vector<int> seen_;      // each token once
  std::vector<int> removed_;   // result of describe()
};

}  // namespace moderngpt2
