#pragma once

#include <cstdio>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/option_values.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/run/request.hpp"

namespace moderngpt2 {

/// Flags of Hugging Face's Trainer whose meaning in `train` depends on other flags: --do_train, --do_eval, --use_cpu,
/// --bf16_full_eval, --validation_split_percentage and the like. Hidden in --help.
class HuggingFaceOptions {
 public:
  explicit HuggingFaceOptions(Options& options) : options_(options) {
    options.add("do_train", do_train_, "Train.").hidden().negatable();
    options.add("do_eval", do_eval_, "Evaluate; without --do_train, only that.").hidden().negatable();
    options.add("use_cpu", use_cpu_, "Short for --device cpu.").alias("no_cuda").hidden();
    options.add("bf16_full_eval", bf16_, "Evaluate in bf16.").hidden();
    options.add("fp16_full_eval", fp16_, "Evaluate in fp16.").hidden();
    options.add_converted("validation_split_percentage", "eval_fraction", [](const std::string& percent) {
      const std::string flag = "validation_split_percentage";
      return fmt::format("{}", detail::parse_option_value<double>(flag, percent) / 100);
    });
  }
  HuggingFaceOptions(const HuggingFaceOptions&) = delete;
  HuggingFaceOptions& operator=(const HuggingFaceOptions&) = delete;

  /// Sets request.eval_only from --do_train and --do_eval, and reads --resume_from_checkpoint True as latest. Throws
  /// UsageError if flags contradict each other. Call after parsing.
  void apply(TrainingRequest& request, const std::string& device) const {
    if (use_cpu_ && device != "cpu") throw UsageError("--use_cpu and --device {}: give one of them", device);
    if (auto& from = request.resume_from_checkpoint; from == "True" || from == "true")
      from = "latest";
    else if (from == "False" || from == "false")
      from.reset();
    const bool trains = options_.typed("do_train") ? do_train_ : !do_eval_;
    if (trains) return;
    if (!do_eval_ && !request.eval_only)
      throw UsageError("--do_train False leaves nothing to do. Add --do_eval to evaluate");
    if (!request.model_path && !request.resume_from_checkpoint)
      throw UsageError(
          "--do_eval without --do_train only evaluates and needs --model_path or --resume_from_checkpoint. To train, "
          "add --do_train");
    request.eval_only = true;
  }

  /// Throws UsageError if evaluation in another precision than that of the run is requested.
  void check_precision(PrecisionName precision) const {
    const auto check = [&](bool requested, PrecisionName wanted) {
      if (requested && precision != wanted)
        throw UsageError("--{0}_full_eval: evaluation has the precision of the run, {1}. Use --{0}",
                         precision_name(wanted), precision_name(precision));
    };
    check(bf16_, PrecisionName::bf16);
    check(fp16_, PrecisionName::fp16);
  }

  void print_notes(const TrainingRequest& request) const {
    const auto note = [](const char* text) { std::printf("note: %s\n", text); };
    if (options_.typed("do_train")) note("--do_train: the program trains unless --eval_only is given");
    if (do_eval_ && request.eval_only) note("--do_eval without --do_train: evaluates and exits, like --eval_only");
    if (do_eval_ && !request.eval_only) note("--do_eval: --eval_strategy and --eval_steps set when the run evaluates");
    if (use_cpu_) note("--use_cpu: the CPU is the default; --device cuda selects a GPU");
    if (bf16_ || fp16_) note("--bf16_full_eval, --fp16_full_eval: evaluation has the precision of the run");
  }

 private:
  Options& options_;
  bool do_train_ = false, do_eval_ = false, use_cpu_ = false, bf16_ = false, fp16_ = false;
};

}  // namespace moderngpt2
