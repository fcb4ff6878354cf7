#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/cli/interrupt.hpp"
#include "moderngpt2/cli/progress.hpp"
#include "moderngpt2/training/trainer.hpp"

namespace moderngpt2 {

/// Shows a training run: lines on standard output, a progress line on standard error; SIGINT and SIGTERM stop it.
class TrainingProgress {
 public:
  /// To be given to a run; refers to this object.
  TrainingHooks hooks() {
    return {.say = [this](const std::string& line) { say(line); },
            .on_step = [this](const StepReport& report) { step(report); },
            .on_evaluation = [this](std::int64_t done, std::int64_t blocks) { evaluation(done, blocks); },
            .stop = [] { return interrupted(); }};
  }

 private:
  void say(const std::string& line) {
    if (steps_) steps_->clear();
    if (evaluation_) evaluation_->clear();
    std::fputs(line.c_str(), stdout);
    if (!line.ends_with('\n')) std::fputs("\n", stdout);
    std::fflush(stdout);
  }

  void step(const StepReport& report) {
    evaluation_.reset();
    if (!steps_) {
      // Times count from the first step on, which a resumed run has behind it.
      tokens_ = 0;
      steps_.emplace("train", "tokens", double(report.last_step - report.step) * double(report.tokens));
      return;
    }
    tokens_ += double(report.tokens);
    if (steps_->due())
      steps_->update(tokens_, fmt::format("step {}/{}, loss {:.4f}, lr {:.3g}, grad norm {:.3g}", report.step,
                                          report.last_step, report.loss, report.learning_rate, report.grad_norm));
  }

  void evaluation(std::int64_t done, std::int64_t blocks) {
    if (!evaluation_) evaluation_.emplace("evaluate", "blocks", double(blocks));
    evaluation_->update(double(done));
    if (done == blocks) evaluation_.reset();
  }

  std::optional<Progress> steps_, evaluation_;
  double tokens_ = 0;
};

}  // namespace moderngpt2
