#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/clock.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/beam_candidates.hpp"
#include "moderngpt2/generation/beam_hypotheses.hpp"
#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/generation/completion.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/sampling_filters.hpp"
#include "moderngpt2/generation/stop_rules.hpp"
#include "moderngpt2/generation/text_rules.hpp"

namespace moderngpt2 {

namespace detail {

/// Assigns beams to rows of the KV cache. The first child of a beam stays in its row; each further child takes the row
/// of a dropped beam, and only the tokens after the common prefix are copied. Since beams have recent common ancestors,
/// a step copies a few columns, not whole rows.
template <class M>
class BeamRows {
 public:
  BeamRows(CachedModel<M>& rows, std::size_t prompt_tokens) : rows_(rows), text_(std::size_t(rows.rows())) {
    text_[0].resize(prompt_tokens);
  }

  /// Returns the row of each of the next beams, given the rows of their parents (with repetitions).
  std::vector<int> assign(std::span<const int> parents) {
    std::vector<char> taken(text_.size());
    std::vector<int> row(parents.size(), -1);
    for (std::size_t i = 0; i < parents.size(); ++i) {
      if (taken[std::size_t(parents[i])]) continue;
      taken[std::size_t(parents[i])] = 1;
      row[i] = parents[i];
    }
    for (std::size_t i = 0, free = 0; i < parents.size(); ++i) {
      if (row[i] >= 0) continue;
      while (taken[free]) ++free;
      taken[free] = 1;
      row[i] = int(free);
      fork(parents[i], row[i]);
    }
    return row;
  }

  /// Records the next token of a row.
  void append(int row, int token) { text_[std::size_t(row)].push_back(token); }

  /// Columns copied so far.
  long copied() const { return copied_; }

 private:
  void fork(int from, int to) {
    const std::vector<int>& source = text_[std::size_t(from)];
    std::vector<int>& target = text_[std::size_t(to)];
    const auto [differs, ignored] = std::mismatch(source.begin(), source.end(), target.begin(), target.end());
    const int common = int(differs - source.begin());
    rows_.copy(from, to, common, int(source.size()), false);
    copied_ += long(source.size()) - common;
    target = source;
  }

  CachedModel<M>& rows_;
  std::vector<std::vector<int>> text_;  // by row: cached tokens, 0 for those of the prompt
  long copied_ = 0;
};

/// A running beam.
struct Beam {
  std::vector<int> text;  // prompt and completion
  double score = 0;       // log-probability of the completion
  int row = 0;
};

/// Beam search or beam sampling (options.do_sample) for one prompt.
template <class M>
class BeamSearch {
 public:
  using T = typename M::Score;

  BeamSearch(const M& model, CachedModel<M>& rows, std::span<const int> prompt, const GenerationOptions& options)
      : options_(options),
        rows_(rows),
        prompt_(prompt_or_eos(prompt, options.eos_token_ids)),
        room_(max_new_tokens_after(prompt_.size(), model.config())),
        limit_(std::min(room_, options.max_new_tokens)),
        rules_(options_, model.config().vocab_size),
        stops_(options_),
        hypotheses_(options_, limit_) {
    // Enough tokens of each beam that one of them continues the text.
    if (options_.do_sample)
      filters_.emplace(options_, std::size_t(model.config().vocab_size), options_.eos_token_ids.size() + 1);
  }
  BeamSearch(const BeamSearch&) = delete;  // rules refer to options_
  BeamSearch& operator=(const BeamSearch&) = delete;

  template <class Callback>
  std::vector<GenerationResult> run(int num_return_sequences, Callback&& callback) {
    const double start = seconds_now();
    double ready = start;
    if (limit_ > 0) {
      rows_.prefill(0, prompt_, 0);
      ready = seconds_now();
      search(callback);
      if (hypotheses_.kept().empty()) throw_no_token_left(options_);
    } else {
      hypotheses_.kept().resize(std::size_t(num_return_sequences));
    }
    std::vector<GenerationResult> results;
    for (BeamHypothesis& hypothesis : hypotheses_.kept()) {
      if (results.size() == std::size_t(num_return_sequences)) break;
      GenerationResult& result = results.emplace_back();
      result.stop = hypothesis.stop                   ? *hypothesis.stop
                    : stopped_                        ? StopReason::callback
                    : room_ < options_.max_new_tokens ? StopReason::n_positions
                                                      : StopReason::max_new_tokens;
      result.tokens = std::move(hypothesis.tokens);
      result.eos_token = hypothesis.eos_token;
      result.score = hypothesis.score;
      result.prompt_tokens = int(prompt_.size());
      result.decode_passes = passes_;
      result.prefill_seconds = ready - start;
      result.decode_seconds = seconds_now() - ready;
    }
    return results;
  }

 private:
  bool is_eos(int token) const {
    return std::ranges::find(options_.eos_token_ids, token) != options_.eos_token_ids.end();
  }

  template <class Callback>
  void search(Callback&& callback) {
    const std::size_t beams = std::size_t(options_.num_beams);
    // Enough that num_beams candidates remain if all others end with an eos token.
    BestCandidates best(beams * std::max<std::size_t>(2, 1 + options_.eos_token_ids.size()));
    BeamRows<M> held(rows_, prompt_.size());
    running_ = {{prompt_, 0.0, 0}};
    for (int length = 1; length <= limit_; ++length) {
      if (options_.do_sample)
        best.sample_with(random_key(options_.seed, RandomUse::sampling, std::uint64_t(length - 1), options_.sequence));
      for (std::size_t i = 0; i < running_.size(); ++i) {
        const Beam& beam = running_[i];
        const std::span<T> scores = rows_.logits(beam.row);
        process(scores, beam.text, std::size_t(length - 1));
        best.offer(int(i), beam.score, std::span<const T>(scores));
      }
      advance(best.take(), length, held);
      if (running_.empty()) return;
      if (hypotheses_.done(running_.front().score, length)) return;
      if (!callback(length)) {
        stopped_ = true;
        for (Beam& beam : running_) keep(beam, length);
        return;
      }
      step(length, held);
    }
  }

  /// Turns the logits of a beam's next token into log-probabilities and applies the options to them.
  void process(std::span<T> scores, const std::vector<int>& text, std::size_t new_tokens) {
    if (!options_.remove_invalid_values) require_finite(std::span<const T>(scores));
    apply_log_softmax(scores);
    rules_.apply(scores, text, new_tokens);
    if (*std::max_element(scores.begin(), scores.end()) == removed_logit<T>) return;
    if (filters_) filters_->apply(scores);
    if (options_.renormalize_logits) apply_log_softmax(scores);
  }

  /// Divides the candidates into finished texts and the next running beams.
  void advance(const std::vector<BeamCandidate>& candidates, int length, BeamRows<M>& held) {
    std::vector<Beam> next;
    std::vector<int> parents;
    const bool is_last = length == limit_ || stops_.is_time_over();
    const std::size_t beams = std::size_t(options_.num_beams);
    for (std::size_t rank = 0; rank < candidates.size() && next.size() < beams; ++rank) {
      const BeamCandidate& candidate = candidates[rank];
      const Beam& parent = running_[std::size_t(candidate.beam)];
      Beam child{parent.text, candidate.score, parent.row};
      child.text.push_back(candidate.token);
      const std::optional<StopReason> stop = reason_to_stop(child.text);
      if (stop || is_last) {
        // Candidates after the first num_beams only keep beams running, as in Transformers.
        if (rank < beams) keep(child, length, stop || length == limit_ ? stop : std::optional(StopReason::max_time));
        continue;
      }
      parents.push_back(parent.row);
      next.push_back(std::move(child));
    }
    const std::vector<int> rows = held.assign(parents);
    for (std::size_t i = 0; i < next.size(); ++i) next[i].row = rows[i];
    running_ = std::move(next);
  }

  std::optional<StopReason> reason_to_stop(const std::vector<int>& text) const {
    if (is_eos(text.back())) return StopReason::eos;
    if (stops_.has_stop_string(text)) return StopReason::stop_string;
    return std::nullopt;
  }

  void keep(const Beam& beam, int length, std::optional<StopReason> stop = std::nullopt) {
    BeamHypothesis kept{{beam.text.begin() + std::ptrdiff_t(prompt_.size()), beam.text.end()},
                        std::nullopt,
                        hypotheses_.score(beam.score, length),
                        stop};
    if (stop == StopReason::eos) {
      kept.eos_token = kept.tokens.back();
      kept.tokens.pop_back();
    }
    hypotheses_.add(std::move(kept));
  }

  /// Runs a pass over the last token of each beam, its `length`-th new one. Rows without a beam get a dummy token.
  void step(int length, BeamRows<M>& held) {
    int rows = 0;
    for (const Beam& beam : running_) rows = std::max(rows, beam.row + 1);
    std::vector<int> tokens(std::size_t(rows), prompt_.front());
    for (const Beam& beam : running_) {
      tokens[std::size_t(beam.row)] = beam.text.back();
      held.append(beam.row, beam.text.back());
    }
    rows_.step(tokens, int(prompt_.size()) + length - 1);
    ++passes_;
  }

  GenerationOptions options_;
  CachedModel<M>& rows_;
  std::vector<int> prompt_;
  int room_, limit_;
  TextRules<T> rules_;
  StopRules stops_;
  std::optional<SamplingFilters<T>> filters_;  // sampling
  BeamHypotheses hypotheses_;
  std::vector<Beam> running_;  // best first
  int passes_ = 0;
  bool stopped_ = false;
};

template <class M, class Callback>
std::vector<GenerationResult> run_beams(const M& model, std::span<const int> prompt, const GenerationOptions& options,
                                        int num_return_sequences, Callback&& callback,
                                        std::optional<typename M::Backend>&& context) {
  validate(options, options.do_sample);
  if (num_return_sequences < 1 || num_return_sequences > options.num_beams)
    throw Error("num_return_sequences is {}, it must be between 1 and num_beams {}", num_return_sequences,
                options.num_beams);
  const std::int64_t length = std::max<std::int64_t>(std::int64_t(prompt.size()), 1);
  const auto use = model.shared_use();
  CachedModel<M> rows(model, options.num_beams, length + options.max_new_tokens,
                      int(std::min<std::int64_t>(length, options.prefill_chunk)), std::move(context));
  return BeamSearch<M>(model, rows, prompt, options).run(num_return_sequences, callback);
}

}  // namespace detail

/// Beam search with the rules of Hugging Face's generate() (num_beams without do_sample; options.do_sample is ignored).
/// Returns the best completions of a prompt, best first: `num_return_sequences` of them, or fewer if the search finds
/// fewer. Logits processors apply to log-probabilities; a text that ends is kept if it is among the first num_beams
/// candidates of its step. `callback(n)` is called after each step, with the number n of new tokens, and returns
/// whether to continue; if not, the running beams are the results. `context`: as for Generator. Throws an Error for a
/// prompt longer than n_positions or options out of range. Several threads may call it with one model at once.
template <class M, class Callback>
std::vector<GenerationResult> beam_search(const M& model, std::span<const int> prompt, GenerationOptions options,
                                          int num_return_sequences, Callback&& callback,
                                          std::optional<typename M::Backend>&& context = {}) {
  options.do_sample = false;
  return detail::run_beams(model, prompt, options, num_return_sequences, callback, std::move(context));
}

template <class M>
std::vector<GenerationResult> beam_search(const M& model, std::span<const int> prompt, const GenerationOptions& options,
                                          int num_return_sequences = 1) {
  return beam_search(model, prompt, options, num_return_sequences, [](int) { return true; });
}

/// Beam sampling with the rules of Hugging Face's generate() (num_beams with do_sample): like beam_search(), but the
/// continuations of a step are drawn without replacement, with the probabilities that the sampling options leave.
template <class M, class Callback>
std::vector<GenerationResult> beam_sample(const M& model, std::span<const int> prompt, GenerationOptions options,
                                          int num_return_sequences, Callback&& callback,
                                          std::optional<typename M::Backend>&& context = {}) {
  options.do_sample = true;
  return detail::run_beams(model, prompt, options, num_return_sequences, callback, std::move(context));
}

template <class M>
std::vector<GenerationResult> beam_sample(const M& model, std::span<const int> prompt, const GenerationOptions& options,
                                          int num_return_sequences = 1) {
  return beam_sample(model, prompt, options, num_return_sequences, [](int) { return true; });
}

}  // namespace moderngpt2
