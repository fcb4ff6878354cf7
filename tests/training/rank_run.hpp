#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "training/tiny_run.hpp"

namespace moderngpt2::test {

/// 12 sequences a step whatever the number of ranks, in more than one pass; several buckets, whose sizes no number of
/// ranks divides without padding.
inline TrainingSettings rank_settings(int ranks, int stage, const std::filesystem::path& output_dir) {
  TrainingSettings s = tiny_settings(output_dir);
  s.max_steps = 20;
  s.logging_steps = 1;
  s.per_device_train_batch_size = ranks == 4 ? 3 : 2;
  s.gradient_accumulation_steps = 12 / (s.per_device_train_batch_size * ranks);
  s.world_size = ranks;
  s.zero_stage = stage;
  s.bucket_elements = 2000;
  return s;
}

/// Results of all ranks: each step's loss and norm, and weights, masters and moments in flat buffers of one
/// process.
template <class M>
struct GatheredRun {
  std::vector<double> losses, norms;
  std::vector<bool> applied;
  std::vector<int> status;                   ///< return value of run(), for each rank
  std::vector<typename M::Weights> weights;  ///< weights of each rank
  ParameterBuffers<typename M::FullElements> first, second;
  FlatBuffer<float> masters;
  std::string thrown;
};

/// The tiny model, whose first layer slides.
inline Config windowed_config() {
  Config config = tiny_config();
  config.sliding_window = 5;
  return config;
}

template <class M>
struct RankRun {
  const TrainAndEval& data;
  std::filesystem::path output_dir;
  std::optional<std::filesystem::path> resume{};
  std::int64_t max_steps = 20;
  std::int64_t check_replicas_steps = 0;
  Config config = windowed_config();
  bool gradient_checkpointing = false;
  std::function<int(int rank, std::int64_t step)> stop{};  ///< a signal to that rank
  std::function<void(Trainer<M>& trainer, M& model, int rank, const StepReport&)> after_step{};
  distributed::ThreadPlan plan{};
  std::function<void(TrainingSettings&)> adjust{};     ///< further settings
  std::function<void(M& model, int rank)> on_model{};  ///< before training
  std::function<void(const std::string& line)> say{};  ///< lines of rank 0

  GatheredRun<M> operator()(int ranks, int stage) const {
    GatheredRun<M> all;
    all.weights.resize(std::size_t(ranks));
    all.status.resize(std::size_t(ranks), -1);
    const auto total = typename M::Layers(config).count();
    const std::int64_t granule = distributed::buffer_granule(4) * 3;
    all.first = ParameterBuffers<typename M::FullElements>(total.matrices + granule, total.vectors + granule);
    all.second = ParameterBuffers<typename M::FullElements>(total.matrices + granule, total.vectors + granule);
    all.masters = FlatBuffer<float>(total.matrices + granule);
    std::filesystem::create_directories(output_dir);
    const auto run_rank = [&](distributed::CommunicatorBase& communicator) {
      const int rank = communicator.rank();
      TrainingSettings settings = rank_settings(ranks, stage, output_dir);
      settings.max_steps = max_steps;
      settings.check_replicas_steps = check_replicas_steps;
      settings.gradient_checkpointing = gradient_checkpointing;
      if (adjust) adjust(settings);
      M model(config, typename M::Backend(1), distributed::buffer_granule(ranks));
      if (on_model) on_model(model, rank);
      std::int64_t done = 0;
      Trainer<M>* training = nullptr;
      TrainingHooks hooks;
      hooks.on_step = [&](const StepReport& report) {
        done = report.step;
        if (after_step) after_step(*training, model, rank, report);
        if (rank != 0) return;
        all.losses.push_back(report.loss), all.norms.push_back(report.grad_norm);
        all.applied.push_back(report.applied);
      };
      if (say && rank == 0) hooks.say = say;
      if (stop) hooks.stop = [&] { return stop(rank, done); };
      ModelCompanions companions;
      companions.config.config = config;
      Trainer<M> trainer(model, data, companions, settings, hooks, &communicator);
      training = &trainer;
      if (resume)
        trainer.resume(open_checkpoint(*resume));
      else
        trainer.initialize(settings.seed);
      all.status[std::size_t(rank)] = trainer.run();
      const ModelOptimizer<M>& optimizer = trainer.optimizer();
      const StateTensors<M>&first = optimizer.rule().first, &second = optimizer.rule().second;
      for (const distributed::Piece& p : optimizer.shard().matrices) {
        std::copy_n(first.matrices.data() + p.at, p.length, all.first.matrices.data() + p.offset);
        std::copy_n(second.matrices.data() + p.at, p.length, all.second.matrices.data() + p.offset);
        if constexpr (M::rounds_weights)
          std::copy_n(optimizer.masters().buffer().data() + p.at, p.length, all.masters.data() + p.offset);
      }
      for (const distributed::Piece& p : optimizer.shard().vectors) {
        std::copy_n(first.vectors.data() + p.at, p.length, all.first.vectors.data() + p.offset);
        std::copy_n(second.vectors.data() + p.at, p.length, all.second.vectors.data() + p.offset);
      }
      if (settings.shards_weights())
        for (const distributed::Piece& p : optimizer.shard().matrices)
          communicator.all_gather(model.weights().matrices.data() + p.offset - rank * p.length, p.length, "all weights")
              .wait();
      communicator.barrier("the end");
      all.weights[std::size_t(rank)] = std::move(model.weights());
    };
    for (const std::string& message :
         distributed::run_thread_ranks(ranks, {.timeout_seconds = 60, .plan = plan}, run_rank))
      all.thrown += message.empty() ? "" : message + "\n";
    return all;
  }
};

/// Whether weights, masters and moments of two runs agree bit for bit in all parameters.
template <class M>
bool same_state(const GatheredRun<M>& a, const GatheredRun<M>& b) {
  const auto same = [](const auto* x, const auto* y, std::int64_t n) {
    return std::memcmp(x, y, std::size_t(n) * sizeof *x) == 0;
  };
  const auto total = typename M::Layers(tiny_config()).count();
  bool result = same_bytes(a.masters, b.masters);
  for (const auto& [x, y] : {std::pair(&a.first, &b.first), std::pair(&a.second, &b.second)})
    result = result && same(x->matrices.data(), y->matrices.data(), total.matrices) &&
             same(x->vectors.data(), y->vectors.data(), total.vectors);
  for (const auto* weights : {&a.weights, &b.weights})
    for (const auto& w : *weights)
      result = result && same(w.matrices.data(), a.weights[0].matrices.data(), total.matrices) &&
               same(w.vectors.data(), a.weights[0].vectors.data(), total.vectors);
  return result;
}

}  // namespace moderngpt2::test
