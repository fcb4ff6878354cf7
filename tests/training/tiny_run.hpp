#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/shard_writer.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/training/settings.hpp"

namespace moderngpt2::test {

/// Two layers, every kind of dropout on; pad 0, eos 2.
inline Config tiny_config() {
  Config c = size_config(2, 16, 2, 64);
  c.n_positions = 32;
  c.n_inner = 32;
  c.n_kv_head = 1;
  c.eos_token_id = 2;
  c.pad_token_id = 0;
  return c;
}

/// `count` blocks of `time` ids below 64 in one shard; each ends in a different number of pads, so that batches have
/// unequal numbers of labels.
inline void write_blocks(const std::filesystem::path& folder, int count, int time, std::uint64_t salt = 0,
                         bool all_pad = false) {
  std::filesystem::create_directories(folder);
  ShardWriter writer(folder, time, 1000);
  std::vector<std::int32_t> block(static_cast<std::size_t>(time));
  for (int i = 0; i < count; ++i) {
    const int filled = all_pad ? 0 : time - (i * 5) % time;
    for (int t = 0; t < time; ++t)
      block[static_cast<std::size_t>(t)] = t < filled ? 3 + int(mix64(salt + std::uint64_t(i * 1000 + t / 2)) % 60) : 0;
    writer.add(block);
  }
  writer.finish();
}

/// Blocks without pads in memory, so that every activation matters: 49 to train on, one to evaluate.
inline TrainAndEval full_blocks(int time = 16) {
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 50 * time; ++i) ids.push_back(3 + int(mix64(std::uint64_t(i / 2)) % 60));
  return hold_out(std::make_shared<MemoryBlocks>(std::move(ids), time), 1);
}

inline DatasetSplits make_data(const std::filesystem::path& folder, int train = 50, int eval = 7, int time = 16) {
  write_blocks(folder, train, time);
  write_blocks(folder / "eval", eval, time, 1);
  return DatasetSplits::open(folder);
}

inline TrainingSettings tiny_settings(const std::filesystem::path& output_dir) {
  TrainingSettings s;
  s.output_dir = output_dir;
  s.max_steps = 40;
  s.per_device_train_batch_size = 3;
  s.per_device_eval_batch_size = 4;
  s.learning_rate = 1e-2;
  s.logging_steps = 7;
  s.eval_steps = 10;
  s.save_steps = 1000;
  s.save_total_limit = 2;
  s.seed = 3;
  return s;
}

template <class E>
bool same_bytes(const E& a, const E& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), std::size_t(a.size()) * sizeof(*a.data())) == 0;
}

}  // namespace moderngpt2::test
