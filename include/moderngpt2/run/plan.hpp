#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/partial_use.hpp"
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/model/decoder.hpp"
#include "moderngpt2/training/adamw.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/best_state.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/optimizer.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/sharded_weights.hpp"

namespace moderngpt2 {

/// Memory and disk space of a run, in bytes.
struct MemoryPlan {
  struct Line {
    std::string_view what;
    std::uint64_t bytes = 0;
  };
  std::vector<Line> lines;
  std::uint64_t checkpoint_bytes = 0;  ///< weights and optimizer state on disk
  std::uint64_t model_bytes = 0;       ///< weights on disk
  std::uint64_t device_bytes = 0;      ///< sum of the lines in the backend's memory, host memory for a CPU

  std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const Line& line : lines) sum += line.bytes;
    return sum;
  }
};

namespace detail {

/// Partition of a model's buffers over the processes of a run.
template <class Layers>
distributed::Layout planned_layout(const Layers& layers, const TrainingSettings& s) {
  const CountParameters count = layers.count();
  const std::int64_t granule = distributed::buffer_granule(s.world_size);
  return make_layout(layers, s, round_up(count.matrices, granule), round_up(count.vectors, granule), s.world_size);
}

/// Bytes of gradients that are resident during a backward pass in ZeRO stage 2, in addition to a rank's own: the
/// embedding's, which are resident throughout, the two largest consecutive buckets, which are being reduced, and the
/// next one, which is being filled.
template <class Layers>
std::uint64_t bytes_under_way(const Layers& layers, const TrainingSettings& s, std::size_t element_bytes) {
  const CountParameters count = layers.count();
  const distributed::Layout layout(layers.unit_begins(), count.matrices, count.vectors, 1, s.bucket_elements);
  const auto& buckets = layout.matrices();
  std::int64_t most = 0;
  const auto size = [&](std::size_t i) { return i < buckets.size() ? buckets[i].end - buckets[i].begin : 0; };
  for (std::size_t i = 1; i < buckets.size(); ++i) most = std::max(most, size(i) + size(i + 1) + size(i + 2));
  return std::uint64_t(size(0) + most + count.vectors) * element_bytes;
}

/// Bytes that are resident during a pass in ZeRO stage 3, in addition to a rank's own: weights of a unit and the next
/// one, without the rank's part, and gradients as in stage 2.
template <class Layers>
std::uint64_t bytes_of_pass(const Layers& layers, const TrainingSettings& s, std::size_t weight_bytes,
                            std::size_t gradient_bytes) {
  const distributed::Layout layout = planned_layout(layers, s);
  const distributed::UnitBuckets units(layout, layers.all_unit_begins(), layers.head_reads_embedding());
  const auto& buckets = layout.matrices();
  const auto gradients = [&](std::size_t i) {
    return i < buckets.size() ? std::uint64_t(buckets[i].end - buckets[i].begin) * gradient_bytes : 0;
  };
  const auto weights = [&](Unit unit, Unit next) {
    return std::uint64_t(units.elements(unit, next)) * weight_bytes * std::uint64_t(s.world_size - 1) /
           std::uint64_t(s.world_size);
  };
  std::uint64_t most = weights(units.head(), units.head().previous()) + gradients(0);
  for (Unit unit = units.head(); unit > Unit::embedding(); unit = unit.previous()) {
    most = std::max(most, weights(unit.previous(), unit));
    if (units.of(unit).empty()) continue;
    const std::size_t bucket = units.of(unit).back();
    if (bucket > 0)
      most = std::max(most, weights(unit, unit.previous()) + gradients(0) + gradients(bucket) + gradients(bucket + 1) +
                                gradients(bucket + 2));
  }
  return most + std::uint64_t(layers.count().vectors) * gradient_bytes;
}

/// GPU memory in bytes of flat buffers that are only partly resident: gradients of matrices from ZeRO stage 2 on, and
/// matrices in stage 3 (on the rank that needs most). Both are 0 otherwise.
struct MappedBytes {
  std::uint64_t weights = 0, gradients = 0;
};
/// Computes MappedBytes in multiples of `chunk` bytes. Parts that are never resident together share chunks.
template <class Layers>
MappedBytes mapped_bytes(const Layers& layers, const TrainingSettings& s, std::size_t weight_bytes,
                         std::size_t gradient_bytes, std::size_t chunk = gpu_chunk_bytes) {
  MappedBytes bytes;
  if (s.world_size == 1 || s.zero_stage < 2) return bytes;
  const distributed::Layout layout = planned_layout(layers, s);
  const auto mapped = [&](const PartialUse& use, std::size_t element_bytes) {
    const std::size_t size = std::size_t(layout.matrices().back().end) * element_bytes;
    return std::uint64_t(assign_pieces(use, size, chunk).pieces * chunk);
  };
  bytes.gradients = mapped(distributed::gradient_memory_use(layout, gradient_bytes), gradient_bytes);
  for (int rank = 0; rank < s.world_size && s.shards_weights(); ++rank)
    bytes.weights =
        std::max(bytes.weights, mapped(distributed::weight_memory_use(layout, rank, weight_bytes), weight_bytes));
  return bytes;
}

/// Bytes that a model of type M needs during a pass in addition to what a process keeps: weights of other ranks in ZeRO
/// stage 3 and, if it trains, gradients from stage 2 on.
template <class M, class Layers>
std::uint64_t bytes_beside(const Layers& layers, const TrainingSettings& s, bool trains) {
  using Full = typename M::FullElements;
  if (!s.shards_weights() && (!trains || s.world_size == 1 || s.zero_stage < 2)) return 0;
  const auto weight_bytes = std::size_t(bytes_of_elements<typename M::MatrixElement>(1));
  constexpr std::size_t gradient_bytes = sizeof(typename Full::MatrixType);
  if constexpr (OnHost<typename M::Backend>) {
    return s.shards_weights() ? bytes_of_pass(layers, s, weight_bytes, trains ? gradient_bytes : 0)
                              : bytes_under_way(layers, s, gradient_bytes);
  } else {
    const CountParameters count = layers.count();
    const MappedBytes mapped = mapped_bytes(layers, s, weight_bytes, gradient_bytes);
    std::uint64_t bytes = 0;
    if (trains) bytes += mapped.gradients + std::uint64_t(count.vectors) * sizeof(typename Full::VectorType);
    if (s.shards_weights())
      bytes += mapped.weights - std::uint64_t(count.matrices) * weight_bytes / std::uint64_t(s.world_size);
    return bytes;
  }
}

/// Bytes of the weights that a process keeps between passes.
template <class M, class Layers>
std::uint64_t kept_weights(const Layers& layers, const TrainingSettings& s) {
  const CountParameters count = layers.count();
  const std::uint64_t matrices = bytes_of_elements<typename M::MatrixElement>(count.matrices);
  const std::uint64_t vectors = std::uint64_t(count.vectors) * sizeof(typename M::FullElements::VectorType);
  return vectors + (s.shards_weights() ? matrices / std::uint64_t(s.world_size) : matrices);
}

/// Adds the last lines of a plan: memory of the operations for passes of at most `size`, and `rows` rows of token ids.
template <class M>
void end_plan(MemoryPlan& plan, const Config& config, const TrainingSettings& s, PassSize size, int threads,
              std::int64_t rows) {
  using Backend = typename M::Backend;
  size.cudnn_attention = s.cudnn_attention;
  const PassMemory beside = pass_memory<typename M::T>(std::type_identity<Backend>{}, config, size, threads);
  plan.lines.push_back({"scratch of the operations", beside.scratch});
  if (beside.uploaded > 0) plan.lines.push_back({"inputs of a pass", beside.uploaded});
  plan.lines.push_back({"rotary tables", RotaryPositions<typename M::R>::bytes(config)});
  plan.device_bytes = plan.total();
  if (beside.pinned > 0) plan.lines.push_back({"inputs of a pass, on the host", beside.pinned});
  plan.lines.push_back({OnHost<Backend> ? "token batches" : "token batches, on the host",
                        std::uint64_t(TokenBatch::bytes(rows, size.time))});
}

}  // namespace detail

/// Bytes of an optimizer's state for a number of matrix and vector elements.
template <class O>
std::uint64_t state_bytes(const O& optimizer, std::int64_t matrices, std::int64_t vectors) {
  std::uint64_t bytes = 0;
  O::describe_state(optimizer, [&](const char*, const auto& tensors, StateScope scope) {
    if (scope != StateScope::vectors) bytes += std::uint64_t(matrices) * sizeof(*tensors.matrices.data());
    if (scope != StateScope::matrices) bytes += std::uint64_t(vectors) * sizeof(*tensors.vectors.data());
  });
  return bytes;
}

/// Plans the memory per process for training a model of type M with optimizer O on blocks of `time` tokens. Allocates
/// nothing. `train_blocks` and `eval_blocks` limit the batch sizes; `sequences`: rows of ids per example.
template <class M, OptimizerFor<M> O = AdamW<M>>
MemoryPlan plan_memory(const Config& config, const TrainingSettings& s, int time, int threads,
                       std::int64_t train_blocks = INT64_MAX, std::int64_t eval_blocks = INT64_MAX, int sequences = 1) {
  using Full = typename M::FullElements;
  validate(config);
  const typename M::Layers layers(config);
  const CountParameters count = layers.count();
  const std::uint64_t gradients = std::uint64_t(count.matrices) * sizeof(typename Full::MatrixType) +
                                  std::uint64_t(count.vectors) * sizeof(typename Full::VectorType);
  const std::uint64_t state = state_bytes(O(s), count.matrices, count.vectors);
  const std::uint64_t shards = s.zero_stage > 0 ? std::uint64_t(s.world_size) : 1;
  const std::uint64_t beside = detail::bytes_beside<M>(layers, s, true);
  std::uint64_t kept_gradients = s.zero_stage >= 2 ? gradients / shards : gradients;  // see GradientExchange
  if (!s.shards_weights()) kept_gradients += beside;
  const int batch = int(std::min<std::int64_t>(s.per_device_train_batch_size, train_blocks)) * sequences;
  const int eval_batch = int(std::min<std::int64_t>(s.per_device_eval_batch_size, eval_blocks)) * sequences;
  using Views = Activations<typename M::Layers, typename M::T>;
  MemoryPlan plan;
  plan.lines = {{"weights", detail::kept_weights<M>(layers, s)},
                {"gradients", kept_gradients},
                {"optimizer state", state / shards},
                {"activations",
                 Views::bytes(layers, batch, time, s.gradient_checkpointing ? Mode::train_recompute : Mode::train)}};
  if constexpr (M::rounds_weights)
    plan.lines.insert(
        plan.lines.begin() + 1,
        {"fp32 masters of the matrices", std::uint64_t(count.matrices) * sizeof(typename Full::MatrixType) / shards});
  if (s.shards_weights()) plan.lines.push_back({"weights, gradients of a pass", beside});
  if (eval_batch > 0)
    plan.lines.push_back({"activations of the evaluation", Views::bytes(layers, eval_batch, time, Mode::infer)});
  const std::int64_t step_rows = (std::min(s.global_batch(), train_blocks) + s.world_size - 1) / s.world_size;
  const std::int64_t rows = step_rows * sequences * (s.dataloader_num_workers > 0 ? 2 : 1) + eval_batch;
  PassSize size = layers.pass_size(std::max(batch, eval_batch), time);
  size.queued = s.queued_passes();
  detail::end_plan<M>(plan, config, s, size, threads, rows);
  plan.model_bytes = gradients;  // weights are written as training keeps them
  plan.checkpoint_bytes = gradients + (s.save_only_model ? 0 : state);
  return plan;
}

/// Plans the memory per process for an evaluation: no gradients, optimizer state or files.
template <class M>
MemoryPlan plan_evaluation(const Config& config, const TrainingSettings& s, int time, int threads,
                           std::int64_t eval_blocks = INT64_MAX, int sequences = 1) {
  validate(config);
  const typename M::Layers layers(config);
  const int batch = int(std::min<std::int64_t>(s.per_device_eval_batch_size, eval_blocks)) * sequences;
  MemoryPlan plan;
  plan.lines = {{"weights", detail::kept_weights<M>(layers, s)}};
  if (s.shards_weights()) plan.lines.push_back({"weights of a pass", detail::bytes_beside<M>(layers, s, false)});
  plan.lines.push_back({"activations of the evaluation",
                        Activations<typename M::Layers, typename M::T>::bytes(layers, batch, time, Mode::infer)});
  detail::end_plan<M>(plan, config, s, layers.pass_size(batch, time), threads, batch);
  return plan;
}

/// Adds the memory of the program and its libraries, in each process: `resident` bytes at the start, and what libraries
/// allocate later, as measured: 22 MiB for oneDNN's packed matrices and code that the first step loads; 14 MiB for
/// Arrow's decoding (unless `has_read`: blocks were read before, for their fingerprint); 6 MiB for MPI's reductions
/// (Open MPI 4.1), and 8 MiB for MPI's start-up if it has not started.
void add_libraries(MemoryPlan& plan, std::uint64_t resident, bool has_read, int ranks, int world_size);

/// Maximum number of bytes that a run adds to its output folder in `steps` steps: checkpoints, one more than
/// save_total_limit (0: no limit) while the oldest is about to be deleted, and the final model. `existing`: number of
/// checkpoints at the start. `epoch_steps`: steps of an epoch, for strategies that save at its end.
std::uint64_t plan_disk(const MemoryPlan& plan, const TrainingSettings& s, std::int64_t steps,
                        std::int64_t existing = 0, std::int64_t epoch_steps = 0);

/// Text such as "117.7 MiB" for 123456789 bytes.
std::string byte_text(std::uint64_t bytes);

/// The plan as lines of text.
std::string plan_text(const MemoryPlan& plan);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE void add_libraries(MemoryPlan& plan, std::uint64_t resident, bool has_read, int ranks,
                                     int world_size) {
  constexpr std::uint64_t mib = 1 << 20;
  plan.lines.push_back({"program and libraries", resident + (has_read ? 22 : 36) * mib});
  if (world_size > 1) plan.lines.push_back({"MPI", (ranks > 1 ? 6 : 14) * mib});
}

MODERNGPT2_INLINE std::uint64_t plan_disk(const MemoryPlan& plan, const TrainingSettings& s, std::int64_t steps,
                                          std::int64_t existing, std::int64_t epoch_steps) {
  const std::int64_t saves = most_saves(s, steps, epoch_steps);
  const std::int64_t kept = std::max(s.save_total_limit, follows_metric(s) ? 2 : 1);  // with the best and the newest
  const std::int64_t most = s.save_total_limit > 0 ? std::max<std::int64_t>(kept + 1, existing + 1) : existing + saves;
  const std::int64_t added = std::clamp<std::int64_t>(existing + saves, 0, most) - existing;
  return std::uint64_t(std::max<std::int64_t>(added, 0)) * plan.checkpoint_bytes + plan.model_bytes;
}

MODERNGPT2_INLINE std::string byte_text(std::uint64_t bytes) {
  const double n = double(bytes);
  if (n >= 1 << 30) return fmt::format("{:.2f} GiB", n / (1 << 30));
  if (n >= 1 << 20) return fmt::format("{:.1f} MiB", n / (1 << 20));
  return fmt::format("{:.1f} KiB", n / (1 << 10));
}

MODERNGPT2_INLINE std::string plan_text(const MemoryPlan& plan) {
  std::string text = "memory\n";
  for (const auto& [what, bytes] : plan.lines) text += fmt::format("  {:<30} {:>12}\n", what, byte_text(bytes));
  text += fmt::format("  {:<30} {:>12}\n", "total", byte_text(plan.total()));
  if (plan.checkpoint_bytes > 0)
    text += fmt::format("disk: {} for each checkpoint\n", byte_text(plan.checkpoint_bytes));
  return text;
}

}  // namespace moderngpt2

#endif
