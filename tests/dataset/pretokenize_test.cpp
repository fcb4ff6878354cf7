#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/text_samples.hpp"
#include "moderngpt2/data/pretokenize.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// Characters a to z, the space mark and two merges; eos is id 2.
std::string tokenizer_json() {
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

struct Fixture {
  TemporaryFolder folder;
  PretokenizeOptions options;

  Fixture() {
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

  std::vector<std::string> listing(const std::filesystem::path& path) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path))
      names.push_back(std::filesystem::relative(entry.path(), path).string());
    std::sort(names.begin(), names.end());
    return names;
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "text becomes blocks with nothing lost, in the order of the source") {
  const DatasetMetadata metadata = run();
  std::vector<std::int32_t> expected;
  DocumentSource source(options.source);
  const Tokenizer encoder = tokenizer();
  for (Document document; source.next(document);) {
    if (is_white_space(document.text)) continue;
    for (const int id : encoder.encode(document.text)) expected.push_back(id);
    if (expected.back() != 2) expected.push_back(2);
  }
  const std::size_t total = expected.size();
  expected.resize(total / 16 * 16);
  DatasetOptions all;
  all.max_eval_blocks = 1;
  const DatasetSplits splits = DatasetSplits::open(options.output_path, all);
  std::vector<std::int32_t> ids = all_ids(splits.train);
  for (const std::int32_t id : all_ids(splits.eval)) ids.push_back(id);
  CHECK(ids == expected);
  REQUIRE(metadata.languages.size() == 2);
  CHECK(metadata.languages[0].language == "en");
  CHECK(metadata.languages[0].documents == 300);
  CHECK(metadata.languages[1].documents == 71);
  CHECK(metadata.languages[0].tokens + metadata.languages[1].tokens == static_cast<std::int64_t>(total));
  CHECK(metadata.vocab_size == encoder.vocab_size());
  CHECK(splits.metadata.tokenizer_fingerprint == fmt::format("{:016x}", encoder.fingerprint()));
  CHECK(summary(metadata).find("total ") != std::string::npos);
}

TEST_CASE_FIXTURE(Fixture, "an evaluation set takes the last blocks and changes no other byte") {
  const DatasetMetadata whole = run();
  options.output_path = folder / "split";
  options.eval_fraction = 0.37;
  const DatasetMetadata split = run();
  CHECK(split.eval_blocks == std::llround(0.37 * static_cast<double>(whole.train_blocks)));
  CHECK(split.train_blocks + split.eval_blocks == whole.train_blocks);
  DatasetOptions all;
  all.max_eval_blocks = 0;
  const DatasetSplits before = DatasetSplits::open(folder / "out", all), after = DatasetSplits::open(folder / "split");
  CHECK(after.eval.size() == split.eval_blocks);
  std::vector<std::int32_t> one = all_ids(before.train), two = all_ids(after.train);
  for (const std::int32_t id : all_ids(before.eval)) one.push_back(id);
  for (const std::int32_t id : all_ids(after.eval)) two.push_back(id);
  CHECK(one == two);
  CHECK(read_bytes(folder / "out/shard_00000.parquet") == read_bytes(folder / "split/shard_00000.parquet"));
  CHECK(DatasetSplits::open(folder / "split/metadata.yaml").eval.size() == split.eval_blocks);
}

TEST_CASE_FIXTURE(Fixture, "a folder never holds two runs, or half of one") {
  run();
  const std::vector<std::string> files = listing(folder / "out");
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("holds a data set already"), Error);
  CHECK(listing(folder / "out") == files);

  options.output_path = folder / "stopped";
  int seen = 0;
  const auto stop = [&](const PretokenizeProgress&) {
    if (++seen == 250) throw Error("stopped");
  };
  CHECK_THROWS_WITH_AS(pretokenize(tokenizer(), options, stop), "stopped", Error);
  CHECK(listing(folder / "stopped").empty());

  // One that is killed leaves a hidden folder, which the next run clears away.
  const pid_t child = fork();
  if (child == 0) {
    pretokenize(tokenizer(), options, [](const PretokenizeProgress& now) {
      if (now.documents == 300) raise(SIGKILL);
    });
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK(std::filesystem::exists(folder / "stopped/.unfinished/shard_00000.parquet"));
  run();
  CHECK(listing(folder / "stopped") == files);
  for (const std::string& name : files)
    CHECK(read_bytes(folder / "out" / name) == read_bytes(folder / "stopped" / name));
}

TEST_CASE_FIXTURE(Fixture, "a run killed while it moved its shards is undone") {
  run();
  const std::vector<std::string> files = listing(folder / "out");
  const std::filesystem::path hidden = folder / "out/.unfinished";
  std::filesystem::create_directories(hidden / "eval");
  std::filesystem::rename(folder / "out/metadata.yaml", hidden / "metadata.yaml");
  std::filesystem::rename(folder / "out/shard_00001.parquet", hidden / "shard_00001.parquet");
  write_bytes(hidden / "publishing", "");
  run();
  CHECK(listing(folder / "out") == files);
}

TEST_CASE_FIXTURE(Fixture, "two runs at once, and outputs that cannot be") {
  {
    const DatasetStaging first(folder / "out");
    CHECK_THROWS_WITH_AS(DatasetStaging(folder / "out"), doctest::Contains("another process"), Error);
    CHECK(std::filesystem::exists(first.folder()));
  }
  options.output_path = folder / "t-en.jsonl";
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("cannot make the folder"), Error);
  options.output_path = folder / "out";
  options.block_size = 1 << 20;
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("too few for one block"), Error);
  options.block_size = 16;
  std::filesystem::remove(folder / "tokenizer/tokenizer_config.json");
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("no eos token"), Error);
  CHECK(listing(folder / "out").empty());
}

TEST_CASE_FIXTURE(Fixture, "special tokens in the text are tokens or text") {
  const std::int64_t as_tokens = run().languages[1].tokens;
  options.output_path = folder / "split";
  options.split_special_tokens = true;
  CHECK(run().languages[1].tokens > as_tokens + 5);
}
