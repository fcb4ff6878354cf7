#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/io/model_format.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/training/checkpoint/checkpoint_folder.hpp"
#include "moderngpt2/training/checkpoint/optimizer_files.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/state.hpp"

namespace moderngpt2 {

/// Writes the model that is being trained into a folder (see write_model_folder()), in full precision. All ranks call
/// it; rank 0 writes and returns the files. config.json has the model's own config.
template <class M, class O>
std::vector<FileRecord> save_trained_model(const std::filesystem::path& folder, const M& model,
                                           const ModelOptimizer<M, O>& optimizer, const ModelCompanions& companions,
                                           distributed::CommunicatorBase& ranks) {
  const bool is_first = ranks.rank() == 0;
  std::vector<FileRecord> files;
  if (!model.is_sharded() && (!M::rounds_weights || optimizer.is_whole(model))) {
    run_or_fail_together(ranks, "the model's files", [&] {
      if (is_first) files = write_model_folder(folder, model, optimizer.masters().all(model), companions);
    });
    return files;
  }
  using Master = typename MasterWeights<M>::Element;
  const bool keeps_queries = companions.format == ModelFormat::gemma2 && !scales_exactly(query_factor(model.config()));
  GatheredMasters<M> masters(model, optimizer.masters(), optimizer.shard(), ranks, keeps_queries ? 2 : 1);
  std::vector<TensorSource> sources;
  for (const ParameterInfo& p : model.parameters())
    if (p.is_matrix())
      sources.push_back({p.name, *dtype_of<Master>, p.shape, [&](std::uint64_t offset, std::span<std::byte> out) {
                           masters.read(p.offset + std::int64_t(offset / sizeof(Master)),
                                        std::int64_t(out.size() / sizeof(Master)), out.data());
                         }});
    else
      sources.push_back(tensor_source_of(model.backend(), p.name, p.shape, model.weights().vectors.data() + p.offset));
  run_or_fail_together(ranks, "the model's files", [&] {
    try {
      if (is_first)
        files = write_model_folder(folder, sources, torch_dtype_name<Master>(), companions_of(model, companions));
    } catch (...) {
      masters.finish();
      throw;
    }
    masters.finish();
  });
  return files;
}

/// Folder of the best checkpoint so far (see BestState) in an output folder; empty if there is no such checkpoint.
inline std::filesystem::path best_checkpoint_path(const std::filesystem::path& output_dir, const TrainerState& state) {
  return state.best.saved_step > 0 ? checkpoint_path(output_dir, state.best.saved_step) : std::filesystem::path();
}

/// Writes checkpoint-N, N = state.step, into an output folder, completely or not at all, and returns its folder. The
/// files are verified before the checkpoint is published. Then the oldest checkpoints beyond save_total_limit are
/// deleted, except the best one; after a skipped step none is deleted, since they may be the last good ones. All ranks
/// write their optimizer state, unless save_only_model is set; rank 0 writes the rest and sets state.updates, saved_at
/// and files.
template <class M, class O>
std::filesystem::path save_checkpoint(const std::filesystem::path& output_dir, const M& model,
                                      const ModelOptimizer<M, O>& optimizer, const ModelCompanions& companions,
                                      TrainerState& state, const TrainingSettings& settings,
                                      distributed::CommunicatorBase& ranks) {
  const bool is_first = ranks.rank() == 0;
  const std::filesystem::path target = checkpoint_path(output_dir, state.step);
  std::optional<AtomicFolder> folder;
  run_or_fail_together(ranks, "the checkpoint's folder", [&] {
    if (is_first) folder.emplace(target);
  });
  const std::filesystem::path path = detail::hidden_path(target);
  std::vector<FileRecord> files = save_trained_model(path, model, optimizer, companions, ranks);
  std::vector<FileRecord> optimizer_files;
  if (!settings.save_only_model) optimizer_files = save_optimizer_state(path, model, optimizer, ranks);
  run_or_fail_together(ranks, "publishing the checkpoint", [&] {
    if (!is_first) return;
    if (optimizer_files.size() == 1) files.push_back(optimizer_files[0]);
    state.updates = optimizer.updates;
    // Monotonic over resumed runs, even if the clock is set back or the checkpoint is in another folder.
    state.saved_at = std::max(state.saved_at, next_save_time(output_dir, state.step));
    state.files = files;
    if (optimizer_files.size() > 1)
      state.files.insert(state.files.end(), optimizer_files.begin(), optimizer_files.end());
    files.push_back(write_json_file(path / "trainer_state.json", to_json(state, settings)));
    verify_files(path, files);
    folder->commit();
    if (state.skipped_in_a_row == 0)
      rotate_checkpoints(output_dir, settings.save_total_limit, target, best_checkpoint_path(output_dir, state));
  });
  return target;
}

/// Reads the weights of a checkpoint. Throws an Error if the checkpoint is of another model.
template <class M, class O>
void load_checkpoint_weights(const std::filesystem::path& folder, M& model, ModelOptimizer<M, O>& optimizer) {
  const CheckpointTensors tensors(folder);
  const ConfigFile config = read_config(folder, M::Head::architecture);
  require_same_model(config.config, model.config(), folder.string());
  optimizer.fill(model, FileWeights(tensors, config));
}

/// Reads the weights of a checkpoint and this rank's part of its optimizer state. Throws an Error if the checkpoint is
/// of another model or has no optimizer state.
template <class M, class O>
void load_checkpoint(const Checkpoint& checkpoint, M& model, ModelOptimizer<M, O>& optimizer) {
  require_optimizer_files(checkpoint);
  load_checkpoint_weights(checkpoint.folder, model, optimizer);
  load_optimizer_state(checkpoint, model, optimizer);
  optimizer.updates = checkpoint.state.updates;
}

}  // namespace moderngpt2
