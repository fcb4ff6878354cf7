#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <sentencepiece_processor.h>

#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/export.hpp"
#include "moderngpt2/tokenizer/sentencepiece_comparison.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

namespace {

Tokenizer tokenizer_of(const Json& json) { return Tokenizer::parse(json.dump(), "t.json"); }

}  // namespace

// user_defined_space.model has the user-defined pieces "  " and "foo bar", which SentencePiece never finds in a text:
// it has replaced the text's spaces.
TEST_CASE("user-defined pieces with a space are never matched, as in SentencePiece") {
  const auto path = std::filesystem::path(MODERNGPT2_TEST_DATA) / "sentencepiece" / "user_defined_space.model";
  const std::string bytes = read_file(path);
  const SentencePieceModel model = parse_sentencepiece_model(bytes, "m");
  CHECK(sentencepiece_differences(model).empty());
  Json json = tokenizer_json(model, "m");
  sentencepiece::SentencePieceProcessor processor;
  REQUIRE(processor.LoadFromSerializedProto(bytes).ok());
  const Tokenizer tokenizer = tokenizer_of(json);
  for (const char* text : {"  x1。", "foo bar", "a foo bar  b", "foo  bar"}) {
    CAPTURE(text);
    CHECK(tokenizer.encode(text, true) == processor.EncodeAsIds(text));
  }
  const TokenizerComparison same = compare_with_sentencepiece(tokenizer, bytes, model);
  CHECK(same.texts > 100);
  CHECK(same.different == 0);
  // The comparison finds what was claimed to be equal before.
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    if (!detail::never_matches(model, model.pieces[id])) continue;
    Json token = json["added_tokens"][0];
    token["id"] = id;
    token["content"] = model.pieces[id].text;
    token["special"] = false;
    json["added_tokens"].push_back(token);
  }
  const TokenizerComparison other = compare_with_sentencepiece(tokenizer_of(json), bytes, model);
  CHECK(other.different > 0);
  CHECK(!other.example.empty());
}
