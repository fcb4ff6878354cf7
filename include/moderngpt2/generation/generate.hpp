#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/generation/kv_cache.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/sampler.hpp"
#include "moderngpt2/model/model.hpp"

namespace moderngpt2 {

/// Why a completion ended: an end-of-text token, enough tokens, the model's longest sequence, or the callback.
enum class StopReason : unsigned char { eos, max_new_tokens, n_positions, callback };

struct GenerationResult {
  std::vector<int> tokens;  ///< the completion, without prompt and eos
  StopReason stop = StopReason::max_new_tokens;
  std::optional<int> eos_token;  ///< the one that ended it
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

/// Continues texts with one model, one at a time. Keys and values stay from call to call: a prompt that begins as the
/// last text did (a chat, or one more completion of the same prompt) is computed from the first new token on.
template <class M>
class Generator {
 public:
  using T = typename M::T;

  /// `max_tokens`: the longest text, prompt included; n_positions bounds it. The model must outlive the generator.
  Generator(M& model, std::int64_t max_tokens, int prefill_chunk = GenerationOptions{}.prefill_chunk)
      : model_(&model),
        cache_(model.config(), 1, int(std::clamp<std::int64_t>(max_tokens, 1, model.config().n_positions))),
        chunk_(std::clamp(prefill_chunk, 1, cache_.capacity())),
        work_(model.workspace(1, chunk_, Mode::infer)),
        logits_(model.config().vocab_size) {
    cached_.reserve(std::size_t(cache_.capacity()));
  }

  const KvCache<T>& cache() const { return cache_; }

  /// Appends tokens to `prompt` until one of options.eos_token_ids, max_new_tokens, n_positions, or until
  /// `callback(token)` returns false. Throws an Error for a prompt that does not fit and for settings out of range.
  template <class Callback>
  GenerationResult generate(std::span<const int> prompt_tokens, const GenerationOptions& options, Callback&& callback) {
    const std::vector<int> prompt = prompt_or_eos(prompt_tokens, options.eos_token_ids);
    Sampler<T> sampler(options, model_->config().vocab_size);
    const int room = room_after(prompt.size(), options.max_new_tokens);
    const int limit = std::min(room, options.max_new_tokens);
    GenerationResult result;
    result.prompt_tokens = int(prompt.size());
    result.stop = room < options.max_new_tokens ? StopReason::n_positions : StopReason::max_new_tokens;
    if (limit == 0) return result;
    result.tokens.reserve(std::size_t(limit));
    for (const int token : prompt) sampler.see(token);

    const auto start = Clock::now();
    result.cached_tokens = reuse(prompt);
    run(std::span(prompt).subspan(std::size_t(result.cached_tokens)));
    const auto ready = Clock::now();
    for (int step = 0; step < limit; ++step) {
      if (step > 0) {
        run({&result.tokens.back(), 1});
        ++result.decode_passes;
      }
      const int token = sampler.choose({logits_.data(), std::size_t(logits_.size())}, std::uint64_t(step));
      if (std::ranges::find(options.eos_token_ids, token) != options.eos_token_ids.end()) {
        result.stop = StopReason::eos;
        result.eos_token = token;
        break;
      }
      result.tokens.push_back(token);
      if (!callback(token)) {
        result.stop = StopReason::callback;
        break;
      }
    }
    result.prefill_seconds = seconds(start, ready);
    result.decode_seconds = seconds(ready, Clock::now());
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double seconds(Clock::time_point from, Clock::time_point to) {
    return std::chrono::duration<double>(to - from).count();
  }

  /// New tokens that fit after a prompt.
  int room_after(std::size_t prompt, int max_new_tokens) const {
    const int most = model_->config().n_positions;
    if (prompt > std::size_t(most))
      throw Error("the prompt has {} tokens, more than the model's n_positions {}: shorten it", prompt, most);
    const int length = int(prompt);
    if (std::min<std::int64_t>(std::int64_t(length) + max_new_tokens, most) > cache_.capacity())
      throw Error("internal: a generator for {} tokens was given {} and asked for {} more", cache_.capacity(), length,
                  max_new_tokens);
    return most - length;
  }

  /// Cuts the cache to what it shares with a prompt; its last token is left out, since its logits are wanted.
  int reuse(const std::vector<int>& prompt) {
    const auto [end, ignored] = std::mismatch(prompt.begin(), prompt.end() - 1, cached_.begin(), cached_.end());
    const auto common = end - prompt.begin();
    cache_.truncate(int(common));
    cached_.resize(std::size_t(common));
    return int(common);
  }

  /// Computes tokens after those in the cache, and the logits of the last.
  void run(std::span<const int> tokens) {
    Rows<T> hidden;
    while (!tokens.empty()) {
      const auto part = tokens.first(std::min(tokens.size(), std::size_t(chunk_)));
      Pass<typename M::R> pass{.batch = 1, .time = int(part.size()), .past = cache_.length()};
      hidden = model_->forward(work_, part.data(), pass, cache_.views());
      cache_.advance(int(part.size()));
      cached_.insert(cached_.end(), part.begin(), part.end());
      tokens = tokens.subspan(part.size());
    }
    model_->logits(Rows<T>(logits_.data(), 1, int(logits_.size())), hidden.slice(hidden.count - 1, 1));
  }

  M* model_;
  KvCache<T> cache_;
  int chunk_;
  typename M::Work work_;
  FlatBuffer<T> logits_;     // (V) of the last token
  std::vector<int> cached_;  // the tokens whose keys and values are in the cache
};

/// Continues `prompt`; an empty one starts from the eos token. `callback(token)` gets each new token, eos not, and
/// returns whether to go on. Throws an Error for a prompt longer than n_positions or settings out of range.
template <class M, class Callback>
GenerationResult generate(M& model, std::span<const int> prompt, const GenerationOptions& options,
                          Callback&& callback) {
  validate(options);
  const std::int64_t length = std::max<std::int64_t>(std::int64_t(prompt.size()), 1);
  Generator<M> generator(model, length + options.max_new_tokens,
                         int(std::min<std::int64_t>(length, options.prefill_chunk)));
  return generator.generate(prompt, options, std::forward<Callback>(callback));
}

template <class M>
GenerationResult generate(M& model, std::span<const int> prompt, const GenerationOptions& options) {
  return generate(model, prompt, options, [](int) { return true; });
}

}  // namespace moderngpt2
