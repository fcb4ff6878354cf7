#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file_hash.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/state.hpp"

// Comparison of a resumed run with the run that wrote its checkpoint.
namespace moderngpt2::detail {

/// Returns the inputs of a run that its checkpoints record. Reads up to 16 blocks of each data set.
template <class Task>
RunOrigin origin_of(const TrainingRequest& request, const PreparedRun<Task>& run) {
  RunOrigin origin;
  origin.precision = precision_name(request.precision);
  if (!run.data) return origin;
  const auto fingerprint = [](const auto& data) {
    FileHash hash;
    add_data(hash, data);
    return hash.text();
  };
  origin.train_data = fingerprint(run.data->train);
  if (run.data->eval.size() > 0) origin.eval_data = fingerprint(run.data->eval);
  return origin;
}

/// Throws an Error if a checkpoint was trained on other data. Data of another size is left to Trainer::resume().
inline void require_same_data(const Checkpoint& checkpoint, const RunOrigin& now, std::int64_t train_blocks) {
  const std::string& before = checkpoint.state.origin.train_data;
  if (before.empty() || now.train_data.empty() || before == now.train_data || checkpoint.state.blocks != train_blocks)
    return;
  throw Error(
      "{}: trained on other data of the same size. Resume with the same data, or start a new run from its weights with "
      "{} {}",
      checkpoint.folder.string(), Setting{"model_path"}, checkpoint.folder.string());
}

/// Returns a line for each setting that differs between a checkpoint and the run that resumes it. `last`: number of the
/// run's last step.
inline std::vector<std::string> resume_changes(const TrainerState& before, const TrainingSettings& settings,
                                               const RunOrigin& now, std::int64_t last) {
  std::vector<std::string> lines;
  const auto compare = [&](std::string_view name, const std::string& old, const std::string& value) {
    if (old != value)
      lines.push_back(fmt::format("changed since the checkpoint: {} was {} and is now {}", name,
                                  old.empty() ? "unset" : old, value.empty() ? "unset" : value));
  };
  describe(settings, [&](const auto& member, const Field& field) {
    const std::string_view name = field.name;
    if (name == "output_dir" || name == "seed") return;  // Trainer::resume() keeps the checkpoint's seed
    for (const auto& [known, text] : before.origin.settings)
      if (known == name) compare(name, text, field_text(member));
  });
  if (!before.origin.precision.empty()) compare("precision", before.origin.precision, now.precision);
  if (before.max_steps > 0 && before.max_steps != last)
    lines.push_back(fmt::format(
        "changed since the checkpoint: the last step was {} and is now {}; the schedule is that of {} steps",
        before.max_steps, last, last));
  if (!before.origin.train_data.empty() && before.origin.eval_data != now.eval_data)
    lines.push_back(
        "changed since the checkpoint: the evaluation data; results are not comparable with earlier evaluations");
  return lines;
}

}  // namespace moderngpt2::detail
