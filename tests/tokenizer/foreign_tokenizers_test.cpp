#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/formats/sentencepiece.hpp"  // tokenizer.model
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

// Folders of tests/data/tokenizers: small tokenizers with the components of well-known models. expected.json has the
// ids of `tokenizers` 0.23 for each text of texts.json, the ids that the post-processor adds, and the decoded text by
// index where it differs from the text. llama2_like has a SentencePiece model and the ids of `sentencepiece` 0.2.
namespace foreign_tokenizers_test {

const std::filesystem::path cases_folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizers";

std::vector<int> ids_of(const Json& list) { return list.get<std::vector<int>>(); }

void check_tokenizer(const std::string& name) {
  const Tokenizer tokenizer = Tokenizer::load(cases_folder / name);
  const Json texts = read_json_file(cases_folder / "texts.json");
  const Json expected = read_json_file(cases_folder / name / "expected.json");
  CHECK(tokenizer.prefix_ids() == ids_of(expected["prefix"]));
  CHECK(tokenizer.suffix_ids() == ids_of(expected["suffix"]));
  REQUIRE(texts.size() == expected["ids"].size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    CAPTURE(text);
    const std::vector<int> want = ids_of(expected["ids"][i]);
    CHECK(tokenizer.encode(text) == want);
    const std::string decoded = expected["decoded"].value(std::to_string(i), text);
    CHECK(tokenizer.decode(want) == decoded);
    StreamDecoder stream(tokenizer, /*skip_special_tokens=*/false);
    std::string streamed;
    for (const int id : want) streamed += stream.put(id);
    CHECK(streamed + stream.finish() == decoded);
  }
}

TEST_CASE("ids and text equal those of tokenizers: GPT-2") { check_tokenizer("gpt2"); }
TEST_CASE("ids and text equal those of tokenizers: RoBERTa with prefix space") {
  check_tokenizer("roberta_prefix_space");
}
TEST_CASE("ids and text equal those of tokenizers: Llama 3") { check_tokenizer("llama3"); }
TEST_CASE("ids and text equal those of tokenizers: Qwen") { check_tokenizer("qwen"); }
TEST_CASE("ids and text equal those of tokenizers: o200k, Split Removed with invert") {
  check_tokenizer("o200k_removed_invert");
}
TEST_CASE("ids and text equal those of tokenizers: DeepSeek") { check_tokenizer("deepseek"); }
TEST_CASE("ids and text equal those of tokenizers: Falcon") { check_tokenizer("falcon"); }
TEST_CASE("ids and text equal those of tokenizers: SmolLM, Digits") { check_tokenizer("smollm_digits"); }
TEST_CASE("ids and text equal those of tokenizers: NFKC") { check_tokenizer("anthropic_nfkc"); }
TEST_CASE("ids and text equal those of tokenizers: CLIP, end_of_word_suffix") { check_tokenizer("clip_end_of_word"); }
TEST_CASE("ids and text equal those of tokenizers: Gemma 2") { check_tokenizer("gemma2"); }
TEST_CASE("ids and text equal those of tokenizers: Llama 2, normalizer Prepend") { check_tokenizer("llama2_legacy"); }
TEST_CASE("ids and text equal those of tokenizers: Llama 2, Metaspace first") {
  check_tokenizer("llama2_metaspace_first");
}
TEST_CASE("ids and text equal those of tokenizers: Llama 2, Metaspace always") {
  check_tokenizer("llama2_metaspace_always");
}
TEST_CASE("ids and text equal those of tokenizers: truncation and padding") {
  check_tokenizer("only_truncation_padding");
}
TEST_CASE("ids and text equal those of tokenizers: XLM-R, Unigram with Precompiled") { check_tokenizer("t5_xlmr"); }
TEST_CASE("ids and text equal those of tokenizers: BERT") { check_tokenizer("bert"); }
TEST_CASE("ids and text equal those of tokenizers: WordLevel without decoder") {
  check_tokenizer("wordlevel_no_decoder");
}

TEST_CASE("ids of a SentencePiece model equal those of sentencepiece: Llama 2") {
  const Tokenizer tokenizer = Tokenizer::load(cases_folder / "llama2_like" / "tokenizer.model");
  CHECK(tokenizer.bos_id() == tokenizer.id("<s>"));
  CHECK(tokenizer.eos_id() == tokenizer.id("</s>"));
  const Json texts = read_json_file(cases_folder / "texts.json");
  const Json expected = read_json_file(cases_folder / "llama2_like" / "expected.json")["ids"];
  REQUIRE(texts.size() == expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (expected[i].is_null()) continue;  // texts with special tokens, which the library does not match
    const auto text = texts[i].get<std::string>();
    CAPTURE(text);
    CHECK(tokenizer.encode(text) == ids_of(expected[i]));
  }
}

}  // namespace foreign_tokenizers_test
