#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// A tokenizer.json with five tokens.
Json small() {
  Json json = test::empty_tokenizer_json();
  json["added_tokens"].push_back(test::special_token(0, "<unk>"));
  json["model"]["vocab"] = {{"<unk>", 0}, {"a", 1}, {"b", 2}, {"ab", 3}, {"▁", 4}};
  json["model"]["merges"] = Json::array({Json::array({"a", "b"})});
  return json;
}

Tokenizer load(const Json& json) { return Tokenizer::parse(json.dump(), "t.json"); }

}  // namespace

TEST_CASE("the small tokenizer works, with both notations of merges") {
  CHECK(load(small()).encode("ab a?ba") == std::vector<int>{3, 4, 1, 0, 2, 1});
  Json old = small();
  old["model"]["merges"] = Json::array({"a b"});
  CHECK(load(old).encode("ab a?ba") == std::vector<int>{3, 4, 1, 0, 2, 1});
}

TEST_CASE("an unknown component is an error that names it") {
  const auto with = [](const char* key, const char* value) {
    Json json = small();
    json[key] = parse_json(value, "test");
    return json;
  };
  CHECK_ERROR(load(with("pre_tokenizer", R"({"type": "ByteLevel"})")), "t.json", "pre_tokenizer", "ByteLevel");
  CHECK_ERROR(load(with("normalizer", R"({"type": "NFKC"})")), "t.json", "normalizer", "NFKC");
  CHECK_ERROR(load(with("decoder", R"({"type": "Metaspace"})")), "t.json", "decoder", "Metaspace");
  CHECK_ERROR(load(with("decoder", "null")), "decoder");
  CHECK_ERROR(load(with("post_processor", R"({"type": "BertProcessing"})")), "post_processor", "BertProcessing");
  CHECK_ERROR(load(with("truncation", "3")), "truncation must be null or an object");
  CHECK_ERROR(load(with("padding", "true")), "padding must be null or an object");
  const char* split =
      R"({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false})";
  Json spaces = with("pre_tokenizer", split);
  CHECK(load(spaces).encode("a ab") == load(small()).encode("a ab"));
  spaces["normalizer"] = nullptr;
  CHECK_ERROR(load(spaces), "pre_tokenizer", "after a normalizer");
  CHECK_ERROR(load(with("model", R"({"type": "WordPiece"})")), "model", "WordPiece");
  CHECK_ERROR(load(with("extra", "1")), "extra");
  CHECK_ERROR(load(parse_json("[]", "test")), "t.json", "object");
}

TEST_CASE("a damaged model is an error") {
  const auto with = [](const char* key, const char* value) {
    Json json = small();
    json["model"][key] = parse_json(value, "test");
    return json;
  };
  CHECK_ERROR(load(with("merges", R"([["a", "z"]])")), "t.json", "merge 0", "\"z\"");
  CHECK_ERROR(load(with("merges", R"([["a", "b"], ["b", "a"]])")), "merge 1", "\"ba\"");
  CHECK_ERROR(load(with("merges", R"(["a b b"])")), "merge 0");
  CHECK_ERROR(load(with("merges", R"(["ab"])")), "merge 0");
  CHECK_ERROR(load(with("merges", R"([["a"]])")), "merge 0");
  CHECK_ERROR(load(with("merges", R"([7])")), "merge 0");
  CHECK_ERROR(load(with("merges", R"({})")), "merges");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 1, "ab": 3, "▁": 4})")), "id 1", "\"a\"", "\"b\"");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 2, "ab": 3, "▁": 9})")), "id 9", "holes");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": -2, "ab": 3, "▁": 4})")), "negative", "-2");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 2.5, "ab": 3, "▁": 4})")), "integer");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 99999999999999999999, "ab": 3, "▁": 4})")), "\"b\"");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "": 1})")), "empty");
  CHECK_ERROR(load(with("vocab", R"([])")), "vocab");
  CHECK_ERROR(load(with("unk_token", R"("?")")), "unk_token", "\"?\"");
  CHECK_ERROR(load(with("dropout", "0.1")), "dropout");
  CHECK_ERROR(load(with("end_of_word_suffix", R"("</w>")")), "end_of_word_suffix");
  CHECK_ERROR(load(with("ignore_merges", "true")), "ignore_merges");
  CHECK_ERROR(load(with("fuse_unk", "1")), "fuse_unk");
  CHECK_ERROR(load(with("cache", "1")), "cache");
  Json none = small();
  none["model"].erase("merges");
  CHECK_ERROR(load(none), "merges");
  CHECK_ERROR(Tokenizer::parse(R"({"model": {"vocab": {"a": 0, "a": 1}}})", "t.json"), "t.json", "twice");
}

TEST_CASE("added tokens extend the ids without holes or repeats") {
  const auto with = [](std::initializer_list<Json> tokens) {
    Json json = small();
    for (const Json& token : tokens) json["added_tokens"].push_back(token);
    return json;
  };
  const Tokenizer tokenizer = load(with({test::special_token(6, "y"), test::special_token(5, "x")}));
  CHECK(tokenizer.vocab_size() == 7);
  CHECK(tokenizer.encode("axyb") == std::vector<int>{1, 5, 6, 2});
  CHECK_ERROR(load(with({test::special_token(6, "x")})), "t.json", "added_tokens", "holes");
  CHECK_ERROR(load(with({test::special_token(-1, "x")})), "negative");
  CHECK_ERROR(load(with({test::special_token(3, "x")})), "the id 3");
  CHECK_ERROR(load(with({test::special_token(5, "ab")})), "the id 5");
  CHECK_ERROR(load(with({test::special_token(0, "<unk>")})), "repeats");
  CHECK_ERROR(load(with({test::special_token(5, "x"), test::special_token(6, "x")})), "repeats");
  CHECK_ERROR(load(with({test::special_token(5, "")})), "empty");
  Json incomplete = test::special_token(5, "x");
  incomplete.erase("lstrip");
  CHECK_ERROR(load(with({incomplete})), "entry 1", "lstrip");
}

TEST_CASE("a damaged unigram model is an error") {
  const auto with = [](const char* model) {
    Json json = small();
    json["model"] = parse_json(model, "test");
    return json;
  };
  CHECK(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["a", -1.5]]})")).encode("aab") ==
        std::vector<int>{1, 1, 0});
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 2, "vocab": [["<unk>", 0], ["a", -1.5]]})")), "unk_id");
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": null, "vocab": [["<unk>", 0], ["a", -1.5]]})")), "unk_id");
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["<unk>", -1.5]]})")), "two ids");
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>"]]})")), "entry 0");
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": {}})")), "vocab");
}

TEST_CASE("the post-processor's template") {
  Json json = small();
  json["post_processor"] = parse_json(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<unk>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [], "special_tokens": {"<unk>": {"id": "<unk>", "ids": [0], "tokens": ["<unk>"]}}})",
                                      "test");
  CHECK(load(json).prefix_ids() == std::vector<int>{0});
  CHECK(load(json).suffix_ids().empty());
  CHECK(load(json).encode("ab") == std::vector<int>{3});
  CHECK(load(json).encode_prompt("ab") == std::vector<int>{0, 3});
  json["post_processor"]["special_tokens"]["<unk>"]["ids"][0] = 77;
  CHECK_ERROR(load(json), "post_processor", "77");
  json["post_processor"]["single"] = Json::array();
  CHECK_ERROR(load(json), "post_processor");
}

TEST_CASE("roles come from the files beside tokenizer.json") {
  const test::TemporaryFolder folder;
  write_json_file(folder / "tokenizer.json", small());
  CHECK(!Tokenizer::load(folder.path()).eos_id());
  CHECK(Tokenizer::load(folder.path()).unk_id() == 0);
  write_file(folder / "special_tokens_map.json", R"({"eos_token": "a", "pad_token": {"content": "b"}})");
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "ab", "pad_token": null})");
  CHECK(Tokenizer::load(folder.path()).eos_id() == 1);  // special_tokens_map.json overrides
  CHECK(Tokenizer::load(folder.path()).pad_id() == 2);
  fs::remove(folder / "special_tokens_map.json");
  CHECK(Tokenizer::load(folder.path()).eos_id() == 3);
  CHECK(!Tokenizer::load(folder.path()).pad_id());
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "none"})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "tokenizer_config.json", "eos_token", "\"none\"");
  write_file(folder / "tokenizer_config.json", R"({"eos_token": 3})");
  CHECK_ERROR(Tokenizer::load(folder.path()), "tokenizer_config.json", "eos_token");
  CHECK_ERROR(Tokenizer::load(folder / "missing"), "missing");
  write_file(folder / "tokenizer.json", "{\"model\":");
  CHECK_ERROR(Tokenizer::load(folder.path()), "tokenizer.json");
}

TEST_CASE("precedence of the files beside tokenizer.json, as in Transformers 4.46 and 5.24") {
  const test::TemporaryFolder folder;
  write_json_file(folder / "tokenizer.json", small());
  const auto eos = [&](const char* config, const char* map) {
    write_file(folder / "tokenizer_config.json", config);
    write_file(folder / "special_tokens_map.json", map);
    return Tokenizer::load(folder.path()).eos_id();
  };
  const char* map = R"({"eos_token": "a"})";
  CHECK(eos(R"({"eos_token": "ab"})", map) == 1);
  CHECK(eos(R"({"eos_token": "ab"})", R"({"eos_token": {"content": "a", "lstrip": false}})") == 1);
  CHECK(eos(R"({"eos_token": null})", map) == 1);
  CHECK(!eos(R"({"eos_token": "ab"})", R"({"eos_token": null})"));
  CHECK(eos(R"({"eos_token": "ab"})", R"({"pad_token": "a"})") == 3);
  CHECK(eos("{}", map) == 1);
  // With added_tokens_decoder, tokenizer_config.json is complete: the map is not read.
  CHECK(eos(R"({"eos_token": "ab", "added_tokens_decoder": {}})", map) == 3);
  CHECK(!eos(R"({"added_tokens_decoder": {"1": {"content": "a"}}})", map));
  CHECK(eos(R"({"eos_token": "ab", "added_tokens_decoder": null})", map) == 1);
  CHECK_ERROR(eos(R"({"eos_token": "z"})", "{}"), "tokenizer_config.json: eos_token is \"z\"");
  CHECK_ERROR(eos("{}", R"({"eos_token": "z"})"), "special_tokens_map.json: eos_token is \"z\"");
  CHECK_ERROR(eos(R"({"added_tokens_decoder": []})", "{}"), "added_tokens_decoder must be an object");
  CHECK_ERROR(eos(R"({"additional_special_tokens": 7})", "{}"), "additional_special_tokens must be a list");
}

TEST_CASE("special tokens that only the files beside tokenizer.json name are matched in the text") {
  const test::TemporaryFolder folder;
  write_json_file(folder / "tokenizer.json", small());
  const auto ids = [&](const char* config) {
    write_file(folder / "tokenizer_config.json", config);
    return Tokenizer::load(folder.path()).encode("ab");
  };
  CHECK(ids("{}") == std::vector<int>{3});
  CHECK(ids(R"({"eos_token": "a"})") == std::vector<int>{1, 2});
  CHECK(ids(R"({"bos_token": "a"})") == std::vector<int>{1, 2});
  CHECK(ids(R"({"additional_special_tokens": ["b", "not in the vocabulary"]})") == std::vector<int>{1, 2});
  CHECK(ids(R"({"extra_special_tokens": ["b"]})") == std::vector<int>{1, 2});
  CHECK(ids(R"({"extra_special_tokens": {"image_token": "b"}})") == std::vector<int>{1, 2});
  CHECK(ids(R"({"added_tokens_decoder": {"1": {"content": "a", "special": false}}})") == std::vector<int>{1, 2});
  CHECK(!Tokenizer::load(folder.path()).is_special(1));
}

TEST_CASE("added tokens that are white space take linear time") {
  Json json = small();
  for (const char* side : {"lstrip", "rstrip"}) {
    json["added_tokens"] = Json::array({test::special_token(0, "<unk>"), test::special_token(5, "\n")});
    json["added_tokens"][1][side] = true;
    const Tokenizer tokenizer = load(json);
    CHECK(tokenizer.encode("a\n \nb\n") ==
          (side == std::string("lstrip") ? std::vector<int>{1, 5, 5, 2, 5} : std::vector<int>{1, 5, 5, 2, 5}));
    const auto start = std::chrono::steady_clock::now();
    CHECK(tokenizer.encode("a" + std::string(1'000'000, '\n') + "b").size() == 1'000'002);
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(2));
  }
}
