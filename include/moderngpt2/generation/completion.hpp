#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/sampler.hpp"
#include "moderngpt2/generation/stop_rules.hpp"

namespace moderngpt2 {

/// Completion of one prompt, with its statistics.
struct GenerationResult {
  std::vector<int> tokens;  ///< completion, without prompt and eos
  StopReason stop = StopReason::max_new_tokens;
  std::optional<int> eos_token;  ///< eos token that ended the completion
  double score = 0;              ///< beam search: log-probability / length^length_penalty, length with eos; else 0
  int prompt_tokens = 0;         ///< at least 1: an empty prompt is an eos token
  int cached_tokens = 0;         ///< prompt tokens that were in the cache already
  int decode_passes = 0;
  double prefill_seconds = 0;  ///< until the first logits
  double decode_seconds = 0;   ///< from the first logits to the last token

  double prefill_rate() const { return rate(prompt_tokens - cached_tokens, prefill_seconds); }  ///< tokens/s
  double decode_rate() const { return rate(decode_passes, decode_seconds); }                    ///< passes/s

 private:
  static double rate(int count, double seconds) { return seconds > 0 ? count / seconds : 0; }
};

/// Returns the prompt, or for an empty prompt the first eos token. Throws an Error if there is none.
inline std::vector<int> prompt_or_eos(std::span<const int> prompt, const std::vector<int>& eos_token_ids) {
  if (!prompt.empty()) return {prompt.begin(), prompt.end()};
  if (eos_token_ids.empty()) throw Error("an empty prompt starts from the eos token, but this model has none");
  return {eos_token_ids.front()};
}

/// Number of new tokens that fit within n_positions after a prompt of `prompt` tokens. Throws an Error if the prompt
/// does not fit.
inline int max_new_tokens_after(std::size_t prompt, const Config& config) {
  if (prompt > std::size_t(config.n_positions))
    throw Error("the prompt has {} tokens, more than the model's n_positions {}: shorten it", prompt,
                config.n_positions);
  return config.n_positions - int(prompt);
}

namespace detail {

/// Maximum number of new tokens of a completion. Throws an Error for beams, or a prompt longer than n_positions.
inline int completion_limit(std::size_t prompt, const GenerationOptions& options, const Config& config) {
  if (options.num_beams > 1)
    throw Error("num_beams is {}, it must be 1: use beam_search() for several beams", options.num_beams);
  return std::min(max_new_tokens_after(prompt, config), options.max_new_tokens);
}

/// State of one completion: text so far, sampler, limits and result.
template <class T>
class Completion {
 public:
  Completion(std::span<const int> prompt, const GenerationOptions& options, const Config& config)
      : sampler_(options, config.vocab_size),
        stops_(options),
        eos_token_ids_(options.eos_token_ids),
        text_(prompt_or_eos(prompt, options.eos_token_ids)),
        prompt_tokens_(text_.size()) {
    limit_ = completion_limit(prompt_tokens_, options, config);
    result.prompt_tokens = int(prompt_tokens_);
    result.stop = limit_ < options.max_new_tokens ? StopReason::n_positions : StopReason::max_new_tokens;
    text_.reserve(prompt_tokens_ + std::size_t(limit_));
    finished_ = limit_ == 0;
  }

  /// Chooses the next token from its logits (V), which are overwritten. `callback(token)` returns whether to continue.
  template <class Callback>
  void extend(std::span<T> logits, Callback&& callback) {
    append(sampler_.choose(logits, text_, step()), callback);
  }
  /// Whether a backend can choose by choice(); otherwise only extend(logits) can.
  bool is_describable() const { return sampler_.is_describable(); }
  /// Description of the choice of the next token, for a backend that chooses in device memory; valid until the next
  /// call.
  TokenChoice choice() { return sampler_.describe(text_, step()); }
  /// Appends the token that a backend chose by choice().
  template <class Callback>
  void extend(int token, Callback&& callback) {
    append(sampler_.checked_token(token), callback);
  }

  /// Ends the completion; the reason is StopReason::cancelled even if it has just ended for another.
  void cancel() { finish(StopReason::cancelled); }
  bool finished() const { return finished_; }
  /// Maximum number of new tokens.
  int limit() const { return limit_; }
  std::span<const int> prompt() const { return std::span(text_).first(prompt_tokens_); }
  int last_token() const { return text_.back(); }
  /// Moves the result out. `ready`: time of the first logits, by seconds_now().
  GenerationResult take(double ready) {
    result.tokens.assign(text_.begin() + std::ptrdiff_t(prompt_tokens_), text_.end());
    result.decode_seconds = seconds_now() - ready;
    return std::move(result);
  }

  GenerationResult result;

 private:
  std::size_t step() const { return text_.size() - prompt_tokens_; }
  template <class Callback>
  void append(int token, Callback&& callback) {
    if (std::ranges::find(eos_token_ids_, token) != eos_token_ids_.end()) {
      result.eos_token = token;
      return finish(StopReason::eos);
    }
    text_.push_back(token);
    if (!callback(token)) return finish(StopReason::callback);
    if (const auto reason = stops_.reason(text_)) return finish(*reason);
    finished_ = step() == std::size_t(limit_);
  }
  void finish(StopReason why) {
    result.stop = why;
    finished_ = true;
  }

  Sampler<T> sampler_;
  StopRules stops_;
  std::vector<int> eos_token_ids_;
  std::vector<int> text_;  // prompt and completion
  std::size_t prompt_tokens_;
  int limit_ = 0;
  bool finished_ = false;
};

}  // namespace detail

}  // namespace moderngpt2
