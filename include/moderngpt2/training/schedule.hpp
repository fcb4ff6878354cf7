#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/deepspeed_schedule.hpp"

namespace moderngpt2 {

/// Supported values of lr_scheduler_type, with Hugging Face's names.
inline constexpr std::array<std::string_view, 9> schedule_names{"linear",
                                                                "cosine",
                                                                "cosine_with_restarts",
                                                                "cosine_with_min_lr",
                                                                "polynomial",
                                                                "constant",
                                                                "constant_with_warmup",
                                                                "inverse_sqrt",
                                                                "warmup_stable_decay"};

/// ceil(ratio * total), tolerant of rounding errors in the product.
inline std::int64_t warmup_steps_of_ratio(double ratio, std::int64_t total) {
  return static_cast<std::int64_t>(std::ceil(ratio * static_cast<double>(total) * (1 - 1e-12)));
}

/// Learning rate as a function of the step: Hugging Face's schedules, with their arguments and defaults. Threads:
/// several may read at once.
class LearningRateSchedule {
 public:
  /// `kwargs`: JSON object with the schedule's arguments. `base_rate`: peak learning rate. Accepts DeepSpeed's
  /// schedules too. Throws an Error that names an unknown schedule or argument, or an argument out of range.
  LearningRateSchedule(const std::string& name, const Json& kwargs, double base_rate, std::int64_t warmup_steps,
                       std::int64_t total_steps);

  /// Learning rate of step `step`, which counts from 0.
  double at(std::int64_t step) const {
    return deepspeed_ ? deepspeed_->at(step) : base_ * factor(static_cast<double>(step));
  }

 private:
  void read(const Json& kwargs);

  double factor(double step) const;

  double stable_factor(double step) const;

  /// Cosine from 1 at x = 0 to 0 at x = 1.
  static double half_cosine(double x) { return 0.5 * (1 + std::cos(std::numbers::pi * x)); }
  double above_least(double factor) const { return factor * (1 - least_) + least_; }

  std::optional<DeepSpeedSchedule> deepspeed_;
  std::string_view name_;
  double base_, warmup_, total_;
  double cycles_ = 0.5, end_rate_ = 0, power_ = 1, timescale_ = 1, least_ = 0, stable_ = 0, decay_ = 0;
  std::string warmup_type_ = "linear", decay_type_ = "cosine";
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE LearningRateSchedule::LearningRateSchedule(const std::string& name, const Json& kwargs,
                                                             double base_rate, std::int64_t warmup_steps,
                                                             std::int64_t total_steps)
    : base_(base_rate), warmup_(static_cast<double>(warmup_steps)), total_(static_cast<double>(total_steps)) {
  if (DeepSpeedSchedule::has(name)) {
    deepspeed_.emplace(name, kwargs, base_rate, warmup_steps, total_steps);
    return;
  }
  const auto found = std::find(schedule_names.begin(), schedule_names.end(), name);
  if (found == schedule_names.end())
    throw Error("lr_scheduler_type {} is unknown, known are {}", excerpt(name), fmt::join(schedule_names, ", "));
  name_ = *found;
  read(kwargs);
}

MODERNGPT2_INLINE void LearningRateSchedule::read(const Json& kwargs) {
  const std::string where = "lr_scheduler_kwargs";
  if (!kwargs.is_object()) throw Error("{}: must be a JSON object, such as {{\"num_cycles\": 2}}", where);
  std::string known;
  auto number = [&](const char* key, double otherwise) {
    known += std::string(known.empty() ? "" : ", ") + key;
    return get_optional_field<double>(kwargs, key, where).value_or(otherwise);
  };
  auto optional_number = [&](const char* key) {
    known += std::string(known.empty() ? "" : ", ") + key;
    return get_optional_field<double>(kwargs, key, where);
  };
  auto text = [&](const char* key, const std::string& otherwise) {
    known += std::string(known.empty() ? "" : ", ") + key;
    return get_optional_field<std::string>(kwargs, key, where).value_or(otherwise);
  };
  auto require_nonnegative = [&](const char* key, double value) {
    if (value < 0) throw Error("{}: {} is {}, it must not be negative", where, key, value);
  };
  if (name_ == "cosine" || name_ == "cosine_with_min_lr") cycles_ = number("num_cycles", 0.5);
  if (name_ == "cosine_with_restarts") cycles_ = number("num_cycles", 1);
  if (name_ == "polynomial") {
    end_rate_ = number("lr_end", 1e-7), power_ = number("power", 1);
    if (!(base_ > end_rate_))
      throw Error("{}: lr_end {} must be less than the learning rate {}", where, end_rate_, base_);
  }
  if (name_ == "inverse_sqrt") {
    timescale_ = number("timescale", warmup_ > 0 ? warmup_ : 10000);
    if (!(timescale_ > 0)) throw Error("{}: timescale is {}, it must be positive", where, timescale_);
  }
  if (name_ == "cosine_with_min_lr") {
    const std::optional<double> rate = optional_number("min_lr"), ratio = optional_number("min_lr_rate");
    if (rate.has_value() == ratio.has_value()) throw Error("{}: cosine_with_min_lr needs min_lr or min_lr_rate", where);
    require_nonnegative(rate ? "min_lr" : "min_lr_rate", rate ? *rate : *ratio);
    if (rate && !(base_ > 0)) throw Error("{}: min_lr needs a positive learning rate, use min_lr_rate", where);
    least_ = rate ? *rate / base_ : *ratio;
  }
  if (name_ == "warmup_stable_decay") {
    const std::optional<double> decay = optional_number("num_decay_steps");
    if (!decay) throw Error("{}: warmup_stable_decay needs num_decay_steps", where);
    require_nonnegative("num_decay_steps", decay_ = *decay);
    // Negative if the decay is longer than the rest of the run, which then begins within the decay.
    stable_ = number("num_stable_steps", total_ - warmup_ - decay_);
    require_nonnegative("min_lr_ratio", least_ = number("min_lr_ratio", 0));
    cycles_ = number("num_cycles", 0.5);
    warmup_type_ = text("warmup_type", "linear"), decay_type_ = text("decay_type", "cosine");
    for (const std::string& type : {warmup_type_, decay_type_})
      if (type != "linear" && type != "cosine" && type != "1-sqrt")
        throw Error("{}: {} is unknown, known are linear, cosine and 1-sqrt", where, excerpt(type));
  }
  for (const auto& [key, value] : kwargs.items())
    if ((", " + known + ",").find(", " + key + ",") == std::string::npos)
      throw Error("{}: {} has no argument {}{}{}", where, name_, excerpt(key), known.empty() ? "" : ", it has ", known);
}

MODERNGPT2_INLINE double LearningRateSchedule::factor(double step) const {
  if (name_ == "constant") return 1;
  if (name_ == "warmup_stable_decay") return stable_factor(step);
  if (step < warmup_) return step / std::max(1.0, warmup_);
  if (name_ == "constant_with_warmup") return 1;
  if (name_ == "inverse_sqrt") return 1 / std::sqrt((step + timescale_ - warmup_) / timescale_);
  if (name_ == "linear") return std::max(0.0, (total_ - step) / std::max(1.0, total_ - warmup_));
  if (name_ == "polynomial") {
    if (step > total_) return end_rate_ / base_;
    const double rest = 1 - (step - warmup_) / std::max(1.0, total_ - warmup_);
    return ((base_ - end_rate_) * std::pow(rest, power_) + end_rate_) / base_;
  }
  const double progress = (step - warmup_) / std::max(1.0, total_ - warmup_);
  if (name_ == "cosine_with_restarts")
    return progress >= 1 ? 0.0 : std::max(0.0, half_cosine(std::fmod(cycles_ * progress, 1.0)));
  return std::max(0.0, above_least(half_cosine(cycles_ * 2 * progress)));
}

MODERNGPT2_INLINE double LearningRateSchedule::stable_factor(double step) const {
  if (step < warmup_) {
    const double progress = step / std::max(1.0, warmup_);
    return std::max(0.0, above_least(warmup_type_ == "linear"   ? progress
                                     : warmup_type_ == "cosine" ? half_cosine(1 - progress)
                                                                : 1 - std::sqrt(1 - progress)));
  }
  if (step < warmup_ + stable_) return 1;
  if (step >= warmup_ + stable_ + decay_) return least_;
  const double progress = (step - warmup_ - stable_) / std::max(1.0, decay_);
  return std::max(0.0, above_least(decay_type_ == "linear"   ? 1 - progress
                                   : decay_type_ == "cosine" ? half_cosine(cycles_ * 2 * progress)
                                                             : 1 - std::sqrt(progress)));
}

}  // namespace moderngpt2

#endif
