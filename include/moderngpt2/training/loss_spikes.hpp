#pragma once

#include <algorithm>
#include <cmath>

namespace moderngpt2 {

/// Watches a loss for steps that stand out: more than 6 deviations and more than a tenth above the running mean of
/// the steps before, both exponential with a memory of about 50 steps. Only for people to see: nothing depends on it.
class LossSpikes {
 public:
  /// Whether this step's loss stands out. The first 50 steps of a process never do.
  bool add(double loss) {
    if (!std::isfinite(loss)) return false;
    const double above = loss - mean_;
    const bool spike = steps_ >= 50 && above > 6 * std::sqrt(variance_) && above > 0.1 * std::abs(mean_);
    ++steps_;
    const double share = std::max(1 / double(steps_), 0.02);
    last_mean_ = mean_;
    mean_ += share * above;
    variance_ = (1 - share) * (variance_ + share * above * above);
    return spike;
  }
  /// The running mean before the last step.
  double mean() const { return last_mean_; }

 private:
  double mean_ = 0, variance_ = 0, last_mean_ = 0;
  long steps_ = 0;
};

}  // namespace moderngpt2
