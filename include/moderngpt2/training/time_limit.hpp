#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "moderngpt2/core/clock.hpp"

namespace moderngpt2 {

/// Decides when a run with TrainingSettings::max_hours stops, so that its last checkpoint is written in time. Durations
/// are those measured in this process; before the first evaluation or checkpoint they are estimated.
class TimeLimit {
 public:
  /// Work that a run does before it can stop again.
  struct Work {
    int steps = 0, evaluations = 0, saves = 1;
  };

  /// Suspends a time limit during its lifetime, for evaluations and checkpoints that a stopped run has left to do.
  class Pause {
   public:
    explicit Pause(TimeLimit& limit) : limit_(limit) { limit_.is_paused_ = true; }
    ~Pause() { limit_.is_paused_ = false; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    TimeLimit& limit_;
  };

  /// No limit if `hours` is empty. `start`: by seconds_now().
  TimeLimit(std::optional<double> hours, double start) : hours_(hours), start_(start) {}

  void set_start(double start) { start_ = start; }
  /// Estimates the first checkpoint from the number of parameters (fp32 weights and two moments, at 200 MB/s), and the
  /// first evaluation from its size in training batches (half the time of a step, without the backward pass).
  void expect(std::int64_t parameters, double evaluation_batches) {
    first_save_ = 12 * double(parameters) / 200e6;
    evaluation_steps_ = 0.5 * evaluation_batches;
  }

  void add_step(double seconds) { step_ = std::max(seconds, 0.95 * step_); }
  void add_evaluation(double seconds) { evaluation_ = std::max(seconds, evaluation_); }
  void add_save(double seconds) { save_ = std::max(seconds, save_); }

  /// Whether `work` that begins at `now` might not end a second before the limit: its expected time plus 25%. Never
  /// during a Pause.
  bool is_over(const Work& work, double now = seconds_now()) const {
    if (!hours_ || is_paused_) return false;
    const double evaluation = evaluation_ > 0 ? evaluation_ : evaluation_steps_ * step_;
    const double save = save_ > 0 ? save_ : first_save_;
    const double seconds = 1.25 * (work.steps * step_ + work.evaluations * evaluation + work.saves * save);
    return now + seconds > start_ + *hours_ * 3600 - 1;
  }

 private:
  std::optional<double> hours_;
  double start_;
  bool is_paused_ = false;
  double first_save_ = 0, evaluation_steps_ = 0;  // estimates
  double step_ = 0, evaluation_ = 0, save_ = 0;   // measured seconds
};

}  // namespace moderngpt2
