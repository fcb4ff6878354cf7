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

[[noreturn]] inline void throw_not_finite() {
  throw Error("the model's logits are not finite: its weights are damaged, or its training went astray");
}

/// Throws an Error where logits are not numbers.
template <class T>
void require_finite(std::span<const T> logits) {
  for (const T logit : logits)
    if (std::isnan(logit) || logit == std::numeric_limits<T>::infinity()) throw_not_finite();
}

/// For a text after which the settings allow no token at all.
[[noreturn]] inline void throw_no_token_left(const GenerationOptions& o) {
  throw Error("no token is left to go on with: no_repeat_ngram_size {} or min_new_tokens {} asks too much",
              o.no_repeat_ngram_size, o.min_new_tokens);
}

/// The logits processors that look at the text so far, in Hugging Face's order: repetition penalty, no repeated
/// n-grams, least new tokens. They act on greedy choice, sampling and beams alike. All memory is reserved at the start.
template <class T>
class TextRules {
 public:
  /// The options must outlive the rules.
  TextRules(const GenerationOptions& options, int vocab_size) : options_(&options), is_seen_(std::size_t(vocab_size)) {
    seen_.reserve(std::size_t(vocab_size));
  }

  /// `text`: prompt and completion, of which the last `new_tokens` are the completion.
  void apply(std::span<T> logits, std::span<const int> text, std::size_t new_tokens) {
    if (logits.size() != is_seen_.size())
      throw Error("internal: {} logits for a vocabulary of {}", logits.size(), is_seen_.size());
    if (options_->repetition_penalty != 1) penalize(logits, text);
    if (options_->no_repeat_ngram_size > 0) forbid_repeated_ngrams(logits, text, options_->no_repeat_ngram_size);
    if (new_tokens < std::size_t(options_->min_new_tokens)) remove_tokens<T>(logits, options_->eos_token_ids);
  }

  /// The same rules as data, for logits that are elsewhere: which tokens are penalised and which removed. The lists
  /// hold until the next call.
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
  std::vector<char> is_seen_;  // by token; empty between calls
  std::vector<int> seen_;      // each token once
  std::vector<int> removed_;   // of describe()
};

}  // namespace moderngpt2
