#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "moderngpt2/cli/hugging_face_options.hpp"
#include "moderngpt2/cli/launcher_flags.hpp"
#include "moderngpt2/cli/model_flags.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/precision_flags.hpp"
#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/cli/task_flags.hpp"
#include "moderngpt2/cli/threads.hpp"
#include "moderngpt2/cli/trace_file.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/cli/training_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#include "moderngpt2/run/request_fields.hpp"

namespace moderngpt2 {

/// Adds all flags of `train`. Most are rows of describe(TrainingRequest) and describe(TrainingSettings); this class and
/// its members add the flags that set several members of the request, or none.
class TrainFlags {
 public:
  /// Throws UsageError if the program can neither run on the GPU that --device names nor, for a dry run, plan for it.
  using RequireGpu = void (*)(const std::string& device, bool dry_run, bool cudnn_attention);

  TrainFlags(Options& options, TrainingRequest& request)
      : options_(add_fields(options, request)),
        request_(request),
        task_(options, request),
        text_(options),
        launcher_(options),
        hugging_face_(options) {
    options.section("Training");
    options
        .add("device", device_,
             "Compute device: cpu, cuda or cuda:N. cuda requires a build with CUDA, except for --dry_run.")
        .metavar("DEVICE");
    add_precision_flags(options, precision_, "Number format of activations and matrices. tf32 and fp16 need a GPU.");
    add_model_flags(options, request.model_fields);
    add_ignored_training_flags(options);
  }
  TrainFlags(const TrainFlags&) = delete;
  TrainFlags& operator=(const TrainFlags&) = delete;

  const std::string& task() const { return task_.task(); }
  double collective_timeout() const { return launcher_.collective_timeout(); }

  /// Sets the members of the request that depend on several flags, on launcher configs or on the processes. Call after
  /// parsing. Rank 0 prints notes. Throws UsageError for contradictory flags, and an Error for unreadable files.
  void complete(const Processes& processes, TrainingHooks& hooks, RequireGpu require_gpu) {
    TrainingSettings& s = request_.settings;
    const bool is_first = processes.rank() == 0;
    request_.gpu = gpu_number(device_);
    if (request_.gpu) require_gpu(device_, request_.dry_run, s.cudnn_attention);
    if (!request_.gpu && s.cudnn_attention) throw UsageError("--cudnn_attention needs --device cuda");
    for (auto* path : {&request_.model_path, &request_.config_file, &request_.tokenizer_path})
      if (*path) *path = local_model(**path);
    task_.check();
    hugging_face_.apply(request_, device_);
    if (is_first) print_notes();
    launcher_.set_world_size(s, processes, request_.dry_run);
    request_.precision = launcher_.apply(s, precision_of(options_, precision_), is_first);
    hugging_face_.check_precision(request_.precision);
    if (task_.has_examples())
      task_.take(text_.source());
    else
      request_.text = text_.chosen(request_.metadata_file || request_.pre_tokenized_dataset_path, request_.dry_run);
    trace_ = launcher_.open_trace(request_.ranks, hooks);
    if (request_.ranks && !options_.typed("threads"))
      request_.threads = threads_of_process(request_.ranks->local_size(), request_.ranks->local_processors());
  }

 private:
  static Options& add_fields(Options& options, TrainingRequest& request) {
    for (const char* title : {"Task", "Model", "Data", "Text", "Training", "Optimizer", "Run", "Reports"})
      options.section(title);
    options.add_all(request);
    return options;
  }

  void print_notes() const {
    for (const std::string& note : options_.notes()) std::printf("note: %s\n", note.c_str());
    hugging_face_.print_notes(request_);
    if (request_.gpu) return;
    const std::string missing =
        thread_shortage_message(options_.typed("threads") ? std::optional(request_.threads) : std::nullopt);
    if (!missing.empty()) std::printf("note: %s\n", missing.c_str());
  }

  Options& options_;
  TrainingRequest& request_;
  TaskOptions task_;
  TrainingText text_;
  LauncherFlags launcher_;
  HuggingFaceOptions hugging_face_;
  std::string device_ = "cpu";
  PrecisionFlags precision_;
  std::unique_ptr<TraceFile> trace_;
};

}  // namespace moderngpt2
