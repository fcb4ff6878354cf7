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
    options.add("deepspeed_config", deepspeed_config_, "DeepSpeed's JSON config; outranks defaults, not typed flags");
    options.add("ds_config", ds_config_, "the same");
    options.add("deepspeed", deepspeed_, "the same; without a file it needs --deepspeed_config").bare("");
    options.add("accelerate_config", accelerate_config_, "Accelerate's YAML: its mixed_precision");
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
    std::optional<std::filesystem::path> file;
    for (const auto& named : {deepspeed_config_, ds_config_, deepspeed_}) {
      if (!named || named->empty()) continue;
      if (file && *file != *named)
        throw UsageError("{} and {} are both named as DeepSpeed's config: give one", file->string(), named->string());
      file = named;
    }
    if (deepspeed_ && !file) throw UsageError("--deepspeed needs a file, or --deepspeed_config FILE");
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
  std::optional<std::filesystem::path> deepspeed_config_, ds_config_, deepspeed_, accelerate_config_;
  int local_rank_ = -1;
};

}  // namespace moderngpt2
