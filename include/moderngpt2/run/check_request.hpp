#pragma once

#include <string>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/run/request_fields.hpp"
#include "moderngpt2/run/run_plan.hpp"
#include "moderngpt2/training/validate_settings.hpp"

namespace moderngpt2::detail {

/// Throws UsageError for a run on the CPU in tf32 or fp16, which need a GPU. A dry run prints a note instead and plans
/// with the nearest supported precision. Prints a note if the CPU has no bf16 instructions.
template <class Say>
void check_precision(const TrainingRequest& request, Say&& say) {
  const PrecisionName name = request.precision;
  if (request.gpu) return;
  if (needs_gpu(name)) {
    if (!request.dry_run) throw unsupported_precision(name);
    say(fmt::format("note: {} needs --device cuda; this is the plan of {} on the CPU", precision_name(name),
                    precision_name(cpu_precision(name))));
  } else if (name == PrecisionName::bf16 && !cpu::has_bf16_products()) {
    say(fmt::format("note: {}", cpu::slow_bf16_note));
  }
}

/// Throws UsageError if --cuda_graph is not supported: in evaluation or on the CPU. A dry run on the CPU prints a note
/// instead.
template <class Say>
void check_cuda_graph(const TrainingRequest& request, Say&& say) {
  if (!request.settings.cuda_graph) return;
  if (request.eval_only) throw UsageError("--cuda_graph is for training: --eval_only has no steps");
  if (request.gpu) return;
  if (!request.dry_run) throw UsageError("--cuda_graph needs --device cuda");
  say("note: --cuda_graph needs --device cuda; this is the plan of the CPU");
}

/// Throws UsageError if gpu_memory or gpu_flops is set for anything but a dry run on a GPU.
inline void check_described_gpu(const TrainingRequest& request) {
  if (!request.gpu_memory && !request.gpu_flops) return;
  const char* const name = request.gpu_memory ? "--gpu_memory" : "--gpu_flops";
  if (!request.dry_run || !request.gpu)
    throw UsageError("{} describes the GPUs of a plan: use it with --dry_run --device cuda", name);
  if (request.gpu_memory) (void)parse_bytes("gpu_memory", *request.gpu_memory);
}

/// Throws UsageError if --weights is set for anything but the evaluation of a language model on the CPU.
inline void check_weights(const TrainingRequest& request, bool is_classifier) {
  if (!request.weights) return;
  const std::string flag = fmt::format("--weights {}", weight_format_name(*request.weights));
  if (!request.eval_only) throw UsageError("{}: quantized weights cannot be trained; add --eval_only", flag);
  if (is_classifier) throw UsageError("{} is for language models (--task causal-lm)", flag);
  if (request.gpu) throw UsageError("{} is for the CPU: use --device cpu, or leave out --weights", flag);
  if (request.precision != PrecisionName::fp32 && request.precision != PrecisionName::bf16)
    throw UsageError("{} is compared with bf16: leave out --precision {}", flag, precision_name(request.precision));
  if (request.settings.shards_weights())
    throw UsageError("{}: quantized weights are not sharded; use --zero_stage 0 to 2", flag);
}

/// Throws UsageError for invalid settings and for those that exclude each other. `is_classifier`: whether the run
/// trains on labelled examples. `has_gpu`: whether the program was built with CUDA.
template <class Say>
void check_request(const TrainingRequest& request, bool is_classifier, bool has_gpu, Say&& say) {
  validate(request.settings);
  if (request.gpu && !has_gpu) throw UsageError("this program trains on the CPU only");
  if (request.eval_only && !request.model_path && !request.resume_from_checkpoint)
    throw UsageError("--eval_only needs --model_path or --resume_from_checkpoint");
  if (request.eval_only && request.settings.max_hours)
    throw UsageError("--max_hours is for training: --eval_only has no state to continue from");
  check_weights(request, is_classifier);
  if (is_classifier && request.predictions_file && !request.eval_only)
    throw UsageError("--predictions_file: predictions are written with --eval_only");
  if (is_classifier && !request.samples.prompts.empty())
    throw UsageError("--sample_prompts: only a language model (--task causal-lm) continues texts");
  describe(request, []<class T>(const T& member, const Field& field) {
    if constexpr (requires { member->empty(); })  // paths, and model_size_name, which has choices
      if (member && member->empty() && field.choices.empty()) throw UsageError("--{}: the path is empty", field.name);
  });
  check_described_gpu(request);
  check_cuda_graph(request, say);
  check_precision(request, say);
}

}  // namespace moderngpt2::detail
