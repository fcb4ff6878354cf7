#pragma once

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/training/accelerate_config.hpp"
#include "moderngpt2/training/deepspeed_settings.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// The flags and files of DeepSpeed and Accelerate.
class LauncherFlags {
 public:
  explicit LauncherFlags(Options& options) : options_(options) {
    options.section("Launchers");
    options.add("deepspeed", deepspeed_, "for DeepSpeed's sake: needs --deepspeed_config");
    options.add("deepspeed_config", deepspeed_config_, "DeepSpeed's JSON config; outranks defaults, not typed flags")
        .default_text("none");
    options.add("ds_config", ds_config_, "the same by another name").default_text("none");
    options.add("accelerate_config", accelerate_config_, "Accelerate's YAML: its mixed_precision").default_text("none");
    options.add("local_rank", local_rank_, "which process of this machine it is, as launchers pass it").at_least(-1);
  }
  LauncherFlags(const LauncherFlags&) = delete;
  LauncherFlags& operator=(const LauncherFlags&) = delete;

  /// Puts what the files say into the settings and says so on standard output. Returns the precision that they ask for,
  /// or else `precision`, which holds where one was typed. Throws UsageError for contradictions and an Error for bad
  /// files.
  PrecisionName apply(TrainingSettings& settings, PrecisionName precision) const {
    std::optional<std::string> typed;
    for (const char* flag : {"precision", "bf16", "fp16"})  // --tf32 goes with any
      if (options_.typed(flag)) typed = precision_name(precision);
    const std::optional<std::string> wish = apply(settings, typed);
    for (const PrecisionName name :
         {PrecisionName::fp32, PrecisionName::tf32, PrecisionName::bf16, PrecisionName::fp16})
      if (wish == precision_name(name)) return name;
    return precision;
  }

 private:
  std::optional<std::string> apply(TrainingSettings& settings, const std::optional<std::string>& precision) const {
    constexpr int ranks = 1;  // the only process
    if (local_rank_ > 0)
      throw UsageError("--local_rank {}: there are no runs of several processes yet, start one", local_rank_);
    if (deepspeed_config_ && ds_config_ && *deepspeed_config_ != *ds_config_)
      throw UsageError("--deepspeed_config {} and --ds_config {}: give one of them", deepspeed_config_->string(),
                       ds_config_->string());
    const auto& file = deepspeed_config_ ? deepspeed_config_ : ds_config_;
    if (deepspeed_ && !file) throw UsageError("--deepspeed needs --deepspeed_config FILE");
    const TypedFlags flags{[this](const std::string& flag) { return options_.typed(flag); }, precision};
    std::optional<std::string> wish;
    if (file) wish = tell(apply_deepspeed_config(read_deepspeed_config(*file), ranks, settings, flags));
    if (accelerate_config_) {
      const AccelerateConfig config = read_accelerate_config(*accelerate_config_);
      wish = tell(apply_accelerate_config(config, ranks, flags, wish));
    }
    return wish;
  }

  static std::optional<std::string> tell(const LauncherEffect& effect) {
    for (const std::string& line : effect.lines) std::printf("%s\n", line.c_str());
    return effect.precision;
  }

  Options& options_;
  bool deepspeed_ = false;
  std::optional<std::filesystem::path> deepspeed_config_, ds_config_, accelerate_config_;
  int local_rank_ = -1;
};

}  // namespace moderngpt2
