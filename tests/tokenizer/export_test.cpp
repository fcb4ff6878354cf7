#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_model.hpp"
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
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
}
