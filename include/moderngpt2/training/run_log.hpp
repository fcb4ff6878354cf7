#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/evaluation.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/meter.hpp"
#include "moderngpt2/training/metrics.hpp"
#include "moderngpt2/training/state.hpp"

namespace moderngpt2 {

/// Log of a run: metrics.jsonl, log_history of trainer_state.json, and lines of text. `state` and `hooks` must outlive
/// it. Threads: one at a time.
class RunLog {
 public:
  RunLog(TrainerState& state, const TrainingHooks& hooks) : state_(state), hooks_(hooks) {}

  /// Creates metrics.jsonl in a folder, or appends to it if the run is resumed. Without this call, as on ranks other
  /// than 0, only log_history is kept.
  void open(const std::filesystem::path& output_dir, bool is_resumed);
  /// Flushes metrics.jsonl to the disk.
  void sync() {
    if (metrics_) metrics_->sync();
  }

  template <class... Arguments>
  void say(fmt::format_string<Arguments...> format, Arguments&&... arguments) const {
    if (hooks_.say) hooks_.say(fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  /// Logs the steps since the last log line. `control` receives the requests of on_log.
  void add(const StepReport& report, TrainingControl& control);

  /// Logs a step that was skipped. `loss_scale`: scale of the next step.
  void add_skipped(const StepReport& report, double loss_scale) const;

  /// Warns of a loss spike (StepReport::usual_loss).
  void add_spike(const StepReport& report) const;

  void add(const Evaluation& evaluation, TrainingControl& control);
  /// Whether the last line is the evaluation of the state's step.
  bool is_evaluated() const;

 private:
  void write(Json line, TrainingControl& control);

  TrainerState& state_;
  const TrainingHooks& hooks_;
  std::optional<MetricsFile> metrics_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

namespace detail {
/// End of a line about a step whose result is suspicious.
inline const char* persistent_text(const StepReport& report) {
  return report.verified ? " (persistent: computed twice with the same bits)" : "";
}
}  // namespace detail

MODERNGPT2_INLINE void RunLog::open(const std::filesystem::path& output_dir, bool is_resumed) {
  const std::filesystem::path path = output_dir / "metrics.jsonl";
  if (is_resumed)
    metrics_.emplace(path, state_.step, state_.log_history);
  else
    metrics_.emplace(path);
}

MODERNGPT2_INLINE void RunLog::add(const StepReport& report, TrainingControl& control) {
  const bool has_loss = state_.logged_steps > 0;  // a step without labels has none
  const double loss = state_.logged_loss_sum / double(state_.logged_steps);
  const RunSpeed& speed = report.speed;
  Json line = Json::object();
  line["step"] = report.step;
  line["epoch"] = state_.epoch();
  line["loss"] = has_loss ? Json(loss) : Json();
  line["learning_rate"] = report.learning_rate;
  line["grad_norm"] = report.labels > 0 ? Json(report.grad_norm) : Json();
  if (report.loss_scale > 0) line["loss_scale"] = report.loss_scale;
  add_speed(line, speed);
  if (state_.skipped > 0) line["skipped_steps"] = state_.skipped;
  if (report.transient_errors > 0) line["transient_errors"] = report.transient_errors;
  if (state_.unlabelled > 0) line["unlabelled_steps"] = state_.unlabelled;
  write(std::move(line), control);
  const auto s = std::int64_t(speed.seconds_left);
  const std::string more = speed_text(speed, "  ");
  const std::string learned =
      has_loss ? fmt::format("loss {:.9g}", loss) : std::string("no loss (batches without labels)");
  say("step {}/{}  epoch {:.2f}  {}  learning rate {:.3g}  gradient norm {:.4g}  {:.0f} tokens/s  {}{}"
      "{}:{:02}:{:02} left",
      report.step, report.last_step, state_.epoch(), learned, report.learning_rate, report.grad_norm,
      speed.tokens_per_second, more, more.empty() ? "" : "  ", s / 3600, s / 60 % 60, s % 60);
  state_.logged_loss_sum = 0, state_.logged_steps = 0;
}

MODERNGPT2_INLINE void RunLog::add_skipped(const StepReport& report, double loss_scale) const {
  if (report.overflows)
    say("step {}: gradients times the loss scale {} are too large for fp16: the step is skipped, the scale is {} now",
        report.step, report.loss_scale, loss_scale);
  else if (report.labels == 0)
    say("step {}: the batch has no labels, the step is skipped", report.step);
  else
    say("step {}: loss {} and gradient norm {}: the step is skipped{}", report.step, report.loss, report.grad_norm,
        detail::persistent_text(report));
}

MODERNGPT2_INLINE void RunLog::add_spike(const StepReport& report) const {
  say("warning: step {}: loss spike: {:.6g}, the running mean is {:.6g}{}", report.step, report.loss,
      report.usual_loss.value_or(0), detail::persistent_text(report));
}

MODERNGPT2_INLINE void RunLog::add(const Evaluation& evaluation, TrainingControl& control) {
  Json line = Json::object();
  line["step"] = state_.step;
  line["epoch"] = state_.epoch();
  line["eval_loss"] = evaluation.labels > 0 ? Json(evaluation.loss) : Json();
  for (const auto& [name, value] : evaluation.scores) line["eval_" + name] = value;
  write(std::move(line), control);
  say("step {}  evaluation {}", state_.step, evaluation.text());
}

MODERNGPT2_INLINE bool RunLog::is_evaluated() const {
  if (state_.log_history.empty()) return false;
  const Json& last = state_.log_history.back();
  return last.contains("eval_loss") && last.value("step", std::int64_t{-1}) == state_.step;
}

MODERNGPT2_INLINE void RunLog::write(Json line, TrainingControl& control) {
  if (metrics_) metrics_->add(line);
  if (hooks_.on_log) hooks_.on_log(line, control);
  state_.log_history.push_back(std::move(line));
}

}  // namespace moderngpt2

#endif
