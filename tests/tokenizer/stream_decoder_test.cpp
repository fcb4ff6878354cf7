#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/tokenizer/stream_decoder.hpp"

using namespace moderngpt2;

namespace {

Tokenizer load() { return Tokenizer::load(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "bpe"); }

int byte_id(const Tokenizer& tokenizer, int byte) { return tokenizer.id(fmt::format("<0x{:02X}>", byte)).value(); }

}  // namespace

TEST_CASE("a character of bytes comes with its last byte") {
  const Tokenizer tokenizer = load();
  StreamDecoder stream(tokenizer);
  CHECK(stream.put(byte_id(tokenizer, 0xF0)) == "");
  CHECK(stream.put(byte_id(tokenizer, 0x9F)) == "");
  CHECK(stream.put(byte_id(tokenizer, 0x98)) == "");
  CHECK(stream.put(byte_id(tokenizer, 0x80)) == "\xF0\x9F\x98\x80");
  CHECK(stream.put(byte_id(tokenizer, 'A')) == "A");
  CHECK(stream.finish() == "");
}

TEST_CASE("bytes that never become a character are one U+FFFD each") {
  const Tokenizer tokenizer = load();
  const std::string bad(replacement_character);
  const int lead = byte_id(tokenizer, 0xE3), next = byte_id(tokenizer, 0x81), letter = tokenizer.id("a").value();
  StreamDecoder stream(tokenizer);
  CHECK(stream.put(lead) == "");
  CHECK(stream.put(next) == "");
  CHECK(stream.put(letter) == bad + bad + "a");
  CHECK(tokenizer.decode(std::vector<int>{lead, next, letter}) == bad + bad + "a");
  CHECK(stream.put(lead) == "");
  CHECK(stream.put(lead) == bad + bad);
  CHECK(stream.put(byte_id(tokenizer, 'A')) == bad);
  CHECK(tokenizer.decode(std::vector<int>{lead, lead, byte_id(tokenizer, 'A')}) == bad + bad + bad);
  CHECK(stream.finish() == "");
  CHECK(stream.put(lead) == "");
  CHECK(stream.finish() == bad);
}

TEST_CASE("special tokens are left out or not, and ids without a token give nothing") {
  const Tokenizer tokenizer = load();
  StreamDecoder without(tokenizer), with(tokenizer, false);
  CHECK(without.put(2) == "");
  CHECK(with.put(2) == "<|endoftext|>");
  CHECK(with.put(-5) == "");
  CHECK(with.put(tokenizer.vocab_size()) == "");
}
