/// Trains a language model on pre-tokenized text, or another head on examples: reads the command line and calls
/// run_training() or run_task().

#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/launcher_flags.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/model_flags.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/precision_flags.hpp"
#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/cli/task_flags.hpp"
#include "moderngpt2/cli/threads.hpp"
#include "moderngpt2/cli/training_flags.hpp"
#include "moderngpt2/cli/training_progress.hpp"
#include "moderngpt2/cli/training_text.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/distributed/launch.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/run.hpp"
#include "train/gpu.hpp"
#include "train/mpi.hpp"
#include "train/tasks.hpp"

// Compiled beside this file: train/bf16.cpp.
extern template int moderngpt2::detail::run_model<moderngpt2::CausalLMInBf16>(const moderngpt2::TrainingRequest&,
                                                                              const moderngpt2::PreparedRun&,
                                                                              const moderngpt2::TrainingHooks&);

namespace {

using namespace moderngpt2;

int run(const std::string& task, const TaskRequest& request, const TrainingHooks& hooks) {
  if (task == SequenceClassification::name)
    return run_task<SequenceClassification>(request, hooks, train_program::run_task_on_gpu<SequenceClassification>);
  if (task == TokenClassification::name)
    return run_task<TokenClassification>(request, hooks, train_program::run_task_on_gpu<TokenClassification>);
  if (task == QuestionAnswering::name)
    return run_task<QuestionAnswering>(request, hooks, train_program::run_task_on_gpu<QuestionAnswering>);
  if (task == MultipleChoice::name)
    return run_task<MultipleChoice>(request, hooks, train_program::run_task_on_gpu<MultipleChoice>);
  return run_training(request.training, hooks, train_program::run_on_gpu);
}

int program_of_processes(int argc, char** argv, Processes& processes) {
  TaskRequest task_request;
  TrainingRequest& request = task_request.training;
  TrainingSettings& s = request.settings;
  std::string device = "cpu";
  PrecisionFlags precision;

  Options options(
      "train",
      "Trains a ModernGPT2 language model on blocks that pretokenize_dataset made or on text, or with --task "
      "a classifier on examples.");
  TaskOptions task(options, task_request);
  options.section("Model");
  options.add("model_size_name", request.model_size_name, "size of a new model")
      .choices({"small", "medium", "large", "xl"})
      .default_text("small");
  options.add("config_file", request.config_file, "config.json of a new model; outranks the size");
  options.add("model_path", request.model_path, "folder of a model to start from, weights and config");
  options.add("tokenizer_path", request.tokenizer_path, "the tokenizer's folder").default_text("that of --model_path");
  options.section("Data");
  options.add("pre_tokenized_dataset_path", request.pre_tokenized_dataset_path, "folder of shards");
  options.add("metadata_file", request.metadata_file, "YAML with lists of shards; outranks the folder");
  options.add("block_size", request.block_size, "what the shards must have").at_least(1).default_text("what they have");
  options
      .add("streaming_eval_samples", request.streaming_eval_samples,
           "blocks to hold out of training, 5% at most, where there is no evaluation set")
      .at_least(0);
  options
      .add("dataloader_num_workers", s.dataloader_num_workers,
           "0: blocks are read between steps; more: by one other thread while a step runs")
      .at_least(0);
  TrainingText text(options);
  options.section("Training");
  options.add("output_dir", s.output_dir, "folder of the checkpoints, the log and at the end the model");
  options.add("num_train_epochs", s.num_train_epochs, "passes over the data").more_than(0);
  options.add("max_steps", s.max_steps, "optimizer steps; outranks the epochs where positive").at_least(-1);
  options.add("total_train_samples", s.total_train_samples, "blocks that make an epoch of --num_train_epochs")
      .at_least(1)
      .default_text("all");
  options.add("per_device_train_batch_size", s.per_device_train_batch_size, "sequences at once").at_least(1);
  options.add("per_device_eval_batch_size", s.per_device_eval_batch_size, "the same of the evaluation").at_least(1);
  options.add("gradient_accumulation_steps", s.gradient_accumulation_steps, "such batches for a step").at_least(1);
  options.add("gradient_checkpointing", s.gradient_checkpointing, "computes activations again, to save memory")
      .negatable();
  options.add("seed", s.seed, "of new weights, the order of the data and dropout");
  options.add("device", device, "what computes: cpu, or in builds with CUDA cuda or cuda:N").metavar("DEVICE");
  options
      .add("cuda_graph", s.cuda_graph,
           "launches a step on a GPU as one CUDA graph, with one process; not yet measured on a GPU")
      .negatable();
  add_precision_flags(options, precision, "number format of activations and matrices; tf32 and fp16 need a GPU");
  options.add("cudnn_attention", s.cudnn_attention,
              "attention by cuDNN, in builds with it, where it has ours: bf16 or fp16, no padding, no dropout");
  options.add("threads", request.threads, "processor threads")
      .at_least(1)
      .default_text("all cores, shared by the processes");
  options.section("Optimizer");
  options.add("learning_rate", s.learning_rate, "the schedule's highest").at_least(0);
  options.add("lr_scheduler_type", s.lr_scheduler_type, "the schedule")
      .choices({schedule_names.begin(), schedule_names.end()});
  options.add("lr_scheduler_kwargs", s.lr_scheduler_kwargs, "its arguments, a JSON object");
  options.add("warmup_ratio", s.warmup_ratio, "part of the steps that warm up").between(0, 1);
  options.add("warmup_steps", s.warmup_steps, "number of these steps; outranks the ratio").at_least(0);
  options.add("weight_decay", s.weight_decay, "of matrices; norms and biases do not decay").at_least(0);
  options.add("adam_beta1", s.adam_beta1, "decay of the first moment").between(0, 0.999999);
  options.add("adam_beta2", s.adam_beta2, "decay of the second moment").between(0, 0.999999999);
  options.add("adam_epsilon", s.adam_epsilon, "added to the root of the second moment").more_than(0);
  options.add("max_grad_norm", s.max_grad_norm, "gradients are clipped to this norm; 0: never").at_least(0);
  options.section("Run");
  options.add("logging_steps", s.logging_steps, "steps from one line of the log to the next").at_least(1);
  options.add("eval_steps", s.eval_steps, "steps from one evaluation to the next").at_least(1);
  options.add("save_steps", s.save_steps, "steps from one checkpoint to the next").at_least(1);
  options.add("save_total_limit", s.save_total_limit, "checkpoints to keep").at_least(1);
  options.add("resume_from_checkpoint", request.resume_from_checkpoint,
              "folder of a checkpoint to go on from, or 'latest': the newest in --output_dir");
  options.add("eval_only", request.eval_only, "only says the loss on the held-out blocks");
  options.add("dry_run", request.dry_run, "only says what would be done, and the memory it takes");
  options.section("Reports");
  options.add("sample_prompts", request.samples.prompts, "texts that the model continues at each evaluation");
  options.add("sample_tokens", request.samples.max_new_tokens, "new tokens of each").at_least(1);
  options.add_choice("report_to", request.report.to,
                     {{"none", ReportTo::none},
                      {"tensorboard", ReportTo::tensorboard},
                      {"wandb", ReportTo::wandb},
                      {"all", ReportTo::all}},
                     "writes a TensorBoard log; wandb: and says how to send it there");
  options.add("wandb_project", request.report.project, "the project there");
  options.add("wandb_entity", request.report.entity, "the user or team there");
  options.add("wandb_run_name", request.report.run_name, "of the run and its log's folder")
      .default_text("{project}-{size}");
  LauncherFlags launcher(options, s);
  add_model_flags(options, request.model_fields);
  add_ignored_training_flags(options);
  options.example("--tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks --max_steps 1000 --dry_run",
                  "What a run of the small model would do, and the memory and disk that it takes");
  options.example(
      "--config_file config.json --tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks "
      "--output_dir model --max_steps 1000 --learning_rate 1e-3 --logging_steps 20 --eval_steps 200",
      "A model of your own size");
  options.example(
      "--config_file config.json --tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks "
      "--output_dir model --max_steps 2000 --learning_rate 1e-3 --resume_from_checkpoint latest",
      "Its second half, from where it stopped");
  options.example(
      "--config_file config.json --tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks "
      "--output_dir model --max_steps 1000 --deepspeed_config ds_config_zero1.json --dry_run --world_size 4",
      "What each of four processes would do; mpirun -n 4 before the same, less the last two flags, does it");
  options.exit_status("0", "done; also where --max_steps had been reached already");
  options.exit_status(
      "130, 143",
      "stopped by Ctrl-C or SIGTERM of any process, after a checkpoint was written; a second signal ends the program "
      "at once");
  options.parse(argc, argv);
  const bool is_first = processes.rank() == 0;
  TrainingProgress progress(shell_command(argc, argv));
  TrainingHooks hooks = progress.hooks();
  request.ranks = processes.connect(launcher.collective_timeout());  // before anything that can fail on one alone
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  std::unique_ptr<TraceFile> trace;
  return status_on_ranks(ranks, hooks, [&] {
    run_or_fail_together(ranks, "reading the flags", [&] {
      request.gpu = gpu_number(device);
      if (request.gpu) train_program::require_gpu(device, s.cudnn_attention);
      if (!request.gpu && s.cudnn_attention) throw UsageError("--cudnn_attention needs --device cuda");
      task.check();
      if (is_first) {
        for (const std::string& note : options.notes()) std::printf("note: %s\n", note.c_str());
        const std::string missing =
            thread_shortage_message(options.typed("threads") ? std::optional(request.threads) : std::nullopt);
        if (!request.gpu && !missing.empty()) std::printf("note: %s\n", missing.c_str());
      }
      launcher.set_world_size(s, processes, request.dry_run);
      request.precision = launcher.apply(s, precision_of(options, precision), is_first);
      if (task.has_examples())
        task.take(text.source());
      else
        request.text = text.chosen(request.metadata_file || request.pre_tokenized_dataset_path, request.dry_run);
      trace = launcher.open_trace(request.ranks, hooks);
    });
    catch_interrupts(
        is_first ? "\ntrain: stopping: the step in progress is finished, then saved; a second signal ends at once\n"
                 : nullptr);
    std::signal(SIGXFSZ, SIG_IGN);  // a file past the user's limit is an error of the write, not the end of the program
    if (request.ranks) {
      request.ranks->set_stop(interrupted);
      if (!options.typed("threads"))
        request.threads = threads_of_process(request.ranks->local_size(), request.ranks->local_processors());
    }
    return run(task.task(), task_request, hooks);
  });
}

int program(int argc, char** argv) {
#ifdef MODERNGPT2_HAVE_MPI
  if (distributed::launched_processes()) return run_with_mpi(argc, argv, program_of_processes);
#else
  distributed::require_single_process("was built without MPI");
#endif
  Processes alone;
  return program_of_processes(argc, argv, alone);
}

}  // namespace

int main(int argc, char** argv) { return moderngpt2::run_main(argc, argv, program); }
