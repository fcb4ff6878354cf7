#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
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
#include "moderngpt2/generation/request.hpp"

namespace moderngpt2 {

namespace detail {

/// Texts that are decoded together, as rows of one KV cache.
template <class M>
class Batch {
 public:
  using T = typename M::Score;

  Batch(CachedModel<M>& rows, std::deque<Completion<T>>& completions) : rows_(rows) {
    for (Completion<T>& completion : completions) {
      past_ = std::max(past_, int(completion.prompt().size()));
      running_.push_back({&completion, running_.size(), seconds_now()});
    }
    tokens_.resize(running_.size());
  }

  /// Decodes all texts to their ends. Calls callback(index, token) for each token, which returns whether to continue
  /// that text, and done(index, result).
  template <class Callback, class Done>
  void run(Callback&& callback, Done&& done) {
    prefill();
    while (!running_.empty()) {
      extend(callback);
      for (std::size_t row = running_.size(); row-- > 0;)
        if (running_[row].completion->finished()) remove_finished(row, done);
      if (running_.empty()) return;
      for (std::size_t row = 0; row < running_.size(); ++row) {
        tokens_[row] = running_[row].completion->last_token();
        ++running_[row].completion->result.decode_passes;
      }
      rows_.step(std::span(tokens_).first(running_.size()), past_++);
    }
  }

 private:
  struct Row {
    Completion<T>* completion;
    std::size_t index;  // in the list of completions
    double start;       // seconds_now() at its prefill, then at its first logits
  };

  /// Chooses the next token of each unfinished text.
  template <class Callback>
  void extend(Callback&& callback) {
    if constexpr (!OnHost<typename M::Backend>) choose_all();
    for (std::size_t row = 0, chosen = 0; row < running_.size(); ++row) {
      Row& r = running_[row];
      if (r.completion->finished()) continue;
      const auto report = [&](int token) { return callback(r.index, token); };
      if (!OnHost<typename M::Backend> && r.completion->is_describable())
        r.completion->extend(chosen_[chosen++], report);
      else
        r.completion->extend(rows_.logits(int(row)), report);
    }
  }
  /// Chooses the next tokens of unfinished texts in device memory if their options allow it.
  void choose_all() {
    open_.clear();
    choices_.clear();
    for (std::size_t row = 0; row < running_.size(); ++row)
      if (!running_[row].completion->finished() && running_[row].completion->is_describable()) {
        open_.push_back(int(row));
        choices_.push_back(running_[row].completion->choice());
      }
    chosen_.resize(open_.size());
    if (!open_.empty()) rows_.choose(chosen_, open_, choices_);
  }

  /// Computes each prompt in its row. If the previous row has the same prompt, copies that row instead.
  void prefill() {
    for (std::size_t row = 0; row < running_.size(); ++row) {
      Completion<T>& completion = *running_[row].completion;
      if (completion.finished()) continue;
      const auto prompt = completion.prompt();
      const int first = past_ - int(prompt.size());
      const double start = seconds_now();
      if (row > 0 && !running_[row - 1].completion->finished() &&
          std::ranges::equal(prompt, running_[row - 1].completion->prompt())) {
        rows_.copy(int(row) - 1, int(row), first, past_, true);
        completion.result.cached_tokens = int(prompt.size());
      } else {
        rows_.prefill(int(row), prompt, first, first);
      }
      running_[row].start = seconds_now();
      completion.result.prefill_seconds = running_[row].start - start;
    }
  }

  /// Reports a finished text and moves the last row into its row. The copy is far cheaper than further passes over the
  /// finished row.
  template <class Done>
  void remove_finished(std::size_t row, Done&& done) {
    const Row r = running_[row];
    const std::size_t last = running_.size() - 1;
    if (row != last) {
      rows_.copy(int(last), int(row), 0, past_, false);
      running_[row] = running_[last];
    }
    running_.pop_back();
    done(r.index, r.completion->take(r.start));
  }

  CachedModel<M>& rows_;
  std::vector<Row> running_;          // row by row
  std::vector<int> tokens_;           // inputs of the next pass
  std::vector<int> open_, chosen_;    // device memory: rows to choose for and the tokens chosen
  std::vector<TokenChoice> choices_;  // how to choose the tokens of open_
  int past_ = 0;                      // column of the next token
};

/// Division of requests into batches, and the size of the KV cache that they require.
struct BatchPlan {
  std::vector<std::size_t> ends;  // end of each batch in the list of requests
  std::size_t rows = 1;           // size of the largest batch
  std::int64_t columns = 1;       // length of the longest texts, not yet limited to n_positions
};

/// Assigns requests to batches in order. Shorter prompts are padded to the longest of their batch; a request whose
/// padding would leave fewer than max_new_tokens within n_positions begins the next batch.
inline BatchPlan plan_batches(std::span<const GenerationRequest> requests, std::size_t batch_size, int n_positions) {
  BatchPlan plan;
  for (std::size_t first = 0, i = 0; first < requests.size(); first = i) {
    std::int64_t longest = 0, shortest = n_positions, most_new = 0;
    for (; i < requests.size() && i < first + batch_size; ++i) {
      const auto length = std::max<std::int64_t>(std::int64_t(requests[i].prompt.size()), 1);
      const std::int64_t low = std::min(shortest, length), high = std::max(longest, length);
      const std::int64_t added = std::max<std::int64_t>(most_new, requests[i].options.max_new_tokens);
      if (i > first && low != high && high + added > n_positions) break;
      shortest = low, longest = high, most_new = added;
    }
    plan.ends.push_back(i);
    plan.rows = std::max(plan.rows, i - first);
    plan.columns = std::max(plan.columns, longest + most_new);
  }
  return plan;
}

}  // namespace detail

/// Generates completions of several prompts, up to `batch_size` of them in one pass. Each completion equals that of its
/// prompt alone, up to rounding (which may decide between almost equally likely tokens). Consecutive equal prompts are
/// computed once. `callback(index, token)` is called for each new token and returns whether to continue that text;
/// `done(index, result)` is called at the end of each text. `context`: as for Generator. Throws an Error for a prompt
/// longer than n_positions or options out of range, before any token is generated. Several threads may call it with one
/// model at once.
template <class M, class Callback, class Done>
void generate_batch(const M& model, std::span<const GenerationRequest> requests, int batch_size, Callback&& callback,
                    Done&& done, std::optional<typename M::Backend>&& context = {}) {
  if (batch_size < 1) throw Error("batch_size is {}, it must be positive", batch_size);
  std::size_t longest_prompt = 1;
  int chunk = GenerationOptions{}.prefill_chunk;
  for (const GenerationRequest& request : requests) {
    validate(request.options);
    const std::size_t length = prompt_or_eos(request.prompt, request.options.eos_token_ids).size();
    max_new_tokens_after(length, model.config());
    longest_prompt = std::max(longest_prompt, length);
    chunk = std::min(chunk, request.options.prefill_chunk);
  }
  if (requests.empty()) return;
  const detail::BatchPlan plan = detail::plan_batches(requests, std::size_t(batch_size), model.config().n_positions);
  const auto use = model.shared_use();
  CachedModel<M> cached(model, int(plan.rows), plan.columns, int(std::min(std::size_t(chunk), longest_prompt)),
                        std::move(context));
  std::size_t first = 0;
  for (const std::size_t end : plan.ends) {
    std::deque<detail::Completion<typename M::Score>> completions;
    for (std::size_t i = first; i < end; ++i)
      completions.emplace_back(requests[i].prompt, requests[i].options, model.config());
    detail::Batch<M>(cached, completions)
        .run([&](std::size_t index, int token) { return callback(first + index, token); },
             [&](std::size_t index, GenerationResult result) { done(first + index, std::move(result)); });
    first = end;
  }
}

/// Generates completions without callbacks; returns the results in the order of the requests.
template <class M>
std::vector<GenerationResult> generate_batch(const M& model, std::span<const GenerationRequest> requests,
                                             int batch_size) {
  std::vector<GenerationResult> results(requests.size());
  generate_batch(
      model, requests, batch_size, [](std::size_t, int) { return true; },
      [&](std::size_t index, GenerationResult result) { results[index] = std::move(result); });
  return results;
}

}  // namespace moderngpt2
