#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Interface for random access to blocks of token ids: shards (data/dataset.hpp), memory, or a derived class. get()
/// must be thread-safe.
class BlockSource {
 public:
  virtual ~BlockSource() = default;
  virtual std::int64_t size() const = 0;
  virtual int block_size() const = 0;
  /// Maximum memory in bytes that the source allocates for decoded blocks of its files; 0: none.
  virtual std::uint64_t memory_bytes() const { return 0; }
  /// Copies block `index` (in range) into `ids`, and its attention mask into `mask` unless that is empty.
  virtual void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) = 0;
};

/// Tokens in memory, split into blocks. The last, partial block is discarded. Threads: several at once.
class MemoryBlocks final : public BlockSource {
 public:
  MemoryBlocks(std::vector<std::int32_t> tokens, int block_size) : tokens_(std::move(tokens)), block_size_(block_size) {
    if (block_size < 1) throw Error("block size is {}, it must be at least 1", block_size);
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

/// Range of blocks of a source, read by index in any order. All blocks have the same length. Copies share the source.
/// Threads: several may read at once.
class BlockDataset {
 public:
  BlockDataset() = default;
  /// Blocks [begin, end) of a source. Throws an Error if the source does not have them.
  BlockDataset(std::shared_ptr<BlockSource> source, std::int64_t begin, std::int64_t end)
      : source_(std::move(source)), begin_(begin), end_(end) {
    const std::int64_t size = source_ ? source_->size() : 0;
    if (begin < 0 || end < begin || end > size)
      throw Error("blocks {} to {} of a source were requested, it has {}", begin, end, size);
  }

  std::int64_t size() const { return end_ - begin_; }
  int block_size() const { return source_ ? source_->block_size() : 0; }
  /// Memory of the source, which several data sets may share.
  std::uint64_t memory_bytes() const { return source_ ? source_->memory_bytes() : 0; }
  bool shares_source(const BlockDataset& other) const { return source_ == other.source_; }

  /// Copies block `index` into `ids`, and its attention mask into `mask` unless that is empty: block_size() elements
  /// each. Throws Error that names shard and row for an id outside the vocabulary. Thread-safe.
  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask = {}) const {
    if (index < 0 || index >= size()) throw Error("block {} is out of range, the data set has {}", index, size());
    const std::size_t length = static_cast<std::size_t>(block_size());
    if (ids.size() != length || (!mask.empty() && mask.size() != length))
      throw Error("the buffer has room for {} ids, a block has {}", ids.size(), length);
    source_->get(begin_ + index, ids, mask);
  }

 private:
  std::shared_ptr<BlockSource> source_;
  std::int64_t begin_ = 0, end_ = 0;
};

/// Training set and validation set.
struct TrainAndEval {
  BlockDataset train, eval;
};

/// Splits the last blocks off as validation set: 5%, at most `max_eval_blocks`, at least 1 if there are 2 or more.
inline TrainAndEval hold_out(const std::shared_ptr<BlockSource>& source, std::int64_t max_eval_blocks) {
  const std::int64_t size = source->size();
  std::int64_t held_out = std::min(max_eval_blocks, size / 20);
  if (size >= 2) held_out = std::max<std::int64_t>(held_out, 1);
  return {{source, 0, size - held_out}, {source, size - held_out, size}};
}

}  // namespace moderngpt2
