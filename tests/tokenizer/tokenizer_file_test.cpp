#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/rust_number.hpp"
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

#define CHECK_THAT_CONTAINS(text, part) CHECK(std::string(text).find(part) != std::string::npos)

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
  CHECK_ERROR(load(with("pre_tokenizer", R"({"type": "Magic"})")), "t.json", "pre_tokenizer", "Magic", "ByteLevel");
  CHECK_ERROR(load(with("normalizer", R"({"type": "Magic"})")), "t.json", "normalizer", "Magic", "NFKC");
  CHECK_ERROR(load(with("decoder", R"({"type": "Magic"})")), "t.json", "decoder", "Magic", "Metaspace");
  CHECK_ERROR(load(with("decoder", R"({"type": "Sequence", "decoders": [{"type": "Fuse"}, {"type": "Magic"}]})")),
              "step 2 of 2", "Magic");
  CHECK_ERROR(load(with("decoder", R"({"type": "Fuse", "speed": 3})")), "decoder", "speed");
  CHECK_ERROR(load(with("post_processor", R"({"type": "Magic"})")), "post_processor", "Magic", "BertProcessing");
  CHECK_ERROR(load(with("post_processor", R"({"type": "BertProcessing"})")), "post_processor", "cls");
  CHECK_ERROR(load(with("version", R"("2.0")")), "version", "2.0");
  CHECK_ERROR(load(with("truncation", "3")), "truncation must be null or an object");
  CHECK_ERROR(load(with("padding", "true")), "padding must be null or an object");
  const char* split =
      R"({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false})";
  Json spaces = with("pre_tokenizer", split);
  CHECK(load(spaces).encode("a ab") == load(small()).encode("a ab"));
  CHECK_ERROR(load(with("model", R"({"type": "Magic"})")), "model", "Magic", "WordPiece");
  CHECK_ERROR(load(with("model", R"({"type": "WordPiece"})")), "model", "continuing_subword_prefix");
  CHECK_ERROR(load(with("model", R"({"merges": []})")), "model", "has no type");
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
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 2, "ab": 3, "▁": 2147483647})")), "id 2147483647",
              "only 5 tokens");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": -2, "ab": 3, "▁": 4})")), "negative", "-2");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 2.5, "ab": 3, "▁": 4})")), "integer");
  CHECK_ERROR(load(with("vocab", R"({"<unk>": 0, "a": 1, "b": 99999999999999999999, "ab": 3, "▁": 4})")), "\"b\"");
  CHECK_ERROR(load(with("vocab", R"([])")), "vocab");
  CHECK_ERROR(load(with("dropout", "1.5")), "dropout");
  CHECK_ERROR(load(with("fuse_unk", "1")), "fuse_unk");
  const auto note = [&](const char* key, const char* value) { return load(with(key, value)).notes().at(0); };
  CHECK_THAT_CONTAINS(note("unk_token", R"("?")"), "unk_token \"?\" is not in the vocabulary");
  CHECK_THAT_CONTAINS(note("dropout", "0.1"), "dropout 0.1 has no effect");
  CHECK_THAT_CONTAINS(note("cache", "1"), "the field \"cache\" is unknown and ignored");
  Json none = small();
  none["model"].erase("merges");
  CHECK_ERROR(load(none), "merges");
  CHECK_ERROR(Tokenizer::parse(R"({"model": {"vocab": {"a": 0, "a": 1}}})", "t.json"), "t.json", "twice");
}

// Expected values are those of Hugging Face `tokenizers` 0.23.3.
TEST_CASE("added tokens get the ids that `tokenizers` gives them") {
  const auto with = [](std::initializer_list<Json> tokens) {
    Json json = small();
    for (const Json& token : tokens) json["added_tokens"].push_back(token);
    return json;
  };
  const Tokenizer tokenizer = load(with({test::special_token(5, "y"), test::special_token(6, "x")}));
  CHECK(tokenizer.vocab_size() == 7);
  CHECK(tokenizer.encode("axyb") == std::vector<int>{1, 6, 5, 2});
  CHECK(tokenizer.notes().empty());
  const Tokenizer gap = load(with({test::special_token(2'000'000'000, "x"), test::special_token(12, "y")}));
  CHECK(gap.encode("axyb") == std::vector<int>{1, 5, 6, 2});
  CHECK_THAT_CONTAINS(gap.notes().at(0), "\"x\" has the id 2000000000 in the file, and gets 5");
  CHECK(load(with({test::special_token(5, "ab")})).encode("abx") == std::vector<int>{3, 0});
  CHECK(load(with({test::special_token(5, "x"), test::special_token(6, "x"), test::special_token(7, "y")}))
            .encode("xy") == std::vector<int>{5, 6});
  CHECK(load(with({test::special_token(5, "")})).vocab_size() == 5);
  CHECK_ERROR(load(with({test::special_token(-1, "x")})), "negative");
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
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>"]]})")), "entry 0");
  CHECK_ERROR(load(with(R"({"type": "Unigram", "unk_id": 0, "vocab": {}})")), "vocab");
}

// Expected values are those of Hugging Face `tokenizers` 0.23.3. The nearest doubles would give 1 2 4 4 4 ...
TEST_CASE("unigram scores are read as `tokenizers` reads them") {
  CHECK(detail::rust_number(-2.0122928619384766) == -2.012292861938477);
  CHECK(detail::rust_number(-12.130167007446289) == -12.130167007446287);
  for (const double same : {0.0, -1.5, 1e22, 5e-324, -1e300, 123456789.0}) CHECK(detail::rust_number(same) == same);
  Json json = small();
  json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}};
  json["model"] = parse_json(R"({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0], ["▁", -2.0122928619384766],
      ["-", -5.129043102264404], ["▁--", -9.931743621826172], ["---", -12.130167007446289]]})",
                             "test");
  std::vector<int> want(32, 4);
  want[0] = 1;
  want[3] = 2;
  CHECK(load(json).encode(std::string(91, '-')) == want);
}

TEST_CASE("ids may have holes, and an added token may have the id of a token in a hole") {
  Json json = small();
  json["model"]["vocab"] = {{"<unk>", 0}, {"a", 1}, {"b", 70000}, {"ab", 3}, {"▁", 5}};
  json["added_tokens"].push_back(test::special_token(5, "x"));  // the sixth token
  const Tokenizer tokenizer = load(json);
  CHECK(tokenizer.vocab_size() == 70001);
  CHECK(tokenizer.encode("abxb ") == std::vector<int>{3, 5, 70000, 5});
  CHECK(tokenizer.decode(std::vector<int>{5, 2, 4, 70000}) == "xb");
  CHECK_FALSE(tokenizer.has(4));
  CHECK_ERROR(tokenizer.token(4), "no token has the id 4");
  CHECK(tokenizer.token_text(4).empty());
}

TEST_CASE("a model without type is recognized by its fields") {
  Json json = small();
  json["model"].erase("type");
  CHECK(load(json).encode("ab a?ba") == load(small()).encode("ab a?ba"));
  json["normalizer"] = nullptr;
  json["model"] = {{"unk_token", "<unk>"}, {"vocab", {{"<unk>", 0}, {"ab", 1}}}};
  CHECK(load(json).encode("ab") == std::vector<int>{1});
  json["model"]["continuing_subword_prefix"] = "#";
  json["model"]["max_input_chars_per_word"] = 100;
  json["model"]["vocab"]["#c"] = 2;
  CHECK(load(json).encode("abcc") == std::vector<int>{1, 2, 2});
  json["model"] = {{"unk_id", 0}, {"vocab", {{"<unk>", 0}, {"a", -1.5}}}};
  json["model"]["vocab"] = Json::array({Json::array({"<unk>", 0}), Json::array({"a", -1.5})});
  CHECK(load(json).encode("aab") == std::vector<int>{1, 1, 0});
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
