#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

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

/// Throws an Error that names the options that exclude every token.
[[noreturn]] inline void throw_no_token_left(const GenerationOptions& o) {
  std::string names;
  const auto add = [&](bool is_set, const std::string& text) {
    if (is_set) names += (names.empty() ? "" : " or ") + text;
  };
  add(o.no_repeat_ngram_size > 0, fmt::format("no_repeat_ngram_size {}", o.no_repeat_ngram_size));
  add(o.encoder_no_repeat_ngram_size > 0,
      fmt::format("encoder_no_repeat_ngram_size {}", o.encoder_no_repeat_ngram_size));
  add(o.min_new_tokens > 0, fmt::format("min_new_tokens {}", o.min_new_tokens));
  add(o.min_length > 0 && o.min_new_tokens == 0, fmt::format("min_length {}", o.min_length));
  add(!o.bad_words_ids.empty(), "bad_words_ids");
  add(!o.sequence_bias.empty(), "sequence_bias");
  add(!o.suppress_tokens.empty(), "suppress_tokens");
  add(!o.begin_suppress_tokens.empty(), "begin_suppress_tokens");
  throw Error("no token is left to continue with: {}",
              names.empty() ? "all logits are -infinity, the model's weights are corrupt" : "relax " + names);
}

/// Names of the set options that TokenChoice cannot express, separated by commas. With these options, tokens are chosen
/// in host memory, also for models in device memory.
inline std::string host_memory_options(const GenerationOptions& o) {
  std::string names;
  const auto add = [&](const char* name, bool is_set) {
    if (is_set) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add("sequence_bias", !o.sequence_bias.empty());
  add("encoder_repetition_penalty", o.encoder_repetition_penalty != 1);
  add("forced_bos_token_id", o.forced_bos_token_id.has_value());
  add("forced_eos_token_id", !o.forced_eos_token_id.empty());
  add("remove_invalid_values", o.remove_invalid_values);
  add("exponential_decay_length_penalty", o.exponential_decay_length_penalty.has_value());
  if (!o.do_sample) return names;
  add("top_h", o.top_h.has_value());
  add("typical_p", o.typical_p < 1);
  add("epsilon_cutoff", o.epsilon_cutoff > 0);
  add("eta_cutoff", o.eta_cutoff > 0);
  return names;
}

/// Logits processors that depend on the text so far, in the order of Hugging Face's generate(): sequence_bias,
/// encoder_repetition_penalty, repetition_penalty, no_repeat_ngram_size, encoder_no_repeat_ngram_size, bad_words_ids,
/// min_length or min_new_tokens, forced_bos_token_id, forced_eos_token_id, remove_invalid_values,
/// exponential_decay_length_penalty, suppress_tokens, begin_suppress_tokens. They apply to greedy decoding, sampling
/// and beams. apply() allocates nothing. Threads: one at a time.
template <class T>
class TextRules {
 public:
  /// `options` must outlive this object. Throws an Error for a token id of the options outside the vocabulary.
  TextRules(const GenerationOptions& options, int vocab_size)
      : options_(&options), is_seen_(std::size_t(vocab_size)), eos_(options.eos_token_ids) {
    std::erase_if(eos_, [&](int token) { return token < 0 || token >= vocab_size; });
    std::map<std::vector<int>, double> biases;  // the last one of equal sequences
    for (const SequenceBias& bias : options.sequence_bias) biases[bias.tokens] = bias.bias;
    for (const auto& [tokens, bias] : biases) add_sequence("sequence_bias", {tokens, bias}, biases_);
    for (const std::vector<int>& words : options.bad_words_ids)
      if (words.size() != 1 || std::ranges::find(eos_, words[0]) == eos_.end())
        add_sequence("bad_words_ids", {words, 0}, bad_words_);
    if (options.forced_bos_token_id) require_token("forced_bos_token_id", *options.forced_bos_token_id);
    for (const int token : options.forced_eos_token_id) require_token("forced_eos_token_id", token);
    seen_.reserve(std::size_t(vocab_size));
  }

  /// Applies the rules to logits (V). `text`: the prompt and a completion of `new_tokens` tokens.
  void apply(std::span<T> logits, std::span<const int> text, std::size_t new_tokens) {
    if (logits.size() != is_seen_.size())
      throw Error("internal: {} logits for a vocabulary of {}", logits.size(), is_seen_.size());
    const GenerationOptions& o = *options_;
    for (const SequenceBias& bias : biases_)
      if (may_end(bias, text)) logits[std::size_t(bias.tokens.back())] += T(bias.bias);
    if (o.encoder_repetition_penalty != 1)
      penalize(logits, prompt_of(text, new_tokens), 1 / o.encoder_repetition_penalty);
    if (o.repetition_penalty != 1) penalize(logits, text, o.repetition_penalty);
    for_each_removed_before_forced(text, new_tokens, [&](int token) { logits[std::size_t(token)] = removed_logit<T>; });
    if (forces_first(text)) force_tokens<T>(logits, {&*o.forced_bos_token_id, 1});
    if (forces_last(new_tokens)) force_tokens<T>(logits, o.forced_eos_token_id);
    if (o.remove_invalid_values) replace_invalid_logits(logits);
    if (const auto& decay = o.exponential_decay_length_penalty; decay && int(new_tokens) > decay->start)
      favour_tokens<T>(logits, eos_, std::pow(decay->factor, int(new_tokens) - decay->start));
    for_each_suppressed(text, new_tokens, [&](int token) { logits[std::size_t(token)] = removed_logit<T>; });
  }

  /// Describes the rules as data, for logits in device memory: the tokens to penalize and those to remove. Requires
  /// that host_memory_options() is empty. The lists are valid until the next call.
  void describe(TokenChoice& choice, std::span<const int> text, std::size_t new_tokens) {
    seen_.clear();
    removed_.clear();
    choice.repetition_penalty = options_->repetition_penalty;
    if (options_->repetition_penalty != 1) list_seen(text);
    const auto remove = [&](int token) { removed_.push_back(token); };
    for_each_removed_before_forced(text, new_tokens, remove);
    for_each_suppressed(text, new_tokens, remove);
    choice.seen = seen_, choice.removed = removed_;
  }

 private:
  void require_token(const char* option, int token) const {
    if (token < 0 || std::size_t(token) >= is_seen_.size())
      throw Error("{} has the token id {}, outside the vocabulary of {}: remove it", option, token, is_seen_.size());
  }
  void add_sequence(const char* option, SequenceBias added, std::vector<SequenceBias>& list) const {
    if (added.tokens.empty()) throw Error("{} has an empty sequence of tokens: remove it", option);
    for (const int token : added.tokens) require_token(option, token);
    list.push_back(std::move(added));
  }

  static std::span<const int> prompt_of(std::span<const int> text, std::size_t new_tokens) {
    return text.first(text.size() - std::min(new_tokens, text.size()));
  }
  /// Whether the text ends with all tokens of a sequence except its last one.
  static bool may_end(const SequenceBias& sequence, std::span<const int> text) {
    const std::size_t before = sequence.tokens.size() - 1;
    return before <= text.size() &&
           std::equal(sequence.tokens.begin(), sequence.tokens.end() - 1, text.end() - std::ptrdiff_t(before));
  }
  bool forces_first(std::span<const int> text) const { return options_->forced_bos_token_id && text.size() == 1; }
  bool forces_last(std::size_t new_tokens) const {
    return !options_->forced_eos_token_id.empty() && int(new_tokens) == options_->max_new_tokens - 1;
  }

  /// Calls f for the tokens that rules before forced_bos_token_id remove, possibly several times for a token.
  template <class F>
  void for_each_removed_before_forced(std::span<const int> text, std::size_t new_tokens, F&& f) const {
    const GenerationOptions& o = *options_;
    for_each_repeated_end(text, o.no_repeat_ngram_size, f);
    for_each_prompt_ngram_end(prompt_of(text, new_tokens), text, o.encoder_no_repeat_ngram_size, f);
    for (const SequenceBias& words : bad_words_)
      if (may_end(words, text)) f(words.tokens.back());
    const bool is_short =
        o.min_new_tokens > 0 ? new_tokens < std::size_t(o.min_new_tokens) : text.size() < std::size_t(o.min_length);
    if (is_short)
      for (const int token : eos_) f(token);
  }
  /// Calls f for the tokens of suppress_tokens and, for the first new token, begin_suppress_tokens. The latter applies
  /// one token later if the first one is forced.
  template <class F>
  void for_each_suppressed(std::span<const int> text, std::size_t new_tokens, F&& f) const {
    const GenerationOptions& o = *options_;
    const auto call = [&](const std::vector<int>& tokens) {
      for (const int token : tokens)
        if (token >= 0 && std::size_t(token) < is_seen_.size()) f(token);
    };
    call(o.suppress_tokens);
    const bool is_forced = o.forced_bos_token_id && prompt_of(text, new_tokens).size() <= 1;
    if (new_tokens == std::size_t(is_forced ? 1 : 0)) call(o.begin_suppress_tokens);
  }

  void list_seen(std::span<const int> text) {
    seen_.clear();
    for (const int token : text)
      if (!is_seen_[std::size_t(token)]) {
        is_seen_[std::size_t(token)] = 1;
        seen_.push_back(token);
      }
    for (const int token : seen_) is_seen_[std::size_t(token)] = 0;
  }
  void penalize(std::span<T> logits, std::span<const int> text, double penalty) {
    list_seen(text);
    apply_repetition_penalty<T>(logits, seen_, penalty);
  }

  const GenerationOptions* options_;
  std::vector<char> is_seen_;  // by token; all 0 between calls
  std::vector<int> eos_;       // eos tokens in the vocabulary
  std::vector<SequenceBias> biases_, bad_words_;
  std::vector<int> seen_;     // each token once
  std::vector<int> removed_;  // result of describe()
};

}  // namespace moderngpt2
