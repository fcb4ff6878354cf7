#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/run/deepspeed_config.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Flags given on the command line, which a launcher's config file must not contradict.
struct TypedFlags {
  std::function<bool(const std::string& flag)> typed;  ///< whether a flag was given
  std::optional<std::string> precision{};              ///< value of --precision or its short forms, if given
};

/// Effect of a launcher's config file (DeepSpeed, Accelerate) on a run, in addition to the changed settings.
struct LauncherEffect {
  std::optional<std::string> precision{};  ///< requested by the file; empty: that of the flags
  std::vector<std::string> lines{};        ///< messages to print
};

namespace detail {

/// Copies values of a launcher's config file to settings, and collects contradictions with flags on the command line.
class SettingsFromFile {
 public:
  SettingsFromFile(const std::string& where, const TypedFlags& flags) : where_(where), flags_(flags) {}

  /// Copies the value of `field` to `target`, the setting of --`flag`.
  template <class Value, class Target>
  void set(const std::string& field, const std::optional<Value>& value, Target& target, const char* flag) {
    if (!value || static_cast<Value>(target) == *value) return;
    if (flags_.typed(flag)) return contradict(fmt::format("{} is {}, --{} {}", field, *value, flag, target));
    changed_.push_back(fmt::format("{} {}", flag, *value));
    target = static_cast<Target>(*value);
  }
  /// Copies a value to `target`, a setting without a flag, called `name` in messages.
  template <class Value>
  void set_unflagged(const char* name, const std::optional<Value>& value, Value& target) {
    if (!value || target == *value) return;
    changed_.push_back(fmt::format("{} {}", name, *value));
    target = *value;
  }
  /// Adds a contradiction if --`flag`, which sets the same thing as `field` in another way, is given.
  void exclude(const std::string& field, const char* flag) {
    if (flags_.typed(flag)) contradict(fmt::format("{} and --{}", field, flag));
  }
  void contradict(std::string what) { contradictions_.push_back(std::move(what)); }

  /// One line about the changed settings; empty if none changed. Throws UsageError with all contradictions.
  std::string finish() const;

 private:
  const std::string& where_;
  const TypedFlags& flags_;
  std::vector<std::string> changed_, contradictions_;
};

std::string number_or_n(const std::optional<std::int64_t>& number);

/// Sets the batch sizes: train = micro x accumulation x ranks. Two of the file's fields determine the third; flags
/// supply the rest.
void set_batch(const DeepSpeedConfig& config, int ranks, TrainingSettings& s, const TypedFlags& flags,
               SettingsFromFile& from);

void set_schedule(const DeepSpeedConfig& config, TrainingSettings& s, SettingsFromFile& from);

/// Sets the ZeRO stage from `field` of a file. With one process, adds a line that it has no effect.
void set_zero_stage(const std::string& field, const std::optional<int>& stage, int ranks, TrainingSettings& s,
                    LauncherEffect& effect, SettingsFromFile& from);

}  // namespace detail

/// Precision that a file requests, if any. Adds contradictions with the precision of the flags to `from`.
std::optional<std::string> wished_precision(const DeepSpeedConfig& config, const TypedFlags& flags,
                                            detail::SettingsFromFile& from);

/// Applies a DeepSpeed config to the settings of a run of `ranks` processes. Throws UsageError if it contradicts given
/// flags, and an Error if its batch sizes contradict each other.
LauncherEffect apply_deepspeed_config(const DeepSpeedConfig& config, int ranks, TrainingSettings& s,
                                      const TypedFlags& flags);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string number_or_n(const std::optional<std::int64_t>& number) {
  return number ? fmt::format("{}", *number) : "n";
}

MODERNGPT2_INLINE void set_batch(const DeepSpeedConfig& config, int ranks, TrainingSettings& s, const TypedFlags& flags,
                                 SettingsFromFile& from) {
  std::optional<std::int64_t> micro = config.train_micro_batch_size_per_gpu,
                              accumulation = config.gradient_accumulation_steps;
  const char *micro_flag = "per_device_train_batch_size", *accumulation_flag = "gradient_accumulation_steps";
  const auto check_sizes = [&] {  // products of them, below, stay far from overflow
    for (const auto& size : {micro, accumulation})
      if (size > std::int64_t{1} << 30) throw Error("{}: a batch size of {} is too large", config.where, *size);
    const double sequences = double(micro.value_or(1)) * double(accumulation.value_or(1)) * double(ranks);
    if (sequences > 1e15)
      throw Error("{}: {} a device x {} accumulated x {} processes is {} sequences a step, it must be at most 1e15",
                  config.where, number_or_n(micro), number_or_n(accumulation), ranks, sequences);
  };
  check_sizes();
  if (const auto train = config.train_batch_size) {
    if (!micro && !accumulation) {
      if (flags.typed(micro_flag)) micro = s.per_device_train_batch_size;
      if (flags.typed(accumulation_flag)) accumulation = s.gradient_accumulation_steps;
      if (!micro && !accumulation) accumulation = 1;  // default of DeepSpeed
    }
    std::optional<std::int64_t>& open = micro ? accumulation : micro;
    const std::int64_t rest = micro.value_or(1) * accumulation.value_or(1) * ranks;
    if (!open && *train % rest == 0) open = *train / rest;
    if (!micro || !accumulation || *micro * *accumulation * ranks != *train)
      throw Error("{}: train_batch_size is {}, but {} a device x {} accumulated x {} {} = {}", config.where, *train,
                  number_or_n(micro), number_or_n(accumulation), ranks, ranks == 1 ? "process" : "processes",
                  micro && accumulation ? fmt::format("{}", rest) : fmt::format("{} n", rest));
  }
  check_sizes();
  from.set("train_micro_batch_size_per_gpu", micro, s.per_device_train_batch_size, micro_flag);
  from.set("gradient_accumulation_steps", accumulation, s.gradient_accumulation_steps, accumulation_flag);
}

MODERNGPT2_INLINE void set_schedule(const DeepSpeedConfig& config, TrainingSettings& s, SettingsFromFile& from) {
  if (config.scheduler.empty()) return;
  from.exclude("scheduler", "lr_scheduler_kwargs");
  from.set("scheduler.type", std::optional(config.scheduler), s.lr_scheduler_type, "lr_scheduler_type");
  Json kwargs = config.scheduler_kwargs;
  if (config.warmup_num_steps) {
    from.exclude("scheduler.params.warmup_num_steps", "warmup_ratio");
    std::int64_t steps = s.warmup_steps.value_or(-1);
    from.set("scheduler.params.warmup_num_steps", config.warmup_num_steps, steps, "warmup_steps");
    s.warmup_steps = steps;
  }
  if (const auto total = config.total_num_steps) {
    if (s.max_steps > 0 && s.max_steps != *total)
      from.contradict(fmt::format("scheduler.params.total_num_steps is {}, --max_steps {}", *total, s.max_steps));
    kwargs["total_num_steps"] = *total;
  }
  s.lr_scheduler_kwargs = kwargs.empty() ? "" : kwargs.dump();
}

MODERNGPT2_INLINE void set_zero_stage(const std::string& field, const std::optional<int>& stage, int ranks,
                                      TrainingSettings& s, LauncherEffect& effect, SettingsFromFile& from) {
  if (ranks > 1)
    from.set(field, stage, s.zero_stage, "zero_stage");
  else if (stage > 0)
    effect.lines.push_back(fmt::format("ZeRO stage {}: one process, there is nothing to shard", *stage));
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::optional<std::string> wished_precision(const DeepSpeedConfig& config, const TypedFlags& flags,
                                                              detail::SettingsFromFile& from) {
  std::optional<std::string> wish;
  for (const auto& [name, enabled] : {std::pair("fp16", config.fp16), std::pair("bf16", config.bf16)}) {
    if (enabled == true) wish = name;
    const bool typed_it = flags.precision == name;
    if (flags.precision && enabled && *enabled != typed_it && (*enabled || typed_it))
      from.contradict(fmt::format("{}.enabled is {}, --precision {}", name, *enabled, *flags.precision));
  }
  return wish;
}

MODERNGPT2_INLINE LauncherEffect apply_deepspeed_config(const DeepSpeedConfig& config, int ranks, TrainingSettings& s,
                                                        const TypedFlags& flags) {
  LauncherEffect effect;
  detail::SettingsFromFile from(config.where, flags);
  detail::set_batch(config, ranks, s, flags, from);
  describe(config, [&]<class T>(const T& value, const Field& field, const InDeepSpeed& rules) {
    if (rules.setting.empty()) return;
    describe(s, [&]<class Target>(Target& target, const Field& setting) {
      if constexpr (std::is_same_v<T, std::optional<Target>>)
        if (rules.setting == setting.name)
          from.set(field.section + std::string(field.name), value, target, setting.name);
    });
  });
  detail::set_schedule(config, s, from);
  detail::set_zero_stage("zero_optimization.stage", config.zero.stage, ranks, s, effect, from);
  if (ranks > 1 && config.zero.stage != 3)
    from.set_unflagged("reduce_bucket_size", config.zero.reduce_bucket_size, s.bucket_elements);
  effect.precision = wished_precision(config, flags, from);
  s.loss_scaling = config.loss_scaling;
  if (const std::string changes = from.finish(); !changes.empty()) effect.lines.push_back(changes);
  if (!config.decoupled_weight_decay && s.weight_decay != 0)
    throw Error(
        "{}: optimizer.params.adam_w_mode is false: Adam with L2 regularization is not supported, set it to true or "
        "weight_decay to 0",
        config.where);
  if (!config.ignored.empty()) effect.lines.push_back(detail::not_honoured_text(config.where, config.ignored));
  return effect;
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string SettingsFromFile::finish() const {
  if (!contradictions_.empty())
    throw UsageError(
        "{} and the command line contradict each other: {}: leave one of the two out (\"auto\" in the file)", where_,
        fmt::join(contradictions_, "; "));
  return changed_.empty() ? "" : fmt::format("{} sets {}", where_, fmt::join(changed_, ", "));
}

}  // namespace moderngpt2::detail

#endif
