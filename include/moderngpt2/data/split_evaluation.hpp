#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/data/parquet_writer.hpp"
#include "moderngpt2/data/pretokenize_options.hpp"
#include "moderngpt2/data/shard_writer.hpp"
#include "moderngpt2/data/staging.hpp"

namespace moderngpt2::detail {

/// Copies the last blocks of the staged shards to validation shards, and writes a shortened copy of the shard in which
/// they begin (DatasetStaging::cut_shard). Training shards then have the bytes that they would have without these
/// blocks. Staged shards do not change, so that an interrupted run can repeat this step.
void split_evaluation(const DatasetStaging& staging, const PretokenizeOptions& options, DatasetMetadata& metadata);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2::detail {

MODERNGPT2_INLINE void split_evaluation(const DatasetStaging& staging, const PretokenizeOptions& options,
                                        DatasetMetadata& metadata) {
  const std::int64_t blocks = metadata.train_blocks;
  if (options.eval_fraction <= 0 || blocks < 2) return;
  const double wanted = std::round(options.eval_fraction * static_cast<double>(blocks));
  const std::int64_t taken = std::clamp<std::int64_t>(static_cast<std::int64_t>(wanted), 1, blocks - 1);
  const std::int64_t kept = blocks - taken;
  std::vector<std::filesystem::path> files;
  for (const std::string& name : metadata.train_files) files.push_back(staging.folder() / name);
  DatasetOptions all;
  all.cache_bytes = 0;
  all.block_size = options.block_size;
  ShardSet shards(files, blocks, all);
  std::vector<std::int32_t> block(static_cast<std::size_t>(options.block_size));

  ShardWriter eval(staging.eval_folder(), options.block_size, options.max_samples_per_shard);
  for (std::int64_t i = kept; i < blocks; ++i) {
    shards.get(i, block, {});
    eval.add(block);
  }
  eval.finish();
  const std::int64_t whole = kept / options.max_samples_per_shard, rest = kept % options.max_samples_per_shard;
  if (rest > 0) {
    const auto shard = create_blocks(staging.cut_shard(), options.block_size);
    for (std::int64_t i = kept - rest; i < kept; ++i) {
      shards.get(i, block, {});
      shard->add(block);
    }
    shard->finish();
  }
  metadata.train_files.resize(static_cast<std::size_t>(whole + (rest > 0 ? 1 : 0)));
  for (const std::string& name : eval.names()) metadata.eval_files.push_back("eval/" + name);
  metadata.train_blocks = kept;
  metadata.eval_blocks = taken;
  metadata.eval_size = std::min(taken, options.max_samples_per_shard);
}

}  // namespace moderngpt2::detail

#endif
