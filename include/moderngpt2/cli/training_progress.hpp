#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/packing_progress.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/cli/training_report.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/training/hooks.hpp"
#include "moderngpt2/training/meter.hpp"

namespace moderngpt2 {

/// Displays a training run: lines on standard output, a progress line on standard error, report.html at each
/// checkpoint and at the end. SIGINT and SIGTERM stop the run.
class TrainingProgress {
 public:
  /// `command_line` is shown in the report.
  explicit TrainingProgress(std::string command_line = "") : command_line_(std::move(command_line)) {}

  /// Callbacks for a run. They refer to this object.
  TrainingHooks hooks() {
    return {.say = [this](const std::string& line) { say(line); },
            .complain = [this](const std::string& line) { complain(line); },
            .on_step = [this](const StepReport& report) { step(report); },
            .on_evaluation_progress = [this](std::int64_t done, std::int64_t blocks) { evaluation(done, blocks); },
            .on_packing = [this](const PretokenizeProgress& now) { packing(now); },
            .stop = [] { return interrupted(); },
            .on_start = [this](const RunDescription& run) { report_.emplace(run, command_line_); },
            .on_save = [this](const std::filesystem::path&) { write_report(); }};
  }

 private:
  void clear() {
    if (steps_) steps_->clear();
    if (evaluation_) evaluation_->clear();
    if (packing_) packing_->clear();
  }

  void say(const std::string& line) {
    clear();
    std::fputs(printable_lines(line).c_str(), stdout);
    if (!line.ends_with('\n')) std::fputs("\n", stdout);
    std::fflush(stdout);
  }

  void complain(const std::string& line) {
    clear();
    std::fprintf(stderr, "train: error: %s\n", printable(line).c_str());
  }

  void step(const StepReport& report) {
    evaluation_.reset();
    if (!steps_) {
      // Times count from the first step of this process.
      tokens_ = 0;
      steps_.emplace("train", "tokens", double(report.last_step - report.step) * double(report.tokens));
      return;
    }
    tokens_ += double(report.tokens);
    if (steps_->due()) show_step(report);
  }

  void show_step(const StepReport& report) {
    std::string more = speed_text(report.speed, ", ");
    if (report.skipped > 0) more += fmt::format("{}{} skipped", more.empty() ? "" : ", ", report.skipped);
    steps_->update(tokens_, more,
                   fmt::format("step {}/{}, loss {:.4f}, lr {:.3g}, grad norm {:.3g}", report.step, report.last_step,
                               report.loss, report.learning_rate, report.grad_norm));
  }

  void packing(const PretokenizeProgress& now) {
    if (!packing_) packing_.emplace();
    packing_->update(now);
  }

  void evaluation(std::int64_t done, std::int64_t blocks) {
    if (!evaluation_) evaluation_.emplace("evaluate", "blocks", double(blocks));
    evaluation_->update(double(done));
    if (done == blocks) evaluation_.reset();
  }

  /// The checkpoint is already saved: a report that cannot be written does not end the run.
  void write_report() {
    if (!report_) return;
    try {
      report_->write();
    } catch (const std::exception& error) {
      say(fmt::format("warning: no report: {}", error.what()));
    }
  }

  std::string command_line_;
  std::optional<TrainingReport> report_;
  std::optional<Progress> steps_, evaluation_;
  std::optional<PackingProgress> packing_;
  double tokens_ = 0;
};

}  // namespace moderngpt2
