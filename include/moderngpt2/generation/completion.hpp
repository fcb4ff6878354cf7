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

namespace moderngpt2 {

/// Why a completion ended: an end-of-text token, enough tokens, the model's longest sequence, or the callback.
enum class StopReason : unsigned char { eos, max_new_tokens, n_positions, callback };

struct GenerationResult {
  std::vector<int> tokens;  ///< the completion, without prompt and eos
  StopReason stop = StopReason::max_new_tokens;
  std::optional<int> eos_token;  ///< the one that ended it
  double score = 0;              ///< of a beam: log-probability / length^length_penalty, the eos counted
  int prompt_tokens = 0;         ///< the eos that stands for an empty prompt included
  int cached_tokens = 0;         ///< of these, in the cache already
  int decode_passes = 0;
  double prefill_seconds = 0;  ///< from the prompt to the first logits
  double decode_seconds = 0;   ///< all passes after that, and the choice of tokens

  double prefill_rate() const { return rate(prompt_tokens - cached_tokens, prefill_seconds); }  ///< tokens a second
  double decode_rate() const { return rate(decode_passes, decode_seconds); }

 private:
  static double rate(int count, double seconds) { return seconds > 0 ? count / seconds : 0; }
};

/// The prompt, or for an empty one the first eos.
inline std::vector<int> prompt_or_eos(std::span<const int> prompt, const std::vector<int>& eos_token_ids) {
  if (!prompt.empty()) return {prompt.begin(), prompt.end()};
  if (eos_token_ids.empty()) throw Error("an empty prompt starts from the eos token, and this model has none");
  return {eos_token_ids.front()};
}

/// New tokens that fit after a prompt; an Error for one that does not fit itself.
inline int max_new_tokens_after(std::size_t prompt, const Config& config) {
  if (prompt > std::size_t(config.n_positions))
    throw Error("the prompt has {} tokens, more than the model's n_positions {}: shorten it", prompt,
                config.n_positions);
  return config.n_positions - int(prompt);
}

namespace detail {

/// One text that is being continued token by token: what it may still become, and what came of it.
template <class T>
class Completion {
 public:
  Completion(std::span<const int> prompt, const GenerationOptions& options, const Config& config)
      : sampler_(options, config.vocab_size),
        eos_token_ids_(options.eos_token_ids),
        text_(prompt_or_eos(prompt, options.eos_token_ids)),
        prompt_tokens_(text_.size()) {
    if (options.num_beams > 1)
      throw Error("num_beams is {}: beam_search is what follows several texts", options.num_beams);
    const int room = max_new_tokens_after(prompt_tokens_, config);
    limit_ = std::min(room, options.max_new_tokens);
    result.prompt_tokens = int(prompt_tokens_);
    result.stop = room < options.max_new_tokens ? StopReason::n_positions : StopReason::max_new_tokens;
    text_.reserve(prompt_tokens_ + std::size_t(limit_));
    finished_ = limit_ == 0;
  }

  /// Chooses the next token by its logits, which are changed. `callback(token)` says whether to go on.
  template <class Callback>
  void extend(std::span<T> logits, Callback&& callback) {
    append(sampler_.choose(logits, text_, step()), callback);
  }
  /// The same in two: how the token is to be chosen, which holds until the next call, and what was.
  TokenChoice choice() { return sampler_.describe(text_, step()); }
  template <class Callback>
  void extend(int token, Callback&& callback) {
    append(sampler_.checked_token(token), callback);
  }

  /// Whether nothing more will come.
  bool finished() const { return finished_; }
  /// Most new tokens.
  int limit() const { return limit_; }
  std::span<const int> prompt() const { return std::span(text_).first(prompt_tokens_); }
  int last_token() const { return text_.back(); }
  /// The result, once; `ready` is when the first logits were there.
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
    finished_ = step() == std::size_t(limit_);
  }
  void finish(StopReason why) {
    result.stop = why;
    finished_ = true;
  }

  Sampler<T> sampler_;
  std::vector<int> eos_token_ids_;
  std::vector<int> text_;  // prompt and completion
  std::size_t prompt_tokens_;
  int limit_ = 0;
  bool finished_ = false;
};

}  // namespace detail

}  // namespace moderngpt2
