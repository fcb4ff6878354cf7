#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

struct PretokenizeProgress;

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
  double loss = 0;  ///< mean over the labels of the step
  double learning_rate = 0;
  double grad_norm = 0;      ///< before clipping
  bool applied = true;       ///< false: loss or gradients were not finite, or the batch had no labels
  double loss_scale = 0;     ///< factor of the gradients in fp16; 0: no loss scaling
  bool overflows = false;    ///< gradients overflowed and the loss scale can still shrink
  std::int64_t tokens = 0;   ///< number of tokens in the step
  std::int64_t skipped = 0;  ///< steps of the run so far with a loss or gradients that are not finite
  double data_seconds = 0;   ///< seconds spent waiting for the data of the step
  RunSpeed speed{};
};

/// Description of a run, available before its first step.
struct RunDescription {
  std::filesystem::path output_dir;
  std::string settings;  ///< lines of text: values of all settings
  std::string memory;    ///< lines of text: the memory plan
  Json config;           ///< the model's config.json
};

/// Callbacks of a run; each may be empty.
struct TrainingHooks {
  std::function<void(const std::string& line)> say{};
  std::function<void(const std::string& line)> complain{};  ///< error message that ended a run of several processes
  std::function<void(const StepReport&)> on_step{};
  std::function<void(std::int64_t done, std::int64_t blocks)> on_evaluation{};
  std::function<void(const PretokenizeProgress&)>
      on_packing{};             ///< after each document, while text is tokenized and packed
  std::function<int()> stop{};  ///< number of the signal that requests a stop, else 0
  std::function<void(const RunDescription&)> on_start{};
  std::function<void(const Json& line)> on_log{};       ///< each line of metrics.jsonl, when it is written
  std::function<void(std::int64_t step)> on_samples{};  ///< every eval_steps steps and at the end
  std::function<void()> on_saved{};                     ///< after each checkpoint
  /// Duration of a phase such as "forward and backward"; begin and end by seconds_now().
  std::function<void(const char* what, double begin, double end)> on_span{};
};

}  // namespace moderngpt2
