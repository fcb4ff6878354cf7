#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/cli/trace_file.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/run/accelerate_config.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2 {

/// Flags of runs of several processes, and of the configs of DeepSpeed and Accelerate.
class LauncherFlags {
 public:
  explicit LauncherFlags(Options& options) : options_(options) {
    options.section("Several processes");
    options
        .add("collective_timeout", collective_timeout_,
             "Timeout of a collective operation in seconds. Ends the run and names the rank that is missing.")
        .more_than(0);
    options.add("trace", trace_, "Write a timeline of each rank for chrome://tracing or Perfetto to this file.");
    options.add("world_size", world_size_, "Number of processes that --dry_run plans for.")
        .at_least(1)
        .default_text("the number of running processes");
    options.section("Launchers");
    options.add("deepspeed_config", deepspeed_config_, "DeepSpeed config (JSON). Overrides defaults, not flags.");
    options.add("ds_config", ds_config_, "Alias of --deepspeed_config.");
    options.add("deepspeed", deepspeed_, "Alias of --deepspeed_config; without a file, it needs that flag.").bare("");
    options.add("accelerate_config", accelerate_config_,
                "Accelerate config (YAML): precision, DeepSpeed or FSDP settings. Overrides defaults, not flags.");
    options.add("local_rank", local_rank_, "Rank of this process on its machine, as launchers pass it.").at_least(-1);
  }
  LauncherFlags(const LauncherFlags&) = delete;
  LauncherFlags& operator=(const LauncherFlags&) = delete;

  /// Sets settings.world_size: the running processes, or --world_size in a dry run. Throws UsageError if flags
  /// contradict it.
  void set_world_size(TrainingSettings& settings, const Processes& processes, bool dry_run) const {
    settings.world_size = dry_run ? world_size_.value_or(processes.size()) : processes.size();
    if (world_size_ && *world_size_ != settings.world_size)
      throw UsageError("--world_size {}: {} processes are running; start that number with mpirun, or add --dry_run",
                       *world_size_, processes.size());
    if (processes.size() == 1 && local_rank_ > 0)
      throw UsageError("--local_rank {}, but this is the only process: start all processes with mpirun", local_rank_);
  }
  double collective_timeout() const { return collective_timeout_; }

  /// Starts writing the file of --trace. The returned object ends it; null without the flag.
  std::unique_ptr<TraceFile> open_trace(distributed::CommunicatorBase* ranks, TrainingHooks& hooks) const {
    if (!trace_) return nullptr;
    auto trace = std::make_unique<TraceFile>(*trace_, ranks ? ranks->rank() : 0, ranks ? ranks->size() : 1);
    hooks.on_span = [to = trace.get()](const char* what, double begin, double end) {
      to->add(TraceFile::Row::computation, what, begin, end);
    };
    if (ranks)
      ranks->set_trace([to = trace.get()](double begin, double end, const char* what, std::int64_t bytes) {
        to->add(TraceFile::Row::communication, what, begin, end, bytes);
      });
    return trace;
  }

  /// Applies the DeepSpeed and Accelerate configs to the settings, with messages on standard output if `speaks`.
  /// Returns the precision of the flags if given, else of the configs, else `precision`. Throws UsageError for
  /// contradictions, and an Error for invalid files.
  PrecisionName apply(TrainingSettings& settings, PrecisionName precision, bool speaks) const {
    std::optional<std::string> typed;
    for (const char* flag : {"precision", "bf16", "fp16"})  // --tf32 goes with any
      if (options_.typed(flag)) typed = precision_name(precision);
    const std::optional<std::string> wish = apply(settings, typed, speaks);
    for (const PrecisionName name :
         {PrecisionName::fp32, PrecisionName::tf32, PrecisionName::bf16, PrecisionName::fp16})
      if (wish == precision_name(name)) return name;
    return precision;
  }

 private:
  std::optional<std::string> apply(TrainingSettings& settings, const std::optional<std::string>& precision,
                                   bool speaks) const {
    const int ranks = settings.world_size;
    std::optional<std::filesystem::path> file;
    for (const auto& named : {deepspeed_config_, ds_config_, deepspeed_}) {
      if (!named || named->empty()) continue;
      if (file && *file != *named)
        throw UsageError("{} and {} are both given as DeepSpeed config: give one", file->string(), named->string());
      file = named;
    }
    std::optional<AccelerateConfig> accelerate;
    if (accelerate_config_) accelerate = read_accelerate_config(*accelerate_config_);
    if (const auto named = accelerate ? accelerate->deepspeed_file() : std::nullopt) {
      if (file && *file != *named)
        throw UsageError("{} and {} of {} are both given as DeepSpeed config: give one", file->string(),
                         named->string(), accelerate_config_->string());
      file = named;
    } else if (accelerate && file) {
      accelerate->prefer_deepspeed_flag();
    }
    if (deepspeed_ && !file) throw UsageError("--deepspeed needs a file, or --deepspeed_config FILE");
    const TypedFlags flags{[this](const std::string& flag) { return options_.typed(flag); }, precision};
    std::optional<std::string> wish;
    if (file) wish = tell(apply_deepspeed_config(read_deepspeed_config(*file), ranks, settings, flags), speaks);
    if (accelerate) wish = tell(apply_accelerate_config(*accelerate, ranks, settings, flags, wish), speaks);
    return wish;
  }

  static std::optional<std::string> tell(const LauncherEffect& effect, bool speaks) {
    if (!speaks) return effect.precision;
    for (const std::string& line : effect.lines) std::printf("%s\n", printable(line).c_str());
    return effect.precision;
  }

  Options& options_;
  std::optional<std::filesystem::path> deepspeed_config_, ds_config_, deepspeed_, accelerate_config_;
  int local_rank_ = -1;
  double collective_timeout_ = 1800;
  std::optional<std::filesystem::path> trace_;
  std::optional<int> world_size_;
};

}  // namespace moderngpt2
