#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/generation/stop_rules.hpp"

namespace moderngpt2::detail {

/// Finished text of a beam search.
struct BeamHypothesis {
  std::vector<int> tokens;  // without eos
  std::optional<int> eos_token;
  double score = 0;
  std::optional<StopReason> stop{};  // empty: the longest text or the callback
};

/// Keeps the num_beams best finished texts, best first, and decides when the search ends (BeamHypotheses of
/// Transformers).
class BeamHypotheses {
 public:
  BeamHypotheses(const GenerationOptions& options, int max_new_tokens)
      : size_(std::size_t(options.num_beams)),
        length_penalty_(options.length_penalty),
        early_stopping_(options.early_stopping),
        max_new_tokens_(max_new_tokens) {}

  /// Score of a text of `length` new tokens, eos included.
  double score(double log_probability, int length) const {
    return log_probability / std::pow(double(length), length_penalty_);
  }

  /// Adds a text and keeps the num_beams best; among equal scores, the earlier ones.
  void add(BeamHypothesis hypothesis) {
    const auto place = std::find_if(kept_.begin(), kept_.end(),
                                    [&](const BeamHypothesis& other) { return other.score < hypothesis.score; });
    kept_.insert(place, std::move(hypothesis));
    if (kept_.size() > size_) kept_.pop_back();
  }

  /// Whether the search is complete, given the best running beam after `length` new tokens.
  bool done(double best_log_probability, int length) const {
    if (kept_.size() < size_) return false;
    if (early_stopping_ == EarlyStopping::at_once) return true;
    const bool longest = early_stopping_ == EarlyStopping::never && length_penalty_ > 0;
    return score(best_log_probability, longest ? max_new_tokens_ : length) <= kept_.back().score;
  }

  std::vector<BeamHypothesis>& kept() { return kept_; }

 private:
  std::vector<BeamHypothesis> kept_;
  std::size_t size_;
  double length_penalty_;
  EarlyStopping early_stopping_;
  int max_new_tokens_;
};

}  // namespace moderngpt2::detail
