#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/byte_alphabet.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers.hpp"

using namespace moderngpt2;
using namespace moderngpt2::detail;

namespace {

std::vector<std::string> pieces_of(const PreTokenizers& pre_tokenizers, std::string_view text, bool first = true) {
  std::vector<std::string> result;
  pre_tokenizers({text, first}, [&](const Pieces& some) {
    for (const std::string_view piece : some.pieces) result.emplace_back(piece);
  });
  return result;
}

PreTokenizers read(const std::string& json) {
  const Json value = Json::parse(json);
  return PreTokenizers(Component(value, "tokenizer.json: pre_tokenizer"));
}

std::string error_of(const std::string& json) {
  try {
    read(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

using Texts = std::vector<std::string>;

}  // namespace

// tests/tokenizer/write_pre_tokenizer_cases.py wrote the file with the package `tokenizers` 0.23.3.
TEST_CASE("pieces of every pre-tokenizer equal those of Hugging Face tokenizers") {
  const Json file = read_json_file(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer/pre_tokenizers.json");
  const auto texts = file["texts"].get<Texts>();
  REQUIRE(file["cases"].size() > 90);
  for (const Json& one : file["cases"]) {
    CAPTURE(one["pre_tokenizer"].dump());
    const PreTokenizers pre_tokenizers(Component(one["pre_tokenizer"], "pre_tokenizer"));
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(texts[i]);
      CHECK(pieces_of(pre_tokenizers, texts[i]) == one["pieces"][i].get<Texts>());
    }
  }
}

TEST_CASE("bytes of a last ByteLevel, and prepending at the beginning of the input only") {
  PreTokenizers gpt2 = read(R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})");
  CHECK(pieces_of(gpt2, "é b") == Texts{"ĠÃ©", "Ġb"});
  CHECK(gpt2.emit_bytes());
  CHECK(pieces_of(gpt2, "é b") == Texts{" é", " b"});
  PreTokenizers llama = read(
      R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},
          {"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})");
  CHECK(llama.emit_bytes());
  CHECK(pieces_of(llama, "a 12") == Texts{"a ", "1", "2"});
  PreTokenizers first = read(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first"})");
  CHECK_FALSE(first.emit_bytes());
  CHECK(pieces_of(first, "a b", true) == Texts{"_a", "_b"});
  CHECK(pieces_of(first, "a b", false) == Texts{"a", "_b"});
  CHECK(pieces_of(read("null"), "a b") == Texts{"a b"});
  CHECK(read("null").empty());
  CHECK(pieces_of(gpt2, "").empty());
}

TEST_CASE("patterns with names, and those of tiktoken") {
  CHECK(pieces_of(PreTokenizers(split_pattern("cl100k"), PatternDialect::tiktoken, "x"), "It's 12345\n ") ==
        Texts{"It", "'s", " ", "123", "45", "\n "});
  CHECK(pieces_of(PreTokenizers(split_pattern("llama3"), PatternDialect::tiktoken, "x"), "It's 12345\n ") ==
        Texts{"It", "'s", " ", "123", "45", "\n", " "});
  for (const char* name : {"gpt2", "r50k", "p50k", "cl100k", "o200k", "llama3", "qwen2", "tekken"})
    CHECK(std::get<SplitPreTokenizer>(PreTokenizers(split_pattern(name), PatternDialect::tiktoken, "x").steps()[0])
              .is_hand_written());
  CHECK_THROWS_AS(split_pattern("gpt5"), Error);
  for (const char* pattern : {"a$", "^a", "a{2}+"})
    CHECK_THROWS_AS(PreTokenizers(pattern, PatternDialect::tiktoken, "x"), Error);
  CHECK(pieces_of(PreTokenizers("[^$]\\$", PatternDialect::tiktoken, "x"), "ab$") == Texts{"b$"});
  // Text between the matches of another pattern is dropped, as in tiktoken.
  CHECK(pieces_of(PreTokenizers("[a-z]+", PatternDialect::tiktoken, "x"), "ab1cd") == Texts{"ab", "cd"});
}

TEST_CASE("errors of pre-tokenizers name the step and the field") {
  const auto has = [](const std::string& json, std::string_view part) {
    const std::string error = error_of(json);
    INFO(error);
    CHECK(error.find(part) != std::string::npos);
  };
  has(R"({"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Magic"}]})", "step 2 of 2: is \"Magic\"");
  has(R"({"type":"Split","pattern":{"String":"a"},"behavior":"Odd","invert":false})", "behavior is \"Odd\"");
  has(R"({"type":"Split","pattern":"a","behavior":"Isolated","invert":false})", "pattern is");
  has(R"({"type":"Split","pattern":{"String":"a"},"behavior":"Isolated"})", "invert");
  has(R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false})", "pre_tokenizer");
  has(R"({"type":"Digits","individual_digits":true,"limit":3})", "limit");
  has(R"({"type":"Metaspace","replacement":"ab"})", "one character");
  has(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"often"})", "prepend_scheme is \"often\"");
  has(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false})",
      "add_prefix_space is false");
  has(R"({"type":"FixedLength","length":0})", "length is 0");
  std::string many, rewriting;
  for (int i = 0; i < 17; ++i) many += std::string(i ? "," : "") + R"({"type":"Whitespace"})";
  for (int i = 0; i < 5; ++i)
    rewriting += std::string(i ? "," : "") + R"({"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true})";
  has(R"({"type":"Sequence","pretokenizers":[)" + many + "]}", "has 17 steps, at most 16");
  has(R"({"type":"Sequence","pretokenizers":[)" + rewriting + "]}", "ByteLevel and Metaspace, at most 4");
}

TEST_CASE("characters of bytes and back") {
  std::string bytes, characters, back;
  for (int byte = 0; byte < 256; ++byte) bytes += static_cast<char>(byte);
  append_byte_characters(bytes, characters);
  CHECK(characters.substr(0, 4) == "Āā");
  CHECK(append_bytes_of_characters(characters, back));
  CHECK(back == bytes);
  CHECK_FALSE(append_bytes_of_characters("a b", back));
  CHECK_FALSE(append_bytes_of_characters("日", back));
  CHECK(back == bytes);
}
