#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Supported values of scheduler.type in a DeepSpeed config.
inline constexpr std::array<std::string_view, 3> deepspeed_schedule_names{"WarmupLR", "WarmupDecayLR",
                                                                          "WarmupCosineLR"};

/// Learning-rate schedules of DeepSpeed (runtime/lr_schedules.py): logarithmic or linear warm-up, then a constant rate,
/// linear decay to 0, or a cosine, which ends at total_num_steps. DeepSpeed counts iterations from -1: step 0 has the
/// minimum rate (WarmupCosineLR: 0), and step s > 0 the rate of iteration s - 1. Threads: several may read at once.
class DeepSpeedSchedule {
 public:
  static bool has(std::string_view name) {
    return std::find(deepspeed_schedule_names.begin(), deepspeed_schedule_names.end(), name) !=
           deepspeed_schedule_names.end();
  }

  /// `kwargs`: scheduler.params, a JSON object with DeepSpeed's names. `base_rate`: maximum learning rate. Throws an
  /// Error for an unknown warmup_type.
  DeepSpeedSchedule(std::string_view name, const Json& kwargs, double base_rate, std::int64_t warmup_steps,
                    std::int64_t total_steps)
      : decays_(name == "WarmupDecayLR"), cosine_(name == "WarmupCosineLR"), base_(base_rate) {
    const std::string where = "scheduler.params";
    warmup_ = static_cast<double>(std::max<std::int64_t>(2, warmup_steps));
    total_ =
        static_cast<double>(get_optional_field<std::int64_t>(kwargs, "total_num_steps", where).value_or(total_steps));
    const std::string type = get_optional_field<std::string>(kwargs, "warmup_type", where).value_or("log");
    if (type != "log" && type != "linear")
      throw Error("{}: warmup_type is {}, known are log and linear", where, excerpt(type));
    linear_ = type == "linear";
    if (cosine_) {
      least_ = get_optional_field<double>(kwargs, "warmup_min_ratio", where).value_or(0) * base_;
      cosine_least_ = get_optional_field<double>(kwargs, "cos_min_ratio", where).value_or(1e-4);
    } else {
      least_ = get_optional_field<double>(kwargs, "warmup_min_lr", where).value_or(0);
    }
  }

  /// Learning rate of step `step`, which counts from 0.
  double at(std::int64_t step) const {
    const double i = static_cast<double>(step) - 1;
    if (i < 0) return cosine_ ? 0 : least_;
    if (i < warmup_) {
      const double part = linear_ ? i / warmup_ : std::log(i + 1) / std::log(warmup_);
      return least_ + (base_ - least_) * part;
    }
    if (decays_) return least_ + (base_ - least_) * std::max(0.0, (total_ - i) / std::max(1.0, total_ - warmup_));
    if (!cosine_) return base_;
    const double progress = std::min(1.0, (i - warmup_ + 1) / std::max(1.0, total_ - warmup_));
    const double height = (1 + std::cos(std::numbers::pi * progress)) / 2;
    return base_ * std::max(0.0, cosine_least_ + (1 - cosine_least_) * height);
  }

 private:
  bool decays_, cosine_, linear_ = false;
  double base_, warmup_ = 2, total_ = 0, least_ = 0, cosine_least_ = 0;
};

}  // namespace moderngpt2
