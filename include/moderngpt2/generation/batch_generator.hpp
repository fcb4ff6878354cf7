#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
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
#include "moderngpt2/generation/kv_cache.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/request.hpp"

namespace moderngpt2 {

/// Generates texts of requests that come and go (continuous batching): each pass computes the next token of all running
/// texts, whatever their lengths, so that the weights are read once for all of them.
///
///     BatchGenerator texts(model, {.slots = 8, .slot_tokens = 512});
///     texts.add({prompt_ids, options}, {.on_done = [&](RequestId id, GenerationResult r) { print(r.tokens); }});
///     while (texts.step()) {}
///
/// Memory: a KV cache of `slots` x `slot_tokens` tokens, allocated by the constructor and never grown; bytes() states
/// its size, also for a config alone. Activations are those of one pass over max(slots, prefill_chunk) tokens. A
/// request that finds no free slot waits, first in, first out. add() refuses a request that never fits. The destructor
/// discards unfinished requests without calling on_done.
///
/// Order of a step: (1) one pass over the last token of each running text; (2) at most `prefill_chunk` prompt tokens of
/// the requests next in line, one request after the other; (3) the next token of each text whose logits are known. A
/// running text therefore waits at most for one chunk of prompts between two tokens, and a long prompt takes several
/// steps. Tokens of a prompt that begin another text in the cache are copied, not computed.
///
/// A text does not depend on other requests: it has the tokens that Generator gives its request alone, unless rounding
/// decides between two tokens of almost equal probability.
///
/// Threads: step() is for one thread at a time; callbacks, which it calls, must not call it. The other members are for
/// any thread at any time, also for callbacks. Other threads may generate with the model meanwhile.
template <class M>
class BatchGenerator {
 public:
  /// Throws an Error for settings out of range, or if the memory is not available. `context`: as for Generator. The
  /// model must outlive this object, and its weights must not change meanwhile.
  explicit BatchGenerator(const M& model, const BatchGeneratorSettings& settings = {},
                          std::optional<typename M::Backend> context = {})
      : settings_(settings.for_model(model.config())),
        rows_(model, settings_.slots, settings_.slot_tokens, settings_.prefill_chunk, std::move(context)),
        cached_(std::size_t(settings_.slots)) {
    for (std::vector<int>& tokens : cached_) tokens.reserve(std::size_t(settings_.slot_tokens));
    running_.reserve(cached_.size());
  }

  /// The generator refers to the model: a temporary would be gone before the first text.
  explicit BatchGenerator(const M&& model, const BatchGeneratorSettings& settings = {},
                          std::optional<typename M::Backend> context = {}) = delete;

  /// Adds a request to the end of the queue. Throws an Error for options out of range, num_beams above 1, an id outside
  /// the vocabulary, or a text that does not fit a slot.
  RequestId add(GenerationRequest request, RequestCallbacks callbacks = {}) {
    const Config& config = rows_.model().config();
    validate(request.options);
    request.prompt = prompt_or_eos(request.prompt, request.options.eos_token_ids);
    const std::size_t prompt = request.prompt.size();
    const int limit = detail::completion_limit(prompt, request.options, config);
    if (prompt + std::size_t(limit) > std::size_t(settings_.slot_tokens))
      throw Error(
          "a prompt of {} tokens and max_new_tokens {} exceed the {} tokens of a slot: shorten them, or raise "
          "slot_tokens",
          prompt, request.options.max_new_tokens, settings_.slot_tokens);
    for (std::size_t i = 0; i < prompt; ++i)
      if (request.prompt[i] < 0 || request.prompt[i] >= config.vocab_size)
        throw Error("token id {} at position {} of the prompt is outside the vocabulary of {}", request.prompt[i], i,
                    config.vocab_size);
    auto added = std::make_unique<Request>(std::move(request), std::move(callbacks));
    const std::lock_guard lock(mutex_);
    added->id = last_id_ + 1;
    waiting_.push_back(std::move(added));
    return ++last_id_;
  }

  /// Ends a request. Its on_done is called by the step() in progress or the next one, with the tokens so far and
  /// StopReason::cancelled; a token that another thread is just choosing may still be reported. Returns false if the
  /// request has ended already.
  bool cancel(RequestId id) {
    const std::lock_guard lock(mutex_);
    const auto try_cancel = [&](const std::unique_ptr<Request>& r) { return r && r->id == id && r->cancel(); };
    return try_cancel(prefilling_) || std::ranges::any_of(running_, try_cancel) ||
           std::ranges::any_of(waiting_, try_cancel);
  }

  /// Computes at most one token of each running text. Returns whether requests are left: if not, call it again after
  /// the next add(). An exception of a callback, or an Error in the choice of a token, ends its text without on_done;
  /// step() rethrows the first one after all other texts have their token. Throws an Error while another thread changes
  /// the weights; the requests remain.
  bool step() {
    if (stepping_.exchange(true))
      throw Error("BatchGenerator::step() was called while it runs: call it from one thread, and not from a callback");
    const Stepping ends_with_this_call{stepping_};
    const auto use = rows_.model().shared_use();
    std::exception_ptr failure;
    remove_ended();
    decode();
    prefill();
    choose(failure);
    remove_ended();
    report(failure);
    if (failure) std::rethrow_exception(failure);
    const std::lock_guard lock(mutex_);
    return prefilling_ || !running_.empty() || !waiting_.empty();
  }

  /// Number of requests that have a slot.
  int running() const {
    const std::lock_guard lock(mutex_);
    return int(running_.size()) + (prefilling_ ? 1 : 0);
  }
  /// Number of requests that wait for a slot.
  int waiting() const {
    const std::lock_guard lock(mutex_);
    return int(waiting_.size());
  }

  /// Sizes, with slot_tokens as it is used: from 1 to n_positions.
  const BatchGeneratorSettings& settings() const { return settings_; }
  /// Bytes of the KV cache.
  std::size_t bytes() const { return rows_.cache().bytes(); }
  /// Bytes of the KV cache of a generator of these sizes. Throws an Error for settings out of range.
  static std::size_t bytes(const Config& config, const BatchGeneratorSettings& settings = {}) {
    const BatchGeneratorSettings used = settings.for_model(config);
    const typename M::Layers layers(config);
    return KvCache<typename M::T, typename M::Memory>::bytes(layers.n_layer, used.slots, used.slot_tokens,
                                                             layers.cache_width());
  }

 private:
  using Completion = detail::Completion<typename M::Score>;
  struct Request {
    Request(GenerationRequest r, RequestCallbacks c) : request(std::move(r)), callbacks(std::move(c)) {}
    /// Returns whether this is the first call.
    bool cancel() { return !cancelled.exchange(true); }
    bool ended() const { return failed || cancelled || completion->finished(); }

    RequestId id = 0;
    GenerationRequest request;
    RequestCallbacks callbacks;
    std::optional<Completion> completion;  // set when the request gets a slot, since samplers take memory
    std::atomic<bool> cancelled = false;   // set by any thread
    bool failed = false;                   // a callback has thrown
    double ready = 0;                      // seconds_now() at the first logits
  };

  struct Stepping {  // ends the step when it goes out of scope
    std::atomic<bool>& flag;
    ~Stepping() { flag = false; }
  };

  /// Computes the logits of all running texts, unless a step that threw has left them.
  void decode() {
    if (!has_logits_ && !running_.empty()) {
      tokens_.clear(), pasts_.clear();
      for (std::size_t row = 0; row < running_.size(); ++row) {
        tokens_.push_back(running_[row]->completion->last_token());
        pasts_.push_back(int(cached_[row].size()));
      }
      rows_.step(tokens_, pasts_);
      for (std::size_t row = 0; row < running_.size(); ++row) {
        cached_[row].push_back(tokens_[row]);
        ++running_[row]->completion->result.decode_passes;
      }
    }
    has_logits_ = true;
  }

  /// Computes prompt tokens, up to prefill_chunk. A text whose prompt is complete joins the running ones.
  void prefill() {
    for (std::size_t budget = std::size_t(settings_.prefill_chunk); budget > 0 && (prefilling_ || admit());) {
      Completion& completion = *prefilling_->completion;
      std::vector<int>& cached = cached_[prefill_row_];
      const double start = seconds_now();
      const auto left = completion.prompt().subspan(cached.size());
      const auto part =
          left.first(std::min({left.size(), budget, std::size_t(prefilling_->request.options.prefill_chunk)}));
      const bool is_last = part.size() == left.size();
      rows_.prefill(int(prefill_row_), part, int(cached.size()), 0, is_last);
      cached.insert(cached.end(), part.begin(), part.end());
      budget -= part.size();
      prefilling_->ready = seconds_now();
      completion.result.prefill_seconds += prefilling_->ready - start;
      if (!is_last) continue;
      copy_text(prefill_row_, running_.size(), cached.size(), true);
      const std::lock_guard lock(mutex_);
      running_.push_back(std::move(prefilling_));
    }
  }

  /// Gives the first waiting request a slot, if there is one. Copies the longest prefix of its prompt that is in the
  /// cache, but for the last token, whose logits are required.
  bool admit() {
    {
      const std::lock_guard lock(mutex_);
      while (!prefilling_) {
        if (waiting_.empty() || running_.size() == cached_.size()) return false;
        Request& r = *waiting_.front();
        r.completion.emplace(r.request.prompt, r.request.options, rows_.model().config());
        (r.completion->finished() ? ended_.emplace_back() : prefilling_) = std::move(waiting_.front());
        waiting_.pop_front();
      }
    }
    const auto prompt = prefilling_->completion->prompt();
    const auto shared = [&](std::size_t row) {
      const std::vector<int>& tokens = cached_[row];
      return std::size_t(std::mismatch(prompt.begin(), prompt.end() - 1, tokens.begin(), tokens.end()).first -
                         prompt.begin());
    };
    prefill_row_ = running_.size();
    std::size_t from = prefill_row_, count = shared(from);
    for (std::size_t row = 0; row < cached_.size(); ++row)
      if (const std::size_t n = shared(row); n > count) from = row, count = n;
    copy_text(from, prefill_row_, count, false);
    prefilling_->completion->result.cached_tokens = int(count);
    return true;
  }

  /// Chooses the next token of each running text.
  void choose(std::exception_ptr& failure) {
    if constexpr (!OnHost<typename M::Backend>) {
      indices_.clear(), choices_.clear();
      for (std::size_t row = 0; row < running_.size(); ++row)
        if (running_[row]->completion->is_describable()) {
          indices_.push_back(int(row));
          choices_.push_back(running_[row]->completion->choice());
        }
      chosen_.resize(indices_.size());
      if (!indices_.empty()) rows_.choose(chosen_, indices_, choices_);
    }
    for (std::size_t row = 0, next = 0; row < running_.size(); ++row) {
      Request& r = *running_[row];
      const bool by_backend = !OnHost<typename M::Backend> && r.completion->is_describable();
      const int chosen = by_backend ? chosen_[next++] : 0;
      if (r.cancelled) continue;
      const auto callback = [&](int token) { return !r.callbacks.on_token || r.callbacks.on_token(r.id, token); };
      try {
        if (by_backend)
          r.completion->extend(chosen, callback);
        else
          r.completion->extend(rows_.logits(int(row)), callback);
      } catch (...) {
        r.failed = true;
        if (!failure) failure = std::current_exception();
      }
    }
    has_logits_ = false;
  }

  /// Takes ended requests out of their slots and the queue. Rows of running texts stay contiguous: the last one moves
  /// into a free one, which is far cheaper than passes over free rows.
  void remove_ended() {
    for (std::size_t row = running_.size(); row-- > 0;) {
      if (!running_[row]->ended()) continue;
      const std::size_t last = running_.size() - 1;
      if (row != last) copy_text(last, row, cached_[last].size(), has_logits_);
      const std::lock_guard lock(mutex_);
      std::swap(running_[row], running_[last]);
      ended_.push_back(std::move(running_.back()));
      running_.pop_back();
    }
    const std::lock_guard lock(mutex_);
    if (prefilling_ && prefilling_->ended()) ended_.push_back(std::move(prefilling_));
    const auto cancelled =
        std::stable_partition(waiting_.begin(), waiting_.end(), [](const auto& r) { return !r->cancelled; });
    std::move(cancelled, waiting_.end(), std::back_inserter(ended_));
    waiting_.erase(cancelled, waiting_.end());
  }

  /// Calls on_done of ended requests, in the order of add().
  void report(std::exception_ptr& failure) {
    std::ranges::sort(ended_, {}, [](const auto& r) { return r->id; });
    for (const auto& r : ended_) {
      if (r->failed || !r->callbacks.on_done) continue;
      try {
        r->callbacks.on_done(r->id, result_of(*r));
      } catch (...) {
        if (!failure) failure = std::current_exception();
      }
    }
    ended_.clear();
  }

  static GenerationResult result_of(Request& r) {
    if (r.completion) {
      if (r.cancelled) r.completion->cancel();
      return r.completion->take(r.ready > 0 ? r.ready : seconds_now());
    }
    GenerationResult result;
    result.stop = StopReason::cancelled;
    result.prompt_tokens = int(r.request.prompt.size());
    return result;
  }

  /// Copies the first `count` tokens of one row to another; keys and values only from the first token that differs.
  void copy_text(std::size_t from, std::size_t to, std::size_t count, bool with_logits) {
    const std::vector<int>& source = cached_[from];
    std::vector<int>& target = cached_[to];
    if (from != to) {
      const auto end = source.begin() + std::ptrdiff_t(count);
      const auto first = std::mismatch(source.begin(), end, target.begin(), target.end()).first;
      rows_.copy(int(from), int(to), int(first - source.begin()), int(count), with_logits);
      target.assign(source.begin(), end);
    }
    target.resize(count);
  }

  BatchGeneratorSettings settings_;
  CachedModel<M> rows_;
  std::vector<std::vector<int>> cached_;  // by row: tokens whose keys and values are in the cache, also of ended texts
  bool has_logits_ = false;               // whether the logits of the running texts' next tokens are in their rows
  std::size_t prefill_row_ = 0;           // row of prefilling_
  std::vector<std::unique_ptr<Request>> ended_;         // not yet reported
  std::vector<int> tokens_, pasts_, indices_, chosen_;  // by row: of a pass, and of a choice in device memory
  std::vector<TokenChoice> choices_;
  std::atomic<bool> stepping_ = false;
  mutable std::mutex mutex_;  // for the members below; step() alone changes the first two, and reads them without it
  std::vector<std::unique_ptr<Request>> running_;  // by row
  std::unique_ptr<Request> prefilling_;            // request whose prompt is being computed
  std::deque<std::unique_ptr<Request>> waiting_;
  RequestId last_id_ = 0;
};

}  // namespace moderngpt2
