#pragma once

#include <algorithm>
#include <cmath>

namespace moderngpt2 {

/// Detects steps whose loss exceeds the running mean by more than 6 standard deviations and by more than 10%. Mean and
/// variance are exponential averages over about 50 steps. For warnings and verification (StepVerifier): no weights
/// depend on it. Threads: one at a time.
class LossSpikes {
 public:
  /// Whether a step's loss is a spike. The first 50 steps of a process never are.
  bool is_spike(double loss) const {
    const double above = loss - mean_;
    return steps_ >= 50 && above > 6 * std::sqrt(variance_) && above > 0.1 * std::abs(mean_);
  }
  /// Adds a step's loss and returns whether it is a spike.
  bool add(double loss) {
    if (!std::isfinite(loss)) return false;
    const bool spike = is_spike(loss);
    const double above = loss - mean_;
    ++steps_;
    const double share = std::max(1 / double(steps_), 0.02);
    last_mean_ = mean_;
    mean_ += share * above;
    variance_ = (1 - share) * (variance_ + share * above * above);
    return spike;
  }
  /// Running mean before the last step.
  double mean() const { return last_mean_; }

 private:
  double mean_ = 0, variance_ = 0, last_mean_ = 0;
  long steps_ = 0;
};

}  // namespace moderngpt2
