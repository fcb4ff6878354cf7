#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/token_choice.hpp"
#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/generation/completion.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Generates completions with one model, one text at a time. The KV cache persists between calls: a prompt that shares
/// a prefix with the last text (a chat, or another completion of the same prompt) is computed only after that prefix.
/// The weights must not change between calls.
///
/// Threads: for one thread at a time. Several may generate with one model at once, with a Generator each; a text does
/// not depend on the others.
template <class M>
class Generator {
 public:
  using T = typename M::T;

  /// `max_tokens`: maximum length of prompt and completion together, clamped to n_positions. `prefill_chunk`: maximum
  /// number of prompt tokens in one pass. `context`: such as cpu::Backend(1), for one OpenMP thread; default: a new one
  /// with the settings of the model's own. The model must outlive the generator.
  explicit Generator(const M& model, std::int64_t max_tokens, int prefill_chunk = GenerationOptions{}.prefill_chunk,
                     std::optional<typename M::Backend>&& context = {})
      : rows_(model, 1, max_tokens, prefill_chunk, std::move(context)) {
    cached_.reserve(std::size_t(rows_.capacity()));
  }

  /// The generator refers to the model: a temporary would be gone before the first text.
  explicit Generator(const M&& model, std::int64_t max_tokens, int prefill_chunk = 1,
                     std::optional<typename M::Backend>&& context = {}) = delete;

  const KvCache<T, typename M::Memory>& cache() const { return rows_.cache(); }

  /// Generates tokens after `prompt` until an eos token, max_new_tokens or n_positions is reached, or `callback(token)`
  /// returns false. Throws an Error for a prompt longer than n_positions, options out of range, or a model that another
  /// thread trains.
  template <class Callback>
  GenerationResult generate(std::span<const int> prompt, const GenerationOptions& options, Callback&& callback) {
    const auto use = rows_.model().shared_use();
    detail::Completion<typename M::Score> completion(prompt, options, rows_.model().config());
    const std::span<const int> tokens = completion.prompt();
    if (tokens.size() + std::size_t(completion.limit()) > std::size_t(rows_.capacity()))
      throw Error("internal: a generator for {} tokens received a prompt of {} and max_new_tokens {}", rows_.capacity(),
                  tokens.size(), completion.limit());
    const double start = seconds_now();
    if (completion.finished()) return completion.take(start);

    const int common = completion.result.cached_tokens = reuse(tokens);
    run(tokens.subspan(std::size_t(common)));
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
    if constexpr (!OnHost<typename M::Backend>) {
      if (completion.is_describable()) {
        const int row = 0;
        const TokenChoice choice = completion.choice();
        int token = 0;
        rows_.choose({&token, 1}, {&row, 1}, {&choice, 1});
        return completion.extend(token, callback);
      }
    }
    completion.extend(rows_.logits(0), callback);
  }

  /// Truncates the cache to the prefix that it shares with a prompt, but for the last token, whose logits are required.
  /// Returns the number of tokens kept.
  int reuse(std::span<const int> prompt) {
    const auto [end, ignored] = std::mismatch(prompt.begin(), prompt.end() - 1, cached_.begin(), cached_.end());
    cached_.resize(std::size_t(end - prompt.begin()));
    return int(cached_.size());
  }

  /// Runs a pass over tokens after the cached ones, and computes the logits of the last.
  void run(std::span<const int> tokens) {
    rows_.prefill(0, tokens, int(cached_.size()));
    cached_.insert(cached_.end(), tokens.begin(), tokens.end());
  }

  CachedModel<M> rows_;
  std::vector<int> cached_;  // tokens whose keys and values are in the cache
};

}  // namespace moderngpt2
