#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/decoders.hpp"

using namespace moderngpt2;
using detail::Component;
using detail::Decoders;

namespace {

std::string decode(const Decoders& decoders, const std::vector<std::string>& tokens, Decoders::Mode mode) {
  Decoders::Run run(decoders, mode);
  std::string text;
  for (const std::string& token : tokens) run.put(token, text);
  run.finish(text);
  return text;
}

Decoders decoders_of(const char* json) {
  const Json parsed = parse_json(json, "test");
  return Decoders(Component(parsed, "t.json: decoder"));
}

}  // namespace

// decoders.json has texts of Hugging Face `tokenizers` 0.23.3, null where it crashes.
TEST_CASE("decoders give the texts of `tokenizers`, whole and streamed") {
  const Json data = read_json_file(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "decoders.json");
  for (const Json& entry : data["decoders"]) {
    const Decoders decoders(Component(entry["decoder"], "test"));
    for (std::size_t i = 0; i < data["tokens"].size(); ++i) {
      if (entry["texts"][i].is_null()) continue;
      const auto tokens = data["tokens"][i].get<std::vector<std::string>>();
      CAPTURE(entry["decoder"].dump());
      CAPTURE(data["tokens"][i].dump());
      CHECK(decode(decoders, tokens, Decoders::Mode::whole) == entry["texts"][i].get<std::string>());
      CHECK(decode(decoders, tokens, Decoders::Mode::streamed) == entry["texts"][i].get<std::string>());
    }
  }
}

TEST_CASE("streamed text comes as soon as it cannot change") {
  const auto parts = [](const Decoders& decoders, const std::vector<std::string>& tokens) {
    Decoders::Run run(decoders, Decoders::Mode::streamed);
    std::vector<std::string> result;
    for (const std::string& token : tokens) run.put(token, result.emplace_back());
    run.finish(result.emplace_back());
    return result;
  };
  using Parts = std::vector<std::string>;
  CHECK(parts(decoders_of(R"({"type": "ByteLevel"})"), {"Ġa", "Ã", "©", "Ã"}) ==
        Parts{" a", "", "\u00e9", "", "\ufffd"});
  CHECK(parts(decoders_of(R"({"type": "WordPiece", "prefix": "##", "cleanup": false})"), {"a", "##b", "c"}) ==
        Parts{"a", "b", " c", ""});
  CHECK(parts(decoders_of(R"({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"},
                              {"type": "Strip", "content": " ", "start": 1, "stop": 1}]})"),
              {" a", "b ", " c", " "}) == Parts{"a", "b", "  c", "", ""});
  CHECK(parts(decoders_of(R"({"type": "BPEDecoder", "suffix": "_"})"), {"a_", "b_"}) == Parts{"", "a ", "b"});
}

TEST_CASE("the bytes that a token adds to a text") {
  CHECK(decoders_of("null").text_of("a") == " a");
  CHECK(decoders_of(R"({"type": "ByteLevel"})").text_of("ĠÃ") == " \xC3");
  CHECK(decoders_of(R"({"type": "WordPiece", "prefix": "##", "cleanup": false})").text_of("##b") == "b");
  CHECK(decoders_of(R"({"type": "WordPiece", "prefix": "##", "cleanup": false})").text_of("b") == " b");
  CHECK(decoders_of(R"({"type": "Metaspace", "replacement": "▁"})").text_of("▁b") == " b");
  CHECK(decoders_of(R"({"type": "BPEDecoder", "suffix": "_"})").text_of("b_") == "b ");
  const Decoders llama = decoders_of(R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
    {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})");
  CHECK(llama.text_of("<0xE3>") == "\xE3");
  CHECK(llama.text_of("▁b") == " b");
}

TEST_CASE("a damaged decoder is an error") {
  CHECK_ERROR(decoders_of(R"({"type": "Strip", "content": "ab", "start": 1, "stop": 0})"), "content", "one character");
  CHECK_ERROR(decoders_of(R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})"), "start", "-1");
  CHECK_ERROR(decoders_of(R"({"type": "Replace", "pattern": 3, "content": ""})"), "pattern");
  CHECK_ERROR(decoders_of(R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})"), "t.json: decoder");
  CHECK_ERROR(decoders_of(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "last"})"), "last");
  CHECK_ERROR(decoders_of(R"({"type": "BPEDecoder", "suffix": ""})"), "suffix");
  std::string many = R"({"type": "Fuse"})";
  for (int i = 0; i < 200; ++i) many += R"(, {"type": "Fuse"})";
  CHECK_ERROR(decoders_of((R"({"type": "Sequence", "decoders": [)" + many + "]}").c_str()), "201 steps");
}
