#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/training/byte_bpe_files.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace byte_bpe_training_test {

const std::string training_folder = MODERNGPT2_TEST_DATA "/tokenizer/training/";

NextDocument training_documents() {
  return [lines = read_file(training_folder + "documents.jsonl"), at = std::size_t{0}](std::string& out) mutable {
    if (at >= lines.size()) return false;
    const std::size_t end = lines.find('\n', at);
    out = Json::parse(lines.substr(at, end - at))["text"].get<std::string>();
    at = end + 1;
    return true;
  };
}

TokenizerTraining settings(const std::string& pattern, int vocab_size) {
  TokenizerTraining training;
  training.model_type = "byte_bpe";
  training.split_pattern = pattern;
  training.vocab_size = vocab_size;
  training.num_threads = 2;
  return training;
}

/// Splits before each space.
void split_at_spaces(std::string_view text, const std::function<void(std::string_view)>& emit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' ', 1), text.size());
    emit(text.substr(0, end));
    text.remove_prefix(end);
  }
}

NextDocument one(std::string text) {
  return [text, done = false](std::string& out) mutable {
    out = text;
    return !std::exchange(done, true);
  };
}

TEST_CASE("byte_bpe training learns the vocabulary and merges of tokenizers 0.23") {
  for (const Json& expected : read_json_file(training_folder + "merges.json")) {
    const std::string pattern = expected["split_pattern"].get<std::string>();
    CAPTURE(pattern);
    const int vocab_size = int(expected["vocab"].size());
    const ByteBpe trained = train_byte_bpe(settings(pattern, vocab_size), split_text(pattern), training_documents());
    CHECK(trained.tokens == expected["vocab"].get<std::vector<std::string>>());
    CHECK(trained.merges == expected["merges"].get<std::vector<std::pair<std::string, std::string>>>());
    TokenizerTraining threads = settings(pattern, vocab_size);
    threads.num_threads = 5;
    CHECK(train_byte_bpe(threads, split_text(pattern), training_documents()).merges == trained.merges);
  }
}

TEST_CASE("byte_bpe training: ties, runs, and special tokens") {
  TokenizerTraining training = settings("gpt2", 261);
  const ByteBpe trained = train_byte_bpe(training, split_at_spaces, one("ab ab<|endoftext|>cd cd"));
  CHECK(trained.tokens.size() == 261);
  CHECK(trained.tokens[0] == "<pad>");
  CHECK(trained.tokens[2] == "<|endoftext|>");
  CHECK(trained.tokens[3] == "!");
  CHECK(trained.merges == std::vector<std::pair<std::string, std::string>>{{"a", "b"}, {"c", "d"}});
  training.vocab_size = 5000;
  CHECK_ERROR(train_byte_bpe(training, split_at_spaces, one("aaaa aaaa")), "the largest possible is ");
  CHECK_ERROR(train_byte_bpe(training, split_at_spaces, one("")), "no text");
  training.vocab_size = 100;
  CHECK_ERROR(train_byte_bpe(training, split_at_spaces, one("text")), "vocab_size is 100");
  CHECK_ERROR(split_text("nosuch"), "nosuch");
  CHECK_ERROR(split_text("(unclosed"), "split_pattern");
}

TEST_CASE("byte_bpe files: tokenizer.json has the split pattern and the merges") {
  const test::TemporaryFolder output;
  TokenizerTraining training = settings("llama3", 280);
  training.chat_tokens = true;
  const ByteBpe trained =
      train_byte_bpe(training, split_text("llama3"), one("The miller counted the sacks, the baker the loaves."));
  write_byte_bpe_files(output / "t", trained, "llama3");
  const Json json = read_json_file(output.path() / "t" / "tokenizer.json");
  CHECK(json["model"]["merges"].size() == trained.merges.size());
  CHECK(json["model"]["vocab"]["<|endoftext|>"] == 2);
  CHECK(json["added_tokens"].size() == 15);
  CHECK(json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == std::string(split_pattern("llama3")));
  CHECK(json["decoder"]["type"] == "ByteLevel");
  const Json config = read_json_file(output.path() / "t" / "tokenizer_config.json");
  CHECK(config["eos_token"] == "<|endoftext|>");
  CHECK(config["pad_token"] == "<pad>");
  CHECK(config.contains("chat_template"));
}

}  // namespace byte_bpe_training_test
