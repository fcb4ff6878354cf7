#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/generation/completion.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Continues texts with one model, one at a time. Keys and values stay from call to call: a prompt that begins as the
/// last text did (a chat, or one more completion of the same prompt) is computed from the first new token on.
template <class M>
class Generator {
 public:
  using T = typename M::T;

  /// `max_tokens`: the longest text, prompt included; n_positions bounds it. The model must outlive the generator.
  Generator(M& model, std::int64_t max_tokens, int prefill_chunk = GenerationOptions{}.prefill_chunk)
      : model_(&model), rows_(model, 1, max_tokens, prefill_chunk) {
    cached_.reserve(std::size_t(rows_.capacity()));
  }

  const KvCache<T, typename M::Memory>& cache() const { return rows_.cache(); }

  /// Appends tokens to `prompt` until one of options.eos_token_ids, max_new_tokens, n_positions, or until
  /// `callback(token)` returns false. Throws an Error for a prompt that does not fit and for settings out of range.
  template <class Callback>
  GenerationResult generate(std::span<const int> prompt, const GenerationOptions& options, Callback&& callback) {
    detail::Completion<typename M::Score> completion(prompt, options, model_->config());
    const std::span<const int> tokens = completion.prompt();
    if (tokens.size() + std::size_t(completion.limit()) > std::size_t(rows_.capacity()))
      throw Error("internal: a generator for {} tokens was given {} and asked for {} more", rows_.capacity(),
                  tokens.size(), completion.limit());
    const double start = seconds_now();
    if (completion.finished()) return completion.take(start);

    const std::size_t common = completion.result.cached_tokens = reuse(tokens);
    run(tokens.subspan(common));
    const double ready = seconds_now();
    completion.result.prefill_seconds = ready - start;
    while (true) {
      extend(completion, callback);
      if (completion.finished()) return completion.take(ready);
      const int token = completion.last_token();
      run({&token, 1});
      ++completion.result.decode_passes;
    }
  }

 private:
  template <class Callback>
  void extend(detail::Completion<typename M::Score>& completion, Callback&& callback) {
    if constexpr (OnHost<typename M::Backend>) {
      completion.extend(rows_.logits(0), callback);
    } else {
      const int row = 0;
      const TokenChoice choice = completion.choice();
      int token = 0;
      rows_.choose({&token, 1}, {&row, 1}, {&choice, 1});
      completion.extend(token, callback);
    }
  }

  /// Cuts the cache to what it shares with a prompt; its last token is left out, since its logits are wanted.
  int reuse(std::span<const int> prompt) {
    const auto [end, ignored] = std::mismatch(prompt.begin(), prompt.end() - 1, cached_.begin(), cached_.end());
    cached_.resize(std::size_t(end - prompt.begin()));
    return int(cached_.size());
  }

  /// Computes tokens after those in the cache, and the logits of the last.
  void run(std::span<const int> tokens) {
    rows_.prefill(0, tokens, int(cached_.size()));
    cached_.insert(cached_.end(), tokens.begin(), tokens.end());
  }

  M* model_;
  CachedModel<M> rows_;
  std::vector<int> cached_;  // the tokens whose keys and values are in the cache
};

}  // namespace moderngpt2
