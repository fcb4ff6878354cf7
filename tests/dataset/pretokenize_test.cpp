#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "dataset/pretokenize_fixture.hpp"
#include "moderngpt2/data/pretokenize.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE_FIXTURE(PretokenizeFixture, "text becomes blocks with nothing lost, in the order of the source") {
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

TEST_CASE_FIXTURE(PretokenizeFixture, "an evaluation set takes the last blocks and changes no other byte") {
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

TEST_CASE_FIXTURE(PretokenizeFixture, "a folder never holds two runs, or half of one") {
  run();
  const std::vector<std::string> files = listing(folder / "out");
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("already contains a data set"), Error);
  CHECK(listing(folder / "out") == files);

  options.output_path = folder / "stopped";
  int seen = 0;
  const auto stop = [&](const PretokenizeProgress&) {
    if (++seen == 5) throw Error("stopped");
  };
  CHECK_THROWS_WITH_AS(pretokenize(tokenizer(), options, stop), "stopped", Error);
  CHECK(listing(folder / "stopped").empty());

  // A killed run leaves a hidden folder, which the next run discards.
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

TEST_CASE_FIXTURE(PretokenizeFixture, "a run killed while it moved its shards is undone") {
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

TEST_CASE_FIXTURE(PretokenizeFixture, "two runs at once, and outputs that cannot be") {
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

TEST_CASE_FIXTURE(PretokenizeFixture, "special tokens in the text are tokens or text") {
  const std::int64_t as_tokens = run().languages[1].tokens;
  options.output_path = folder / "split";
  options.split_special_tokens = true;
  CHECK(run().languages[1].tokens > as_tokens + 5);
}

TEST_CASE_FIXTURE(PretokenizeFixture, "the bytes do not depend on the number of threads") {
  options.eval_fraction = 0.2;
  run();
  const std::vector<std::string> one = contents(folder / "out");
  for (const int threads : {2, 3, 16}) {
    options.num_threads = threads;
    options.output_path = folder / fmt::format("out{}", threads);
    run();
    CHECK(contents(options.output_path) == one);
  }
}

TEST_CASE_FIXTURE(PretokenizeFixture, "warnings come to the calling thread, and errors after what stands before them") {
  write_bytes(folder / "t-ko.jsonl", "{\"text\": \"a\"}\nbroken\n");
  std::vector<std::string> warnings;
  options.source.warn = [&](const std::string& line) { warnings.push_back(line); };
  options.num_threads = 3;
  run();
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[0].find("t-ko.jsonl:2: skipped: broken JSON") != std::string::npos);
  CHECK(warnings[1] == "1 lines without a document were skipped");
  options.source.strict = true;
  options.output_path = folder / "strict";
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("t-ko.jsonl:2: broken JSON"), Error);
  CHECK(listing(folder / "strict").empty());
}

TEST_CASE_FIXTURE(PretokenizeFixture, "a full disk leaves nothing behind") {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};  // limit on a file's size: EFBIG stands for ENOSPC
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      run();
    } catch (const Error& error) {
      const std::string what = error.what();
      _exit(what.find("shard_00000.parquet") != what.npos && what.find("File too large") != what.npos ? 7 : 8);
    }
    _exit(9);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(listing(folder / "out").empty());
}

TEST_CASE_FIXTURE(PretokenizeFixture, "BPE dropout depends on seed and document, not on threads or interruptions") {
  const auto ids_of = [&](const char* name, double dropout, std::uint64_t seed, int threads) {
    options.output_path = folder / name;
    options.bpe_dropout = dropout, options.seed = seed, options.num_threads = threads;
    run();
    return contents(folder / name);
  };
  const auto none = ids_of("none", 0, 1, 1), half = ids_of("half", 0.5, 1, 1);
  CHECK(none != half);
  CHECK(ids_of("threads", 0.5, 1, 3) == half);
  CHECK(ids_of("seed", 0.5, 2, 1) != half);
  CHECK(read_metadata(folder / "half/metadata.yaml").bpe_dropout == 0.5);
  CHECK(read_bytes(folder / "none/metadata.yaml").find("bpe_dropout") == std::string::npos);
  // Every document has the same text with any dropout.
  const DatasetSplits splits = DatasetSplits::open(folder / "half");
  const std::string text = tokenizer().decode(all_ids(splits.train), true);
  CHECK(text.find("abc qqq x") != std::string::npos);

  options.output_path = folder / "stopped";
  options.max_samples_per_shard = 20;
  const auto stop = [&](const PretokenizeProgress& now) {
    if (now.documents >= 200) throw Error("stopped");
  };
  options.seed = 1;
  CHECK_THROWS_AS(pretokenize(tokenizer(), options, stop), Error);
  options.resume = true;
  options.bpe_dropout = 0.25;
  CHECK_THROWS_AS(run(), Error);  // the shards so far have another
  options.bpe_dropout = 0.5;
  run();
  CHECK(all_ids(DatasetSplits::open(folder / "stopped").train) == all_ids(splits.train));
  options.bpe_dropout = 2;
  CHECK_THROWS_AS(run(), Error);
}

TEST_CASE_FIXTURE(PretokenizeFixture, "eos of the options ends documents, and is needed where the tokenizer has none") {
  write_bytes(folder / "tokenizer/tokenizer_config.json", "{}");
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("eos_token_id"), Error);
  options.eos_id = 100'000;
  CHECK_THROWS_WITH_AS(run(), doctest::Contains("100000"), Error);
  options.eos_id = 2;
  run();
  write_bytes(folder / "tokenizer/tokenizer_config.json", R"({"eos_token": "<|endoftext|>"})");
  const auto chosen = contents(options.output_path);
  options.eos_id.reset();
  options.output_path = folder / "named";
  run();
  CHECK(contents(options.output_path) == chosen);
}

TEST_CASE_FIXTURE(PretokenizeFixture, "ids past 65535 and 2^17 are kept, with holes below them") {
  Json json = parse_json(tokenizer_json(), "t");
  json["model"]["vocab"]["q"] = 70'000;
  json["model"]["vocab"]["abc"] = 262'143;
  write_bytes(folder / "tokenizer/tokenizer.json", json.dump());
  const DatasetMetadata metadata = run();
  CHECK(metadata.vocab_size == 262'144);
  const auto ids = all_ids(DatasetSplits::open(options.output_path).train);
  CHECK(std::count(ids.begin(), ids.end(), 70'000) > 0);
  CHECK(std::count(ids.begin(), ids.end(), 262'143) > 0);
}
