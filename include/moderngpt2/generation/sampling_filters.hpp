#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "moderngpt2/generation/entropy_filters.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"

namespace moderngpt2 {

/// Logits processors of sampling, in the order of Hugging Face's generate(): temperature, top_h, top_k, top_p, min_p,
/// typical_p, epsilon_cutoff, eta_cutoff. apply() allocates nothing. Threads: one at a time.
template <class T>
class SamplingFilters {
 public:
  /// `least`: minimum number of tokens that each filter but top_h keeps. `options` must outlive this object.
  SamplingFilters(const GenerationOptions& options, std::size_t vocab_size, std::size_t least = 1)
      : options_(&options), least_(least), values_(vocab_size), order_(vocab_size) {}

  /// Applies the filters to logits (V), one of which is finite.
  void apply(std::span<T> logits) {
    const GenerationOptions& o = *options_;
    if (o.temperature != 1) apply_temperature(logits, o.temperature);
    if (o.top_h) keep_top_h<T>(logits, *o.top_h, order_);
    if (o.top_k > 0) keep_top_k<T>(logits, std::max(o.top_k, int(least_)), values_);
    if (o.top_p < 1) keep_top_p<T>(logits, o.top_p, order_, least_);
    if (o.min_p > 0) keep_min_p<T>(logits, o.min_p, least_, values_);
    if (o.typical_p < 1) keep_typical<T>(logits, o.typical_p, least_, values_, order_);
    if (o.epsilon_cutoff > 0 && o.epsilon_cutoff < 1) keep_epsilon<T>(logits, o.epsilon_cutoff, least_, values_);
    if (o.eta_cutoff > 0 && o.eta_cutoff < 1) keep_eta<T>(logits, o.eta_cutoff, least_, values_);
  }

 private:
  const GenerationOptions* options_;
  std::size_t least_;
  std::vector<T> values_;   // scratch (V)
  std::vector<int> order_;  // scratch (V)
};

}  // namespace moderngpt2
