#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

const fs::path data = fs::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "formats";

std::vector<std::string> names_of(const Tokenizer& tokenizer) {
  std::vector<std::string> names;
  for (const auto& file : tokenizer.files()) names.push_back(file.name);
  return names;
}

}  // namespace

// Ids of tiktoken 0.14.0, mistral_common 1.13.1 and tokenizers 0.23.3.
TEST_CASE("files of ranks, tekken.json and vocabulary files give the ids of their libraries") {
  const Json expected = read_json_file(data / "expected.json");
  for (const Json& format : expected["formats"]) {
    TokenizerOptions options;
    options.pattern = format["pattern"].get<std::string>();
    const Tokenizer tokenizer = Tokenizer::load(data / format["file"].get<std::string>(), options);
    CAPTURE(format["file"].dump());
    CAPTURE(options.pattern);
    const bool ordinary = format["file"].get<std::string>() == "ranks.tiktoken";  // ids of tiktoken's encode_ordinary()
    for (const Json& example : format["cases"]) {
      const auto text = example["text"].get<std::string>();
      CAPTURE(text);
      const std::vector<int> ids = tokenizer.encode(text, ordinary);
      CHECK(ids == example["ids"].get<std::vector<int>>());
      if (!format["file"].get<std::string>().starts_with("bert")) CHECK(tokenizer.decode(ids) == text);
    }
  }
}

TEST_CASE("special tokens of the formats") {
  const Tokenizer tekken = Tokenizer::load(data / "tekken.json");
  CHECK(tekken.vocab_size() == 439);
  CHECK(tekken.id("<s>") == 1);
  CHECK(tekken.id("<SPECIAL_29>") == 29);
  CHECK(tekken.is_special(29));
  CHECK(tekken.prefix_ids() == std::vector<int>{1});
  CHECK(tekken.encode("<s>a") == std::vector<int>{1, 30 + 'a'});
  const Tokenizer bert = Tokenizer::load(data / "bert");
  CHECK(bert.prefix_ids() == std::vector<int>{bert.id("[CLS]").value()});
  CHECK(bert.suffix_ids() == std::vector<int>{bert.id("[SEP]").value()});
  CHECK(bert.unk_id() == bert.id("[UNK]"));
}

TEST_CASE("a file is recognized by its content, a folder's by a fixed order") {
  const test::TemporaryFolder folder;
  CHECK_ERROR(Tokenizer::load(folder.path()), "no tokenizer in this folder", "tokenizer.json, tokenizer.model");
  write_file(folder / "vocab.txt", "[UNK]\na\n");
  CHECK(Tokenizer::load(folder.path()).encode("A b") == std::vector<int>{1, 0});
  CHECK(names_of(Tokenizer::load(folder.path())) == std::vector<std::string>{"vocab.txt"});
  const auto by_vocab = Tokenizer::load(folder.path()).fingerprint();
  write_file(folder / "vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "vocab.json", "merges.txt");
  write_file(folder / "merges.txt", "#version: 0.2\na b\n");
  write_file(folder / "tokenizer_config.json", "{}");
  const Tokenizer pair = Tokenizer::load(folder.path());
  CHECK(pair.encode("ab") == std::vector<int>{2});
  CHECK(names_of(pair) == std::vector<std::string>{"vocab.json", "merges.txt", "vocab.txt", "tokenizer_config.json"});
  CHECK(pair.fingerprint() != by_vocab);
  CHECK(Tokenizer::load(folder / "merges.txt").fingerprint() == pair.fingerprint());
  fs::copy_file(data / "ranks.tiktoken", folder / "gpt2.tiktoken");
  CHECK(Tokenizer::load(folder.path()).vocab_size() == 50257);  // the id of <|endoftext|>
  fs::copy_file(data / "ranks.tiktoken", folder / "other.tiktoken");
  CHECK_ERROR(Tokenizer::load(folder.path()), "has 2 tiktoken files");
  fs::copy_file(data / "ranks.tiktoken", folder / "tokenizer.model");  // like that of Llama-3, by its content
  TokenizerOptions options;
  options.pattern = "llama3";
  CHECK(Tokenizer::load(folder.path(), options).vocab_size() == 128256);
  CHECK(names_of(Tokenizer::load(folder.path(), options))[0] == "tokenizer.model");
  CHECK_ERROR(Tokenizer::load(folder.path()), "tokenizer.model", "cl100k");
  write_file(folder / "tokenizer.model", std::string("\x0a\x0e\x0a\x05", 4));
  CHECK_ERROR(Tokenizer::load(folder.path()), "tokenizer.model");
  CHECK(Tokenizer::load(folder / "vocab.txt").fingerprint() == by_vocab);
}

TEST_CASE("added tokens of files beside a format without them") {
  const test::TemporaryFolder folder;
  write_file(folder / "vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  write_file(folder / "merges.txt", "a b\n");
  write_file(folder / "added_tokens.json", R"({"<x>": 3, "<y>": 5})");
  CHECK(Tokenizer::load(folder.path()).encode("ab<y><x>") == std::vector<int>{2, 5, 3});
  CHECK(Tokenizer::load(folder.path()).vocab_size() == 6);
  write_file(folder / "tokenizer_config.json",
             R"({"added_tokens_decoder": {"4": {"content": "<z>"}}, "eos_token": "<z>"})");
  CHECK(Tokenizer::load(folder.path()).encode("ab<z>") == std::vector<int>{2, 4});
  CHECK(Tokenizer::load(folder.path()).eos_id() == 4);
  write_file(folder / "tokenizer_config.json", R"({"added_tokens_decoder": {"2": {"content": "<z>"}}})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "\"<z>\" cannot have the id 2");
  write_file(folder / "tokenizer_config.json", R"({"added_tokens_decoder": {"2000000000": {"content": "<z>"}}})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "cannot have the id 2000000000");
  write_file(folder / "tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "<z>"}}})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "\"x\", which is not an id");
}

TEST_CASE("a vocab.json may have tokens that are called as fields of other formats") {
  const test::TemporaryFolder folder;
  write_file(folder / "vocab.json", R"({"a": 0, "b": 1, "config": 2, "model": 3, "vocab": 4, "ab": 5})");
  CHECK_ERROR(Tokenizer::load(folder / "vocab.json"), "vocab.json", "needs its merges", "merges.txt");
  write_file(folder / "merges.txt", "a b\n");
  CHECK(Tokenizer::load(folder / "vocab.json").encode("abb") == std::vector<int>{5, 1});
  write_file(folder / "vocab.json", R"({"a": 0, "b": 1, "config": 2, "vocab": 4, "ab": 5})");
  CHECK(Tokenizer::load(folder.path()).encode("abb") == std::vector<int>{5, 1});
  write_file(folder / "vocab.json", R"({"a": 0, "b": 1, "c": "x", "ab": 5})");
  CHECK_ERROR(Tokenizer::load(folder / "vocab.json"), "vocab.json", "the id of \"c\"");
}

TEST_CASE("a misspelled name of a pattern is not a regular expression") {
  const test::TemporaryFolder folder;
  write_file(folder / "own.tiktoken", "YQ== 0\nYg== 1\n");
  TokenizerOptions options;
  options.pattern = "gpt3";
  CHECK_ERROR(Tokenizer::load(folder / "own.tiktoken", options), "own.tiktoken", "gpt3", "unknown");
  options.pattern = "qwen2";
  CHECK(Tokenizer::load(folder / "own.tiktoken", options).encode("ab") == std::vector<int>{0, 1});
}

TEST_CASE("names on the Hub are not downloaded") {
  CHECK_ERROR(Tokenizer::load("meta-llama/Llama-3.2-1B"), "meta-llama/Llama-3.2-1B", "hf download meta-llama/");
  CHECK_ERROR(Tokenizer::load("gpt2-not-here"), "not downloaded");
  CHECK_ERROR(Tokenizer::load("./missing"), "no such file");
}

TEST_CASE("damaged files are errors") {
  const test::TemporaryFolder folder;
  const auto ranks = [&](const std::string& text) {
    write_file(folder / "gpt2.tiktoken", text);
    return Tokenizer::load(folder / "gpt2.tiktoken");
  };
  CHECK(ranks("YQ== 0\r\nYg== 1\r\n").encode("ab") == std::vector<int>{0, 1});
  CHECK_ERROR(ranks("YQ== 0\nYg==\n"), "gpt2.tiktoken", "line 2");
  CHECK_ERROR(ranks("YQ== 0\nY%== 1\n"), "line 2");
  CHECK_ERROR(ranks("YQ== 0\nYg== -1\n"), "line 2");
  CHECK_ERROR(ranks("YQ== 0\nYg== 0\n"), "rank 0");
  CHECK_ERROR(ranks("YQ== 0\nYg== 4000000000\n"), "rank 4000000000");
  CHECK_ERROR(ranks("YQ== 0\nYQ== 1\n"), "repeats");
  const auto tekken = [&](const char* key, const char* value) {
    Json json = read_json_file(data / "tekken.json");
    (json.contains(key) ? json : json["config"])[key] = parse_json(value, "test");
    write_json_file(folder / "tekken.json", json);
    return Tokenizer::load(folder / "tekken.json");
  };
  CHECK_ERROR(tekken("default_vocab_size", "1000000000"), "tekken.json", "default_vocab_size");
  CHECK_ERROR(tekken("default_num_special_tokens", "1000000"), "default_vocab_size");
  CHECK_ERROR(tekken("pattern", "\"(\""), "tekken.json");
  CHECK_ERROR(tekken("version", "\"v11\""), "special_tokens");
  CHECK_ERROR(tekken("vocab", R"([{"rank": 0, "token_bytes": "?"}])"), "default_vocab_size");
  write_file(folder / "vocab.txt", "a\n\xFF\n");
  CHECK_ERROR(Tokenizer::load(folder / "vocab.txt"), "byte 2", "UTF-8");
  write_file(folder / "vocab.txt", "");
  CHECK_ERROR(Tokenizer::load(folder / "vocab.txt"), "empty");
}

TEST_CASE("formats without roles have the usual tokens for bos, eos and pad, unless a file names them") {
  test::TemporaryFolder folder;
  fs::copy_file(data / "tekken.json", folder / "tekken.json");
  const Tokenizer tekken = Tokenizer::load(folder.path());
  CHECK(tekken.bos_id() == tekken.id("<s>"));
  CHECK(tekken.eos_id() == tekken.id("</s>"));
  CHECK(tekken.eos_id().has_value());
  write_file(folder / "tokenizer_config.json", R"({"bos_token": null, "eos_token": "<SPECIAL_29>"})");
  const Tokenizer named = Tokenizer::load(folder.path());
  CHECK_FALSE(named.bos_id().has_value());
  CHECK(named.eos_id() == 29);
}
