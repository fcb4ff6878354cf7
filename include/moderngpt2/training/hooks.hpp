#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

struct PretokenizeProgress;

/// How fast a run is, over the steps since the last line of the log.
struct RunSpeed {
  double tokens_per_second = 0;
  double matmul_utilization = 0;  ///< model FLOPs a second / FLOPs a second of a matrix product alone; 0: not measured
  double data_wait = 0;           ///< part of the time spent waiting for data, 0 to 1
  double seconds_left = 0;        ///< of training steps, at the mean speed of this process
};

/// What a step did, and how the run gets on.
struct StepReport {
  std::int64_t step = 0, last_step = 0;
  double loss = 0;  ///< mean over the labels of this step
  double learning_rate = 0;
  double grad_norm = 0;      ///< before clipping
  bool applied = true;       ///< false: gradients were not finite, or no label counted
  double loss_scale = 0;     ///< that the gradients had, of fp16; 0: none
  bool overflows = false;    ///< they did not fit, and a smaller scale is to help
  std::int64_t tokens = 0;   ///< of this step
  std::int64_t skipped = 0;  ///< steps of the run so far that were not finite
  double data_seconds = 0;   ///< spent waiting for the blocks of this step
  RunSpeed speed{};
};

/// What a run is, known before its first step.
struct RunDescription {
  std::filesystem::path output_dir;
  std::string settings;  ///< lines of text: the values that hold
  std::string memory;    ///< lines of text: the memory plan
  Json config;           ///< config.json of the model
};

/// Whom a run talks to; each may be empty.
struct TrainingHooks {
  std::function<void(const std::string& line)> say{};
  std::function<void(const std::string& line)> complain{};  ///< what ended a run of several processes
  std::function<void(const StepReport&)> on_step{};
  std::function<void(std::int64_t done, std::int64_t blocks)> on_evaluation{};
  std::function<void(const PretokenizeProgress&)> on_packing{};  ///< after each document, while text is packed
  std::function<int()> stop{};                                   ///< a signal's number once the run shall end, else 0
  std::function<void(const RunDescription&)> on_start{};
  std::function<void(const Json& line)> on_log{};       ///< each line of metrics.jsonl, as it is written
  std::function<void(std::int64_t step)> on_samples{};  ///< at each evaluation, or where it would be, and at the end
  std::function<void()> on_saved{};                     ///< after each checkpoint
  /// What took from `begin` to `end`, by seconds_now().
  std::function<void(const char* what, double begin, double end)> on_span{};
};

}  // namespace moderngpt2
