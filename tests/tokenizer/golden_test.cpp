#include <algorithm>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

// Files in tests/data/tokenizer: cases.json has the ids of Hugging Face `tokenizers` 0.23 for each text with the
// tokenizer.json beside it. `bpe` (700 tokens) and `unigram` (460) were trained by train_tokenizer on sentences in
// English, Japanese, Korean and Chinese written for it. `flags` is `bpe` without byte fallback, with merges that join
// words over a space, merges in the old notation, and added tokens with every flag.
namespace {

const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer";

std::vector<int> ids_of(const Json& list) { return list.get<std::vector<int>>(); }

void check_cases(const std::string& name) {
  const Tokenizer tokenizer = Tokenizer::load(folder / name);
  const Json cases = read_json_file(folder / name / "cases.json");
  REQUIRE(cases.size() > 100);
  for (const Json& one : cases) {
    const auto text = one["text"].get<std::string>();
    CAPTURE(text);
    const std::vector<int> ids = tokenizer.encode(text);
    CHECK(ids == ids_of(one["ids"]));
    CHECK(tokenizer.encode(text, true) == ids_of(one.contains("split_ids") ? one["split_ids"] : one["ids"]));
    const std::string decoded = one.value("decoded", text);
    CHECK(tokenizer.decode(ids) == decoded);
    CHECK(tokenizer.decode(ids, true) == one.value("decoded_without_special", decoded));
    StreamDecoder stream(tokenizer, false);
    std::string streamed;
    for (const int id : ids) streamed += stream.put(id);
    CHECK(streamed + stream.finish() == decoded);
  }
}

}  // namespace

TEST_CASE("ids and text equal those of Hugging Face tokenizers: bpe") { check_cases("bpe"); }
TEST_CASE("ids and text equal those of Hugging Face tokenizers: unigram") { check_cases("unigram"); }
TEST_CASE("ids and text equal those of Hugging Face tokenizers: flags of added tokens") { check_cases("flags"); }

TEST_CASE("what a tokenizer says of itself") {
  const Tokenizer tokenizer = Tokenizer::load(folder / "bpe");
  CHECK(tokenizer.vocab_size() == 700);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.unk_id() == 1);
  CHECK(tokenizer.eos_id() == 2);
  CHECK(tokenizer.id("<|endoftext|>") == 2);
  CHECK(tokenizer.token(2) == "<|endoftext|>");
  CHECK(!tokenizer.id("no such token"));
  CHECK(tokenizer.is_special(2));
  CHECK(!tokenizer.is_special(400));
  CHECK(!tokenizer.is_special(-1));
  CHECK(!tokenizer.is_special(700));
  CHECK_THROWS_AS(tokenizer.token(700), Error);
  CHECK(tokenizer.decode(std::vector<int>{-1, 700, 1 << 30}) == "");

  const Tokenizer by_file = Tokenizer::load(folder / "bpe" / "tokenizer.json");
  CHECK(by_file.fingerprint() == tokenizer.fingerprint());
  CHECK(by_file.eos_id() == 2);
  CHECK(Tokenizer::load(folder / "unigram").fingerprint() != tokenizer.fingerprint());
}

TEST_CASE("appending leaves what was there, and special tokens can be text") {
  const Tokenizer tokenizer = Tokenizer::load(folder / "bpe");
  std::vector<int> ids{7};
  tokenizer.encode("Tom", ids);
  CHECK(ids.front() == 7);
  CHECK(std::vector<int>(ids.begin() + 1, ids.end()) == tokenizer.encode("Tom"));
  CHECK(tokenizer.encode("<|endoftext|>") == std::vector<int>{2});
  const std::vector<int> text = tokenizer.encode("<|endoftext|>", true);
  CHECK(text.size() > 1);
  CHECK(tokenizer.decode(text, true) == "<|endoftext|>");
}

TEST_CASE("bytes that are not UTF-8 count as U+FFFD") {
  const Tokenizer tokenizer = Tokenizer::load(folder / "bpe");
  CHECK(tokenizer.encode("a\xFF\xE3\x81z") == tokenizer.encode("a\xEF\xBF\xBD\xEF\xBF\xBDz"));
}

TEST_CASE("a word of many megabytes takes its length in time") {
  const Tokenizer tokenizer = Tokenizer::load(folder / "flags");  // has no segment border in this text
  std::string word;
  for (int i = 0; i < 400'000; ++i) word += "the ";
  const std::vector<int> ids = tokenizer.encode(word);
  CHECK(tokenizer.decode(ids) == word);
}

TEST_CASE("threads share a tokenizer, and two tokenizers share a thread") {
  const Tokenizer bpe = Tokenizer::load(folder / "bpe"), unigram = Tokenizer::load(folder / "unigram");
  const Tokenizer flags = Tokenizer::load(folder / "flags");
  const std::string text = "Mara found a red ball by the river.\nTom asked: is it yours?";
  const std::vector<int> one = bpe.encode(text), two = unigram.encode(text), three = flags.encode(text);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i)
        count += bpe.encode(text) != one || unigram.encode(text) != two || flags.encode(text) != three;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::count(wrong.begin(), wrong.end(), 0) == 4);
}
