#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "dataset/text_samples.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "support/temporary_folder.hpp"

namespace moderngpt2::test {

/// Tokenizer with characters a to z, the space mark and two merges; eos is id 2.
inline std::string tokenizer_json() {
  std::string vocabulary = R"("<pad>": 0, "<unk>": 1, "<|endoftext|>": 2)";
  int id = 3;
  for (int byte = 0; byte < 256; ++byte) vocabulary += fmt::format(", \"<0x{:02X}>\": {}", byte, id++);
  vocabulary += fmt::format(", \"\xe2\x96\x81\": {}", id++);
  for (char c = 'a'; c <= 'z'; ++c) vocabulary += fmt::format(", \"{}\": {}", c, id++);
  vocabulary += fmt::format(", \"ab\": {}, \"abc\": {}", id, id + 1);
  return R"({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [
    {"id": 2, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
     "special": true}],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": null,
    "post_processor": null, "decoder": {"type": "Sequence", "decoders": [
      {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]},
    "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
      "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": {)" +
         vocabulary + R"(}, "merges": [["a", "b"], ["ab", "c"]]}})";
}

/// Folder with text of two languages and a tokenizer.
struct PretokenizeFixture {
  TemporaryFolder folder;
  PretokenizeOptions options;

  PretokenizeFixture() {
    std::filesystem::create_directory(folder / "tokenizer");
    write_bytes(folder / "tokenizer/tokenizer.json", tokenizer_json());
    write_bytes(folder / "tokenizer/tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
    std::string english, japanese;
    for (int i = 0; i < 300; ++i) english += fmt::format("{{\"text\": \"abc {} x\"}}\n", std::string(i % 23, 'q'));
    for (int i = 0; i < 70; ++i) japanese += fmt::format("{{\"text\": \"\xe6\x97\xa5{}\"}}\n", i);
    japanese += "{\"text\": \" \\n \"}\n{\"text\": \"abc<|endoftext|>\"}\n";
    write_bytes(folder / "t-en.jsonl", english);
    write_bytes(folder / "t-ja.jsonl", japanese);
    options.source.inputs = {folder.path().string() + "/*.jsonl"};
    options.output_path = folder / "out";
    options.block_size = 16;
    options.max_samples_per_shard = 100;
  }

  Tokenizer tokenizer() const { return Tokenizer::load(folder / "tokenizer"); }
  DatasetMetadata run() { return pretokenize(tokenizer(), options); }

  std::vector<std::int32_t> all_ids(const BlockDataset& data) const {
    std::vector<std::int32_t> ids, block(static_cast<std::size_t>(data.block_size()));
    for (std::int64_t i = 0; i < data.size(); ++i) {
      data.get(i, block);
      ids.insert(ids.end(), block.begin(), block.end());
    }
    return ids;
  }

  /// Content of each file in a folder and its subfolders, by name.
  std::vector<std::string> contents(const std::filesystem::path& path) const {
    std::vector<std::string> files;
    for (const std::string& name : listing(path))
      files.push_back(name + ":" + (std::filesystem::is_regular_file(path / name) ? read_bytes(path / name) : ""));
    return files;
  }

  std::vector<std::string> listing(const std::filesystem::path& path) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      names.push_back(std::filesystem::relative(entry.path(), path).string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

}  // namespace moderngpt2::test
