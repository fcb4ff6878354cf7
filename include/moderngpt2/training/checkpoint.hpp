#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/training/checkpoint_folder.hpp"
#include "moderngpt2/training/model_folder.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/state.hpp"

namespace moderngpt2 {

/// The moments' file in a checkpoint: exp_avg.NAME and exp_avg_sq.NAME for every parameter.
inline constexpr const char* optimizer_file = "optimizer.safetensors";

inline std::int64_t seconds_since_1970() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

/// Writes checkpoint-N of the state's step into an output folder, whole or not at all: it is read back before it is
/// published, and then the oldest ones beyond the limit are deleted; but none after a step that was skipped, since
/// those before may be the last good ones. Returns its folder; the state learns when it was saved, and as what files.
template <class M>
std::filesystem::path save_checkpoint(const std::filesystem::path& output_dir, const M& model,
                                      const AdamW<M>& optimizer, const ModelCompanions& companions, TrainerState& state,
                                      const TrainingSettings& settings) {
  const std::filesystem::path target = checkpoint_path(output_dir, state.step);
  AtomicFolder folder(target);
  std::vector<FileRecord> files =
      save_model(folder.path(), optimizer.full_weights(model), model.parameters(), companions);
  std::vector<TensorSource> moments = tensor_sources(optimizer.first, model.parameters(), "exp_avg.");
  for (TensorSource& source : tensor_sources(optimizer.second, model.parameters(), "exp_avg_sq."))
    moments.push_back(std::move(source));
  files.push_back(write_safetensors(folder.path() / optimizer_file, moments));
  state.updates = optimizer.updates;
  // Never before the save that this run went on from, whatever the clock does.
  state.saved_at = std::max(state.saved_at, seconds_since_1970());
  state.files = files;
  files.push_back(write_json_file(folder.path() / "trainer_state.json", to_json(state, settings)));
  verify_files(folder.path(), files);
  folder.commit();
  if (state.skipped_in_a_row == 0) rotate_checkpoints(output_dir, settings.save_total_limit, target);
  return target;
}

namespace detail {

template <class M>
void load_moments(const SafetensorsFile& file, const M& model, typename M::Gradients& moments,
                  const std::string& prefix) {
  for (const ParameterInfo& p : model.parameters()) {
    const TensorInfo& info = file.at(prefix + p.name);
    if (info.shape != p.shape)
      throw Error("{}: tensor {} has the shape {}, the model's has {}", file.path().string(), info.name,
                  shape_text(info.shape), shape_text(p.shape));
  }
  for (const ParameterInfo& p : model.parameters()) file.read_as(file.at(prefix + p.name), moments.at(p));
}

}  // namespace detail

/// Reads weights and moments of a checkpoint.
template <class M>
void load_checkpoint(const Checkpoint& checkpoint, M& model, AdamW<M>& optimizer) {
  const SafetensorsFile moments(checkpoint.folder / optimizer_file);
  load_weights(optimizer.full_weights(model), model.parameters(), CheckpointTensors(checkpoint.folder),
               read_config(checkpoint.folder));
  optimizer.round_weights(model);
  detail::load_moments(moments, model, optimizer.first, "exp_avg.");
  detail::load_moments(moments, model, optimizer.second, "exp_avg_sq.");
  optimizer.updates = checkpoint.state.updates;
}

}  // namespace moderngpt2
