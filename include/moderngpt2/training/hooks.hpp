#pragma once

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

struct Evaluation;
struct PretokenizeProgress;
struct TrainerState;

/// Speed of a run, over the steps since the last log line.
struct RunSpeed {
  double tokens_per_second = 0;
  double matmul_utilization = 0;  ///< model FLOP/s divided by measure_matmul()'s FLOP/s; 0: not measured
  double data_wait = 0;           ///< fraction of the time spent waiting for data, 0 to 1
  double seconds_left = 0;        ///< estimated time of the remaining steps, from the mean of this process's steps
};

/// Result of an optimizer step, and progress of the run.
struct StepReport {
  std::int64_t step = 0, last_step = 0;
  double loss = 0;  ///< mean over the labels of the step; NaN without labels
  double learning_rate = 0;
  std::int64_t labels = 0;             ///< labels that are not ignored, of all ranks; 0: nothing to learn, skipped
  double grad_norm = 0;                ///< before clipping; NaN without labels
  bool applied = true;                 ///< false: loss or gradients were not finite, or the batch had no labels
  double loss_scale = 0;               ///< factor of the gradients in fp16; 0: no loss scaling
  bool overflows = false;              ///< gradients overflowed and the loss scale can still shrink
  std::int64_t tokens = 0;             ///< number of tokens in the step
  std::optional<double> usual_loss{};  ///< running mean of the loss, if this step's loss is a spike
  bool verified = false;               ///< computed again, with the same bits (TrainingSettings::verify_steps)
  std::int64_t transient_errors = 0;   ///< steps of this process that were computed differently when repeated
  std::int64_t skipped = 0;            ///< steps of the run so far with a loss or gradients that are not finite
  double data_seconds = 0;             ///< seconds spent waiting for the data of the step
  RunSpeed speed{};
};

/// Description of a run, available before its first step.
struct RunDescription {
  std::filesystem::path output_dir;
  std::string settings;  ///< lines of text: values of all settings
  std::string memory;    ///< lines of text: the memory plan
  Json config;           ///< the model's config.json
};

/// Requests of callbacks to the Trainer, as in Hugging Face's TrainerControl. A callback sets a member to true; the
/// Trainer resets it once the request is met. With several ranks, a request of one rank holds for all,
/// except should_log.
struct TrainingControl {
  bool should_training_stop = false;  ///< end the run with this step: it is evaluated and saved like the last step
  bool should_log = false;            ///< from on_step: write a line of the log on this rank
  bool should_evaluate = false;       ///< from on_step and on_log: evaluate after this step
  bool should_save = false;           ///< write a checkpoint after this step
};

/// Callback of a run: empty, or a function with the parameters (Arguments...) or (Arguments..., TrainingControl&).
template <class... Arguments>
class TrainingCallback {
 public:
  TrainingCallback() = default;
  template <class F>
  requires(std::invocable<F&, Arguments..., TrainingControl&> && !std::same_as<F, TrainingCallback>)
      TrainingCallback(F f)
      : function_(std::move(f)) {}
  template <class F>
  requires(std::invocable<F&, Arguments...> && !std::invocable<F&, Arguments..., TrainingControl&> &&
           !std::same_as<F, TrainingCallback>) TrainingCallback(F f) {
    if constexpr (std::same_as<F, std::function<void(Arguments...)>>)
      if (!f) return;
    function_ = [f = std::move(f)](Arguments... arguments, TrainingControl&) mutable {
      f(std::forward<Arguments>(arguments)...);
    };
  }

  explicit operator bool() const { return bool(function_); }
  void operator()(Arguments... arguments, TrainingControl& control) const {
    function_(std::forward<Arguments>(arguments)..., control);
  }
  /// Calls the function and ignores its requests.
  void operator()(Arguments... arguments) const {
    TrainingControl ignored;
    function_(std::forward<Arguments>(arguments)..., ignored);
  }

 private:
  std::function<void(Arguments..., TrainingControl&)> function_;
};

/// Callbacks of a run; each may be empty. The Trainer calls them on the thread of run(), on every rank whose hooks have
/// them; run_training() keeps only `stop` and `on_span` on ranks other than 0. The order within a step: on_step,
/// on_log, on_evaluate, on_samples, on_save. Requests (TrainingControl) are met in the same step, those of on_save
/// after the next one. A callback that throws ends the run.
struct TrainingHooks {
  std::function<void(const std::string& line)> say{};       ///< lines for people: logs, evaluations, saves, warnings
  std::function<void(const std::string& line)> complain{};  ///< error message that ended a run of several processes
  TrainingCallback<const StepReport&> on_step{};            ///< after each optimizer step, also if it was skipped
  /// After each batch of an evaluation: examples done, and all examples.
  std::function<void(std::int64_t done, std::int64_t examples)> on_evaluation_progress{};
  std::function<void(const PretokenizeProgress&)>
      on_packing{};                                       ///< after each document, while text is tokenized and packed
  std::function<int()> stop{};                            ///< number of the signal that requests a stop, else 0
  std::function<void(const RunDescription&)> on_start{};  ///< by run_training(), before on_train_begin
  std::function<void(const TrainerState&)> on_train_begin{};  ///< before the first step of this process
  TrainingCallback<const Json&> on_log{};                     ///< each line of metrics.jsonl, when it is written
  TrainingCallback<const Evaluation&> on_evaluate{};          ///< loss and metrics after each evaluation of run()
  std::function<void(std::int64_t step)> on_samples{};        ///< after each evaluation, to generate text
  /// After each checkpoint, with its folder; after the final model, with the output folder.
  TrainingCallback<const std::filesystem::path&> on_save{};
  /// After the final model; not called if a signal stopped the run before its last step.
  std::function<void(const TrainerState&)> on_train_end{};
  /// Duration of a phase such as "forward and backward"; begin and end by seconds_now().
  std::function<void(const char* what, double begin, double end)> on_span{};
};

}  // namespace moderngpt2
