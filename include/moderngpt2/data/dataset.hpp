#pragma once

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/data/input_files.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/data/parquet_reader.hpp"
#include "moderngpt2/data/splits.hpp"
#include "moderngpt2/io/folder.hpp"

namespace moderngpt2 {

/// Options for opening a pre-tokenized data set.
struct DatasetOptions {
  int block_size = 0;                   ///< expected block size of the shards; 0: any
  std::int64_t vocab_size = 0;          ///< ids must be below; 0: value of metadata.yaml, if any
  std::int64_t max_eval_blocks = 1000;  ///< maximum size of a validation set split off the training set
  std::size_t cache_bytes = std::size_t{1} << 30;
};

namespace detail {

/// Shards of a data set as one sequence of blocks. Caches the most recently used decoded row groups, up to a number of
/// bytes, and open files. Thread-safe.
class ShardSet final : public BlockSource {
 public:
  ShardSet(const std::vector<std::filesystem::path>& files, std::int64_t max_rows_each, const DatasetOptions& options);

  std::int64_t size() const override { return starts_.back(); }
  int block_size() const override { return options_.block_size; }
  std::uint64_t memory_bytes() const override {
    return std::min(decoded_bytes_, options_.cache_bytes + largest_group_);
  }

  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) override;

 private:
  using Key = std::pair<std::size_t, std::int64_t>;  // shard and first row
  struct Entry {
    Key key;
    std::shared_ptr<const BlockGroup> group;
  };

  std::shared_ptr<const BlockGroup> find(std::size_t shard, std::int64_t row);

  BlockReader& open(std::size_t shard);

  DatasetOptions options_;
  std::vector<std::filesystem::path> paths_;
  std::vector<std::int64_t> starts_;  // index of each shard's first block, then the number of blocks
  std::mutex mutex_;
  std::list<Entry> recent_;
  std::map<Key, std::list<Entry>::iterator> cache_;
  std::size_t cached_bytes_ = 0;
  std::uint64_t decoded_bytes_ = 0, largest_group_ = 0;  // all row groups, and the largest
  std::list<std::pair<std::size_t, std::unique_ptr<BlockReader>>> readers_;
};

/// Number in a name such as "shard_12.parquet", or -1 for other names.
std::int64_t shard_number(const std::filesystem::path& path);

}  // namespace detail

/// Files shard_N.parquet of a folder, ordered by number; empty if the folder does not exist. Throws Error for equal
/// numbers or a folder that cannot be read.
std::vector<std::filesystem::path> find_shards(const std::filesystem::path& folder);

/// Files *.parquet of a folder and its subfolders, ordered by name, for data sets of other programs.
std::vector<std::filesystem::path> find_parquet_files(const std::filesystem::path& folder);

/// Pre-tokenized data set: training set, validation set and metadata.
struct DatasetSplits : TrainAndEval {
  DatasetMetadata metadata;        ///< without a metadata.yaml, only the file lists are set
  std::vector<std::string> notes;  ///< lines about files that are not used for training

  /// Opens a metadata file or a folder of shards: shard_*.parquet, eval/shard_*.parquet and an optional metadata.yaml;
  /// without such names, all .parquet files, divided by split_of(). Without a validation set, the last blocks are held
  /// out: see hold_out(). Throws Error for a missing file, a file that is not a shard, or a shard with another block
  /// size.
  static DatasetSplits open(const std::filesystem::path& path, DatasetOptions options = {}) {
    DatasetSplits splits;
    std::vector<std::filesystem::path> train_files, eval_files;
    if (!std::filesystem::exists(path)) throw Error("{}: no such data set (a folder or a YAML file)", path.string());
    if (std::filesystem::is_directory(path)) {
      if (std::filesystem::exists(path / "metadata.yaml")) splits.metadata = read_metadata(path / "metadata.yaml");
      train_files = find_shards(path);
      eval_files = find_shards(path / "eval");
      if (train_files.empty()) {
        SplitPaths parts = split_paths(path, find_parquet_files(path));
        splits.notes = split_notes(parts, true);
        train_files = std::move(parts.train), eval_files = std::move(parts.validation);
        if (train_files.empty() && !splits.notes.empty())
          throw Error("{}. The folder has no training files", splits.notes.front());
      }
      if (train_files.empty()) detail::refuse_arrow_inside(path);
      if (train_files.empty())
        throw Error("{}: contains no shard_*.parquet; create them with pretokenize_dataset", path.string());
    } else {
      splits.metadata = read_metadata(path);
      train_files = resolve(splits.metadata.train_files, path);
      eval_files = resolve(splits.metadata.eval_files, path);
    }
    if (options.block_size == 0) options.block_size = splits.metadata.block_size;
    if (options.vocab_size == 0) options.vocab_size = splits.metadata.vocab_size;
    constexpr std::int64_t all = std::int64_t{1} << 62;
    const auto train = std::make_shared<detail::ShardSet>(train_files, all, options);
    if (train->size() == 0) throw Error("{}: the shards contain no blocks", path.string());
    options.block_size = train->block_size();
    if (eval_files.empty()) {
      static_cast<TrainAndEval&>(splits) = hold_out(train, options.max_eval_blocks);
      return splits;
    }
    const bool listed = !std::filesystem::is_directory(path);
    const auto eval = std::make_shared<detail::ShardSet>(eval_files, listed ? splits.metadata.eval_size : all, options);
    splits.eval = BlockDataset(eval, 0, eval->size());
    splits.train = BlockDataset(train, 0, train->size());
    return splits;
  }

 private:
  static std::vector<std::filesystem::path> resolve(const std::vector<std::string>& names,
                                                    const std::filesystem::path& metadata_file) {
    std::vector<std::filesystem::path> files;
    for (const std::string& name : names) {
      const std::filesystem::path beside = metadata_file.parent_path() / name;
      if (std::filesystem::exists(beside))
        files.push_back(beside);
      else if (std::filesystem::exists(name))
        files.push_back(name);
      else
        throw Error("{}: the shard {} is missing", metadata_file.string(), name);
    }
    return files;
  }
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::int64_t shard_number(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with("shard_") || !name.ends_with(".parquet")) return -1;
  const std::string digits = name.substr(6, name.size() - 6 - 8);
  if (digits.empty() || digits.size() > 18) return -1;
  std::int64_t number = 0;
  for (const char c : digits) {
    if (!std::isdigit(static_cast<unsigned char>(c))) return -1;
    number = number * 10 + (c - '0');
  }
  return number;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::vector<std::filesystem::path> find_shards(const std::filesystem::path& folder) {
  std::vector<std::pair<std::int64_t, std::filesystem::path>> found;
  for (const std::filesystem::path& path : folder_entries(folder)) {
    const std::int64_t number = detail::shard_number(path);
    if (number >= 0) found.emplace_back(number, path);
  }
  std::sort(found.begin(), found.end());
  const auto twice =
      std::adjacent_find(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != found.end())
    throw Error("{} and {} have the same number: remove one", twice->second.string(),
                std::next(twice)->second.string());
  std::vector<std::filesystem::path> files;
  for (auto& [number, path] : found) files.push_back(std::move(path));
  return files;
}

MODERNGPT2_INLINE std::vector<std::filesystem::path> find_parquet_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const std::filesystem::path& path : folder_entries(folder)) {
    if (path.filename().string().starts_with(".")) continue;
    if (std::filesystem::is_directory(path)) {
      const auto inside = find_parquet_files(path);
      files.insert(files.end(), inside.begin(), inside.end());
    } else if (path.extension() == ".parquet") {
      files.push_back(path);
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace moderngpt2

namespace moderngpt2::detail {

MODERNGPT2_INLINE ShardSet::ShardSet(const std::vector<std::filesystem::path>& files, std::int64_t max_rows_each,
                                     const DatasetOptions& options)
    : options_(options) {
  starts_.push_back(0);
  for (const std::filesystem::path& path : files) {
    auto reader = open_blocks(path);
    const std::int64_t rows = std::min(reader->rows(), max_rows_each);
    if (reader->rows() > 0) {
      if (options_.block_size == 0) options_.block_size = reader->block_size();
      if (reader->block_size() != options_.block_size)
        throw Error("{}: its blocks have {} ids where {} are expected", path.string(), reader->block_size(),
                    options_.block_size);
    }
    for (int group = 0; group < reader->groups(); ++group) {
      const std::vector<std::int64_t>& starts = reader->group_starts();
      const std::int64_t begin = starts[static_cast<std::size_t>(group)],
                         end = starts[static_cast<std::size_t>(group) + 1];
      const auto bytes = static_cast<std::uint64_t>(end - begin) * static_cast<std::uint64_t>(options_.block_size) *
                         sizeof(std::int32_t);
      if (begin < rows) decoded_bytes_ += bytes, largest_group_ = std::max(largest_group_, bytes);
    }
    starts_.push_back(starts_.back() + rows);
    paths_.push_back(path);
  }
}

MODERNGPT2_INLINE void ShardSet::get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t shard =
      static_cast<std::size_t>(std::upper_bound(starts_.begin(), starts_.end(), index) - starts_.begin()) - 1;
  const std::int64_t row = index - starts_[shard];
  const std::shared_ptr<const BlockGroup> group = find(shard, row);
  const std::int64_t begin = (row - group->first_row) * block_size();
  std::copy_n(group->ids.begin() + begin, block_size(), ids.begin());
  if (mask.empty()) return;
  if (group->mask.empty())
    std::fill(mask.begin(), mask.end(), std::int8_t{1});
  else
    std::copy_n(group->mask.begin() + begin, block_size(), mask.begin());
}

MODERNGPT2_INLINE std::shared_ptr<const BlockGroup> ShardSet::find(std::size_t shard, std::int64_t row) {
  auto found = cache_.upper_bound({shard, row});
  if (found != cache_.begin()) {
    --found;
    const BlockGroup& group = *found->second->group;
    if (found->first.first == shard && row < group.first_row + group.rows) {
      recent_.splice(recent_.begin(), recent_, found->second);
      return recent_.front().group;
    }
  }
  BlockReader& reader = open(shard);
  const std::vector<std::int64_t>& starts = reader.group_starts();
  const int number = static_cast<int>(std::upper_bound(starts.begin(), starts.end(), row) - starts.begin()) - 1;
  if (number >= reader.groups()) throw Error("{}: the file has changed while in use", paths_[shard].string());
  const auto group = std::make_shared<const BlockGroup>(reader.read(number, options_.vocab_size));
  while (!recent_.empty() && cached_bytes_ + group->bytes() > options_.cache_bytes) {
    cached_bytes_ -= recent_.back().group->bytes();
    cache_.erase(recent_.back().key);
    recent_.pop_back();
  }
  recent_.push_front({{shard, group->first_row}, group});
  cache_[recent_.front().key] = recent_.begin();
  cached_bytes_ += group->bytes();
  return group;
}

MODERNGPT2_INLINE BlockReader& ShardSet::open(std::size_t shard) {
  constexpr std::size_t open_files = 64;
  auto found = std::find_if(readers_.begin(), readers_.end(), [&](const auto& entry) { return entry.first == shard; });
  if (found != readers_.end()) {
    readers_.splice(readers_.begin(), readers_, found);
  } else {
    readers_.emplace_front(shard, open_blocks(paths_[shard]));
    if (readers_.size() > open_files) readers_.pop_back();
  }
  return *readers_.front().second;
}

}  // namespace moderngpt2::detail

#endif
