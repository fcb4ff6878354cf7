#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/parquet_writer.hpp"

namespace moderngpt2 {

/// File name of a shard: shard_00000.parquet, shard_00001.parquet, ...
inline std::string shard_name(std::size_t number) { return fmt::format("shard_{:05}.parquet", number); }

/// Writes blocks to consecutive shards in a folder. Threads: one at a time.
class ShardWriter {
 public:
  /// `finished_shards`: number of full shards that exist already; writing continues after them.
  ShardWriter(std::filesystem::path folder, int block_size, std::int64_t max_rows_per_shard,
              std::size_t finished_shards = 0);

  /// Adds a block. Returns true if it completes a shard, whose file is then published. Throws Error if the disk is full
  /// or not writable.
  bool add(std::span<const std::int32_t> block);

  /// Closes the last shard.
  void finish() {
    if (writer_) close();
  }

  std::int64_t blocks() const { return blocks_; }
  /// File names of the closed shards.
  const std::vector<std::string>& names() const { return names_; }

 private:
  void close();

  std::filesystem::path folder_;
  int block_size_;
  std::int64_t max_rows_, blocks_ = 0;
  std::unique_ptr<BlockWriter> writer_;
  std::vector<std::string> names_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE ShardWriter::ShardWriter(std::filesystem::path folder, int block_size,
                                           std::int64_t max_rows_per_shard, std::size_t finished_shards)
    : folder_(std::move(folder)), block_size_(block_size), max_rows_(max_rows_per_shard) {
  if (max_rows_ < 1) throw Error("shards of {} blocks: the size must be at least 1", max_rows_);
  while (names_.size() < finished_shards) names_.push_back(shard_name(names_.size()));
  blocks_ = max_rows_ * static_cast<std::int64_t>(finished_shards);
}

MODERNGPT2_INLINE bool ShardWriter::add(std::span<const std::int32_t> block) {
  if (!writer_) writer_ = create_blocks(folder_ / shard_name(names_.size()), block_size_);
  writer_->add(block);
  ++blocks_;
  if (writer_->rows() < max_rows_) return false;
  close();
  return true;
}

MODERNGPT2_INLINE void ShardWriter::close() {
  writer_->finish();
  writer_.reset();
  names_.push_back(shard_name(names_.size()));
}

}  // namespace moderngpt2

#endif
