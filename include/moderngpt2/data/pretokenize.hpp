#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/data/dataset.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/data/packing.hpp"
#include "moderngpt2/data/shard_writer.hpp"
#include "moderngpt2/data/source.hpp"
#include "moderngpt2/data/staging.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// What pretokenize() makes of which text.
struct PretokenizeOptions {
  SourceOptions source;
  std::filesystem::path output_path;
  int block_size = 1024;
  std::int64_t max_samples_per_shard = 200000;
  double eval_fraction = 0;           // of the blocks, the last ones, kept apart for evaluation
  bool split_special_tokens = false;  // text that looks like a special token is ordinary text
};

/// How far a run is: `bytes_read` of `total_bytes` as the files lie on disk, the rest of what came out of them.
struct PretokenizeProgress {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0, bytes_read = 0, total_bytes = 0;
};

namespace detail {

/// Takes the last blocks of the shards in `folder` out of them and into shards of `folder`/eval; what stays is byte for
/// byte what would have been written without them.
inline void split_evaluation(const std::filesystem::path& folder, const PretokenizeOptions& options,
                             DatasetMetadata& metadata) {
  const std::int64_t blocks = metadata.train_blocks;
  if (options.eval_fraction <= 0 || blocks < 2) return;
  const double wanted = std::round(options.eval_fraction * static_cast<double>(blocks));
  const std::int64_t taken = std::clamp<std::int64_t>(static_cast<std::int64_t>(wanted), 1, blocks - 1);
  const std::int64_t kept = blocks - taken;
  std::vector<std::filesystem::path> files;
  for (const std::string& name : metadata.train_files) files.push_back(folder / name);
  DatasetOptions all;
  all.cache_bytes = 0;
  all.block_size = options.block_size;
  ShardSet shards(files, blocks, all);
  std::vector<std::int32_t> block(static_cast<std::size_t>(options.block_size));

  ShardWriter eval(folder / "eval", options.block_size, options.max_samples_per_shard);
  for (std::int64_t i = kept; i < blocks; ++i) {
    shards.get(i, block, {});
    eval.add(block);
  }
  eval.finish();
  const std::int64_t whole = kept / options.max_samples_per_shard, rest = kept % options.max_samples_per_shard;
  if (rest > 0) {
    ParquetWriter shard(files[static_cast<std::size_t>(whole)], options.block_size);
    for (std::int64_t i = kept - rest; i < kept; ++i) {
      shards.get(i, block, {});
      shard.add(block);
    }
    shard.finish();
  }
  metadata.train_files.resize(static_cast<std::size_t>(whole + (rest > 0 ? 1 : 0)));
  for (const std::string& name : eval.names()) metadata.eval_files.push_back("eval/" + name);
  metadata.train_blocks = kept;
  metadata.eval_blocks = taken;
  metadata.eval_size = std::min(taken, options.max_samples_per_shard);
}

}  // namespace detail

/// Reads text, encodes it, packs it into blocks and writes them as shards with metadata.yaml into an output folder,
/// which holds all of them when this returns and none when it throws. `report`, where given, is called after each
/// document and may throw to stop. Throws Error where the output holds a data set already, an input cannot be read, the
/// tokenizer has no eos, or the text is too short for a block.
inline DatasetMetadata pretokenize(const Tokenizer& tokenizer, const PretokenizeOptions& options,
                                   const std::function<void(const PretokenizeProgress&)>& report = {}) {
  if (!tokenizer.eos_id())
    throw Error(
        "the tokenizer has no eos token, which must end each document: set \"eos_token\" "
        "in its tokenizer_config.json");
  DocumentSource source(options.source);
  DatasetStaging staging(options.output_path);
  ShardWriter shards(staging.folder(), options.block_size, options.max_samples_per_shard);
  const auto encode = [&](std::string_view text, std::vector<int>& ids) {
    ids.insert(ids.end(), tokenizer.prefix_ids().begin(), tokenizer.prefix_ids().end());
    tokenizer.encode(text, ids, options.split_special_tokens);
    ids.insert(ids.end(), tokenizer.suffix_ids().begin(), tokenizer.suffix_ids().end());
  };
  BlockPacker packer(options.block_size, *tokenizer.eos_id(), encode, [&](const auto& block) { shards.add(block); });

  DatasetMetadata metadata;
  for (const std::string& language : source.languages()) metadata.languages.push_back({language, 0, 0, 0});
  PretokenizeProgress progress;
  progress.total_bytes = source.total_bytes();
  for (Document document; source.next(document);) {
    const std::int64_t tokens = packer.add(document.text);
    if (tokens == 0) continue;
    const auto counts = std::find_if(metadata.languages.begin(), metadata.languages.end(),
                                     [&](const LanguageCounts& c) { return c.language == document.language; });
    const auto bytes = static_cast<std::int64_t>(document.text.size());
    ++counts->documents, ++progress.documents;
    counts->tokens += tokens, progress.tokens += tokens;
    counts->bytes += bytes, progress.text_bytes += bytes;
    progress.bytes_read = source.bytes_read();
    if (report) report(progress);
  }
  shards.finish();
  if (shards.blocks() == 0)
    throw Error("the text gives {} tokens, too few for one block of {}: give more text or a smaller --block_size",
                progress.tokens, options.block_size);
  metadata.train_files = shards.names();
  metadata.train_blocks = shards.blocks();
  metadata.block_size = options.block_size;
  metadata.vocab_size = tokenizer.vocab_size();
  metadata.tokenizer_fingerprint = fmt::format("{:016x}", tokenizer.fingerprint());
  detail::split_evaluation(staging.folder(), options, metadata);
  staging.publish(metadata);
  return metadata;
}

/// A table of what was packed of each language, for people.
inline std::string summary(const DatasetMetadata& metadata) {
  std::string text =
      fmt::format("{:<10} {:>12} {:>15} {:>16} {:>12}\n", "language", "documents", "tokens", "bytes", "bytes/token");
  LanguageCounts total{"total", 0, 0, 0};
  const auto row = [&](const LanguageCounts& c) {
    const double ratio = c.tokens > 0 ? static_cast<double>(c.bytes) / static_cast<double>(c.tokens) : 0;
    text += fmt::format("{:<10} {:>12} {:>15} {:>16} {:>12.2f}\n", c.language, c.documents, c.tokens, c.bytes, ratio);
  };
  for (const LanguageCounts& c : metadata.languages) {
    row(c);
    total.documents += c.documents, total.tokens += c.tokens, total.bytes += c.bytes;
  }
  if (metadata.languages.size() > 1) row(total);
  const std::int64_t used = (metadata.train_blocks + metadata.eval_blocks) * metadata.block_size;
  return text + fmt::format(
                    "{} blocks of {} tokens for training, {} for evaluation; {} tokens of a last, partial block "
                    "left out\n",
                    metadata.train_blocks, metadata.block_size, metadata.eval_blocks, total.tokens - used);
}

}  // namespace moderngpt2
