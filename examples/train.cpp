/// Trains a language model on pre-tokenized text, or a classifier on labelled examples. Reads the command line and
/// calls run_training().

#include <string>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/cli/train_flags.hpp"
#include "moderngpt2/cli/training_progress.hpp"
#include "moderngpt2/distributed/launch.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/run.hpp"
#include "train/gpu.hpp"
#include "train/mpi.hpp"
#include "train/tasks.hpp"
#ifdef MODERNGPT2_HAVE_SENTENCEPIECE
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#endif

namespace {

using namespace moderngpt2;

template <class Task>
int run(const TrainingRequest& request, const TrainingHooks& hooks) {
  return run_training<Task>(request, hooks, train_program::run_on_gpu<Task>);
}

int run_task(const std::string& task, const TrainingRequest& request, const TrainingHooks& hooks) {
  if (task == SequenceClassification::name) return run<SequenceClassification>(request, hooks);
  if (task == TokenClassification::name) return run<TokenClassification>(request, hooks);
  if (task == QuestionAnswering::name) return run<QuestionAnswering>(request, hooks);
  if (task == MultipleChoice::name) return run<MultipleChoice>(request, hooks);
  return run<LanguageModelling>(request, hooks);
}

/// Examples and exit statuses of the manual page.
void add_manual(Options& options) {
  const std::string own =
      "--config_file config.json --tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks --output_dir model ";
  options.example("--tokenizer_path my_tokenizer --pre_tokenized_dataset_path blocks --max_steps 1000 --dry_run",
                  "Plan a run of the small model: data, steps, memory and disk");
  options.example(own + "--max_steps 1000 --learning_rate 1e-3 --logging_steps 20 --eval_steps 200",
                  "Train a model of your own size");
  options.example(own + "--max_steps 2000 --learning_rate 1e-3 --resume_from_checkpoint latest",
                  "Resume it and train to step 2000");
  options.example(own + "--max_steps 1000 --deepspeed_config ds_config_zero1.json --dry_run --world_size 4",
                  "Plan for each of four processes (to run it: mpirun -n 4, without the last two flags)");
  options.exit_status("0", "success; also if --max_steps was reached before");
  options.exit_status("3",
                      "hardware error: a step gave different bits when it was computed again (--verify_steps); nothing "
                      "was saved, the last checkpoint is unchanged");
  options.exit_status(std::to_string(unfinished_status),
                      "stopped by --max_hours, after writing a checkpoint; the same command with "
                      "--resume_from_checkpoint latest continues");
  options.exit_status(
      signal_statuses(),
      "stopped by " + signal_names() +
          " of any process, after writing a checkpoint; a second SIGINT or SIGTERM stops at once without one");
}

int program_of_processes(int argc, char** argv, Processes& processes) {
  TrainingRequest request;
  request.start = program_start;
  Options options("train",
                  "Trains a ModernGPT2 language model on text or on blocks that pretokenize_dataset wrote, or a "
                  "classifier on labelled examples (--task).");
  TrainFlags flags(options, request);
  add_manual(options);
  options.parse(argc, argv);
  const bool is_first = processes.rank() == 0;
  TrainingProgress progress(shell_command(argc, argv));
  TrainingHooks hooks = progress.hooks();
  request.ranks = processes.connect(flags.collective_timeout());  // before anything that can fail on one rank alone
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(request.ranks);
  return status_on_ranks(ranks, hooks, [&] {
    run_or_fail_together(ranks, "reading the flags",
                         [&] { flags.complete(processes, hooks, train_program::require_gpu); });
    catch_interrupts(is_first ? "\ntrain: received {}: stopping after the current step and a checkpoint; a second "
                                "SIGINT or SIGTERM stops at once\n"
                              : nullptr);
    if (request.ranks) request.ranks->set_stop(interrupted);
    return run_task(flags.task(), request, hooks);
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
