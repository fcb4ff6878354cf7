#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Where blocks come from: shards (data/dataset.hpp), memory, or a source of your own. Safe to use from several
/// threads.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  virtual std::int64_t size() const = 0;
  virtual int block_size() const = 0;
  /// Copies block `index`, which is in range, into `ids`, and its attention mask into `mask` unless that is empty.
  virtual void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) = 0;
};

/// Tokens in memory, cut into blocks; a last partial block is left out.
class MemoryBlocks final : public BlockSource {
 public:
  MemoryBlocks(std::vector<std::int32_t> tokens, int block_size) : tokens_(std::move(tokens)), block_size_(block_size) {
    if (block_size < 1) throw Error("a block of {} tokens was asked for", block_size);
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(tokens_.size()) / block_size_; }
  int block_size() const override { return block_size_; }
  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) override {
    std::copy_n(tokens_.begin() + index * block_size_, block_size_, ids.begin());
    std::fill(mask.begin(), mask.end(), std::int8_t{1});
  }

 private:
  std::vector<std::int32_t> tokens_;
  int block_size_;
};

/// Blocks of token ids, all of one length, read by index in any order. A copy shares the source.
class BlockDataset {
 public:
  BlockDataset() = default;
  /// Blocks [begin, end) of a source.
  BlockDataset(std::shared_ptr<BlockSource> source, std::int64_t begin, std::int64_t end)
      : source_(std::move(source)), begin_(begin), end_(end) {}

  std::int64_t size() const { return end_ - begin_; }
  int block_size() const { return source_ ? source_->block_size() : 0; }

  /// Copies block `index` into `ids`, and its attention mask into `mask` (which may be empty): block_size() each.
  /// Throws Error naming the shard and row where an id is outside the vocabulary. Several threads may call it at once.
  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask = {}) const {
    if (index < 0 || index >= size()) throw Error("block {} of a data set of {} was asked for", index, size());
    const std::size_t length = static_cast<std::size_t>(block_size());
    if (ids.size() != length || (!mask.empty() && mask.size() != length))
      throw Error("a buffer for {} ids was given where a block has {}", ids.size(), length);
    source_->get(begin_ + index, ids, mask);
  }

 private:
  std::shared_ptr<BlockSource> source_;
  std::int64_t begin_ = 0, end_ = 0;
};

/// What to train on, and what is kept from training to measure the loss on.
struct TrainAndEval {
  BlockDataset train, eval;
};

/// The last blocks of a source held out: 5%, at most `max_eval_blocks`, and at least one when there are two.
inline TrainAndEval hold_out(const std::shared_ptr<BlockSource>& source, std::int64_t max_eval_blocks) {
  const std::int64_t size = source->size();
  std::int64_t held_out = std::min(max_eval_blocks, size / 20);
  if (size >= 2) held_out = std::max<std::int64_t>(held_out, 1);
  return {{source, 0, size - held_out}, {source, size - held_out, size}};
}

}  // namespace moderngpt2
