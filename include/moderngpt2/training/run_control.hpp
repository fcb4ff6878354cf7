#pragma once

#include <cstdint>

#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/training/hooks.hpp"

namespace moderngpt2 {

/// Requests of callbacks, signals and the time limit to a run, on which all its ranks agree once or twice a step.
/// `hooks` and `ranks` must outlive it.
class RunControl {
 public:
  RunControl(const TrainingHooks& hooks, distributed::CommunicatorBase& ranks) : hooks_(hooks), ranks_(ranks) {}

  /// Clears all requests, at the beginning of a run.
  void begin_run() {
    requests_ = agreed_ = {};
    signal_ = 0, time_is_up_ = false;
  }
  /// Clears the requests that a step has met.
  void end_step() { agreed_.should_evaluate = agreed_.should_save = false; }

  /// Requests of this rank's callbacks since the last agree().
  TrainingControl& requests() { return requests_; }
  /// Requests of all ranks as of the last agree().
  const TrainingControl& agreed() const { return agreed_; }

  /// Number of the signal that this process has received, 0 if none.
  int own_signal() const { return hooks_.stop ? hooks_.stop() : 0; }
  /// Reason to end the run (core/stop.hpp): the number of a signal, or time_limit_reached; 0 if none. With several
  /// ranks: as of the last agree().
  int stop_reason() const {
    const int signal = ranks_.size() == 1 ? own_signal() : signal_;
    return signal == 0 && time_is_up_ ? time_limit_reached : signal;
  }

  /// Makes the callbacks' requests current; with several ranks, the requests and signals of all ranks. `time_is_up`:
  /// whether the time limit is reached on this rank's clock; the run ends if it is on any rank.
  void agree(bool time_is_up) {
    std::int64_t asked[]{0, requests_.should_training_stop, requests_.should_evaluate, requests_.should_save,
                         time_is_up};
    requests_ = {};
    if (ranks_.size() > 1) {
      asked[0] = own_signal();
      ranks_.all_reduce(asked, 5, distributed::ReduceOp::max, "signals to stop").wait();
      signal_ = int(asked[0]);
    }
    time_is_up_ |= asked[4] != 0;
    agreed_.should_training_stop |= asked[1] != 0;
    agreed_.should_evaluate |= asked[2] != 0;
    agreed_.should_save |= asked[3] != 0;
  }

 private:
  const TrainingHooks& hooks_;
  distributed::CommunicatorBase& ranks_;
  TrainingControl requests_{}, agreed_{};
  int signal_ = 0;
  bool time_is_up_ = false;
};

}  // namespace moderngpt2
