#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

/// One piece of a .model file.
std::string piece(const std::string& text, float score, int type) {
  std::string message = "\x0a" + std::string(1, static_cast<char>(text.size())) + text + "\x15";
  const auto bits = std::bit_cast<std::uint32_t>(score);
  for (int shift = 0; shift < 32; shift += 8) message += static_cast<char>(bits >> shift);
  message += "\x18" + std::string(1, static_cast<char>(type));
  return "\x0a" + std::string(1, static_cast<char>(message.size())) + message;
}

}  // namespace

TEST_CASE("a score that is not finite is an error, and nothing is written") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float score : {std::nanf(""), infinity, -infinity}) {
    const test::TemporaryFolder folder;
    const std::string model = piece("<unk>", 0, 2) + piece("a", score, 1);
    CHECK_ERROR(write_tokenizer_files(folder / "out", model, "x.model"), "x.model", "score", "\"a\"");
    CHECK(!std::filesystem::exists(folder / "out"));
  }
  const test::TemporaryFolder folder;
  CHECK_NOTHROW(write_tokenizer_files(folder / "out", piece("<unk>", 0, 2) + piece("a", -1, 1), "x.model"));
  CHECK_ERROR(parse_sentencepiece_model(piece("\x1b[2J", std::nanf(""), 1), "\x1b.model"), "\\x1b.model", "\\x1b[2J");
}

TEST_CASE("merges of long pieces take linear time") {
  SentencePieceModel model;
  model.algorithm = SentencePieceModel::Algorithm::bpe;
  const auto add = [&](const std::string& text) {
    model.pieces.push_back({text, -float(model.pieces.size()), SentencePieceModel::Type::normal});
  };
  for (const char* text : {"a", "b", "語", "ab", "ab語", "b語"}) add(text);
  CHECK(detail::bpe_merges(model).dump() == R"([["a","b"],["a","b語"],["ab","語"],["b","語"]])");
  std::string half;
  for (int i = 0; i < 100'000; ++i) half += "語";
  add(half);
  add(half + half);
  const auto start = std::chrono::steady_clock::now();
  CHECK(detail::bpe_merges(model).size() == 5);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(30));
}

TEST_CASE("merges are ordered by the score of their result, not by its id") {
  SentencePieceModel model;
  using Type = SentencePieceModel::Type;
  model.algorithm = SentencePieceModel::Algorithm::bpe;
  // Runs of spaces have low ids and the lowest score, like in Llama-2 and Mistral.
  model.pieces = {{"<unk>", 0, Type::unknown},
                  {"\u2581\u2581", -1e9f, Type::normal},
                  {"\u2581\u2581\u2581", -1e9f, Type::normal},
                  {"\u2581a", -5, Type::normal},
                  {"a", -7, Type::normal},
                  {"\u2581", -6, Type::normal}};
  CHECK(detail::bpe_merges(model).dump() == R"([["▁","a"],["▁","▁"],["▁","▁▁"],["▁▁","▁"]])");
}

TEST_CASE("settings of a SentencePiece model become normalizers") {
  SentencePieceModel model;
  using Type = SentencePieceModel::Type;
  const auto normalizer = [&] { return detail::normalizer_json(model).dump(); };
  const std::string marks = R"({"type":"Replace","pattern":{"String":" "},"content":"▁"})";
  const auto sequence = [](const std::string& steps) { return R"({"type":"Sequence","normalizers":[)" + steps + "]}"; };
  const std::string trims = R"({"type":"Replace","pattern":{"Regex":"\\A +"},"content":""},)"
                            R"({"type":"Replace","pattern":{"Regex":"(?<![ ▁])[ ▁]++\\z"},"content":""},)"
                            R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "},)";
  model.add_dummy_prefix = model.remove_extra_whitespaces = false;
  CHECK(normalizer() == marks);
  CHECK(detail::decoder_json(model)["decoders"].size() == 3);
  model.add_dummy_prefix = true;
  CHECK(normalizer() == sequence(R"({"type":"Prepend","prepend":"▁"},)" + marks));
  CHECK(detail::decoder_json(model)["decoders"][3].dump() == R"({"type":"Strip","content":" ","start":1,"stop":0})");
  model.remove_extra_whitespaces = true;
  CHECK(normalizer() == sequence(trims + R"({"type":"Prepend","prepend":"▁"},)" + marks));
  CHECK(sentencepiece_differences(model).empty());
  model.character_map = std::string("\0\1\2\3", 4);
  CHECK(normalizer().find(R"({"type":"Precompiled","precompiled_charsmap":"AAECAw=="})") != std::string::npos);
  CHECK(sentencepiece_differences(model).size() == 1);
  model.character_map.clear();
  model.remove_extra_whitespaces = false;
  model.pieces = {{"[A]", 0, Type::user_defined}, {"b c", 0, Type::user_defined}};  // the second one never matches
  CHECK(normalizer() ==
        sequence(R"j({"type":"Replace","pattern":{"Regex":"\\A(?!(?:\\[A\\])\\z)"},"content":"▁"},)j" + marks));
  model.treat_whitespace_as_suffix = true;
  CHECK(normalizer() == marks);
  CHECK(sentencepiece_differences(model).size() == 1);
  model.escape_whitespaces = model.add_dummy_prefix = false;
  CHECK(detail::normalizer_json(model).is_null());
  CHECK(sentencepiece_differences(model).empty());
}

TEST_CASE("bytes in base64") {
  CHECK(detail::encode_base64("") == "");
  CHECK(detail::encode_base64("f") == "Zg==");
  CHECK(detail::encode_base64("fo") == "Zm8=");
  CHECK(detail::encode_base64("foo") == "Zm9v");
  CHECK(detail::encode_base64("\xff\xfe\xfd") == "//79");
}

// llama2_like.model has the settings of Llama-2's: a space before the text, byte fallback, runs of spaces with low ids.
// The expected ids are those of the SentencePiece library.
TEST_CASE("a model with Llama-2's settings is converted exactly") {
  const auto folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "sentencepiece";
  const SentencePieceModel model = read_sentencepiece_model(folder / "llama2_like.model");
  CHECK(sentencepiece_differences(model).empty());
  const Tokenizer tokenizer = Tokenizer::parse(tokenizer_json(model, "m").dump(), "t.json");
  const Json expected = read_json_file(folder / "llama2_like.expected.json");
  CHECK(expected.size() > 100);
  for (const Json& entry : expected) {
    const auto text = entry.at("text").get<std::string>();
    CAPTURE(text);
    CHECK(tokenizer.encode(text, true) == entry.at("ids").get<std::vector<int>>());
  }
}
