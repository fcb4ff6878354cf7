#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/comparison_texts.hpp"
#include "moderngpt2/tokenizer/convert.hpp"
#include "moderngpt2/tokenizer/sentencepiece_json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// Ranks of all bytes and a few merges, in tiktoken's format.
std::string ranks() {
  std::string text;
  int rank = 0;
  const auto add = [&](const std::string& token) {
    text += detail::encode_base64(token) + fmt::format(" {}\n", rank++);
  };
  for (int byte = 0; byte < 256; ++byte) add(std::string(1, static_cast<char>(byte)));
  for (const char* token : {"th", " t", "he", "the", " the", "  ", "\xe6\x97", "\xe6\x97\xa5", "12", "aa", "aaaa"})
    add(token);
  return text;
}

/// Converts the tokenizer in `path` and compares the ids.
Tokenizer converted(const fs::path& path, const std::string& pattern = "") {
  const Tokenizer source = Tokenizer::load(path, {.pattern = pattern});
  const TokenizerFileList files = converted_tokenizer_files(source, path, pattern, 100);
  REQUIRE(files.back().first == "tokenizer.json");
  const Tokenizer made = Tokenizer::parse(files.back().second, "made.json");
  const TokenizerComparison found = compare_tokenizers(source, made);
  CHECK(found.texts > 2000);
  CHECK_MESSAGE(found.different == 0, found.example);
  CHECK(made.vocab_size() == source.vocab_size());
  CHECK(made.prefix_ids() == source.prefix_ids());
  CHECK(made.suffix_ids() == source.suffix_ids());
  return made;
}

}  // namespace

TEST_CASE("files of ranks become tokenizer.json") {
  const test::TemporaryFolder folder;
  write_file(folder / "own.tiktoken", ranks());
  for (const char* pattern : {"gpt2", "cl100k", "o200k", "[a-z]+|[^a-z]"}) {
    CAPTURE(pattern);
    const Tokenizer made = converted(folder / "own.tiktoken", pattern);
    CHECK(made.decode(made.encode("the 日本 aaaaa")) == "the 日本 aaaaa");
  }
  CHECK_ERROR(converted(folder / "own.tiktoken"), "own.tiktoken", "pattern");
}

TEST_CASE("vocab.json with merges.txt, and vocab.txt") {
  const test::TemporaryFolder folder;
  fs::create_directories(folder / "gpt2"), fs::create_directories(folder / "bert");
  write_file(folder / "gpt2/vocab.json",
             R"({"<|endoftext|>": 0, "t": 1, "h": 2, "e": 3, "th": 4, "the": 5, "\u0120the": 6, "\u0120": 9})");
  write_file(folder / "gpt2/merges.txt", "#version: 0.2\nt h\nth e\n\u0120 the\n");
  CHECK(converted(folder / "gpt2").encode("the the") == std::vector<int>{5, 6});
  write_file(folder / "bert/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n##re\na\n##a\n");
  const Tokenizer bert = converted(folder / "bert/vocab.txt");
  CHECK(bert.encode("There aa") == std::vector<int>{5, 6, 7, 8});
  CHECK(bert.prefix_ids() == std::vector<int>{2});
}

TEST_CASE("special tokens with ids below the model's keep them") {
  detail::TokenizerFile file;
  file.where = "t";
  for (int id = 2; id < 5; ++id) file.model.add(std::string(1, static_cast<char>('a' + id)), id, 5, "t");
  AddedToken token;
  token.id = 1, token.content = "<s>", token.special = true;
  file.added_tokens.push_back(token);
  const Json json = tokenizer_json(file);
  CHECK(json["model"]["vocab"]["<s>"] == 1);
  CHECK(json["added_tokens"][0]["id"] == 1);
  // Ids after the model's are those that `tokenizers` gives by itself.
  detail::TokenizerFile after;
  after.where = "t";
  for (int id = 0; id < 3; ++id) after.model.add(std::string(1, static_cast<char>('a' + id)), id, 3, "t");
  token.id = 3;
  after.added_tokens.push_back(token);
  CHECK_FALSE(tokenizer_json(after)["model"]["vocab"].contains("<s>"));
}

TEST_CASE("what is not converted") {
  const test::TemporaryFolder folder;
  write_file(folder / "own.tiktoken", ranks());
  const Tokenizer source = Tokenizer::load(folder / "own.tiktoken", {.pattern = "gpt2"});
  write_files_together(folder / "out", converted_tokenizer_files(source, folder / "own.tiktoken", "gpt2", 100));
  const Tokenizer made = Tokenizer::load(folder / "out");
  CHECK(made.encode(" the") == source.encode(" the"));
  CHECK_ERROR(converted_tokenizer_files(made, folder / "out", "", 100), "already a tokenizer.json");
  CHECK(sentencepiece_model_of(TokenizerFiles::read(folder / "own.tiktoken")) == std::nullopt);
}
