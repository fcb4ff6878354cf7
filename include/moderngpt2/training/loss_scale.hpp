#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Loss scaling of fp16 training, with DeepSpeed's names.
struct LossScaling {
  double loss_scale = 0;      ///< fixed scale; 0: dynamic, starting at 2^initial_scale_power
  double min_loss_scale = 1;  ///< minimum of a dynamic scale
  std::int64_t initial_scale_power = 16;
  std::int64_t loss_scale_window = 1000;  ///< steps without overflow after which the scale doubles
  std::int64_t hysteresis = 2;            ///< number of overflows before the scale is halved
  bool consecutive_hysteresis =
      false;  ///< reset the overflow count after each step without overflow, not after each window

  bool operator==(const LossScaling&) const = default;
};

/// Names each member once, by its key in the section fp16 of a DeepSpeed config (see config/field.hpp).
template <DescribedAs<LossScaling> S, class Visitor>
void describe(S& s, Visitor&& visit) {
  visit(s.loss_scale, {.name = "loss_scale", .at_least = 0, .in_summary = true});
  visit(s.min_loss_scale, {.name = "min_loss_scale", .at_least = 0, .in_summary = true});
  visit(s.initial_scale_power, {.name = "initial_scale_power", .in_summary = true});
  visit(s.loss_scale_window, {.name = "loss_scale_window", .at_least = 1, .in_summary = true});
  visit(s.hysteresis, {.name = "hysteresis", .at_least = 1, .in_summary = true});
  visit(s.consecutive_hysteresis, {.name = "consecutive_hysteresis", .in_summary = true});
}

inline std::string loss_scaling_text(const LossScaling& s) {
  if (s.loss_scale > 0) return fmt::format("{}", s.loss_scale);
  return fmt::format("dynamic from 2^{}, at least {}, doubled after {} steps, halved by overflow {}{}",
                     s.initial_scale_power, s.min_loss_scale, s.loss_scale_window, s.hysteresis,
                     s.consecutive_hysteresis ? " in a row" : "");
}

/// Loss scale of a run (Micikevicius et al. 2018), updated by DeepSpeed's rules (runtime/fp16/loss_scaler.py). Threads:
/// one at a time.
class LossScale {
 public:
  /// Scale and counters, as stored in checkpoints.
  struct State {
    double scale = 1;
    std::int64_t good_steps = 0;      ///< since the last overflow or doubling
    std::int64_t overflows_left = 1;  ///< the overflow that finds 1 here halves the scale
  };

  /// Throws an Error if initial_scale_power is out of range.
  explicit LossScale(const LossScaling& settings) : settings_(settings) {
    const bool fixed = settings.loss_scale > 0;
    if (!fixed && (settings.initial_scale_power < 0 || settings.initial_scale_power > 100))
      throw Error("fp16.initial_scale_power is {}, it must be from 0 to 100", settings.initial_scale_power);
    state_ = {fixed ? settings.loss_scale : std::ldexp(1.0, int(settings.initial_scale_power)), 0, settings.hysteresis};
  }

  double value() const { return state_.scale; }
  const State& state() const { return state_; }
  void resume(const State& state) {
    if (settings_.loss_scale <= 0) state_ = state;
  }
  /// Whether further overflows can still reduce the scale.
  bool can_shrink() const { return settings_.loss_scale <= 0 && state_.scale > settings_.min_loss_scale; }

  /// Updates the scale after a step.
  void update(bool overflow) {
    if (settings_.loss_scale > 0) return;
    if (overflow) {
      state_.good_steps = 0;
      if (state_.overflows_left > 1)
        --state_.overflows_left;
      else
        state_.scale = std::max(state_.scale / 2, settings_.min_loss_scale);
      return;
    }
    const bool grows = ++state_.good_steps == settings_.loss_scale_window;
    if (grows) state_.scale *= 2, state_.good_steps = 0;
    if (grows || settings_.consecutive_hysteresis) state_.overflows_left = settings_.hysteresis;
  }

 private:
  LossScaling settings_;
  State state_;
};

}  // namespace moderngpt2
