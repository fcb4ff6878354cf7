// tokenizer.json, and a text to encode. Ids must exist, be those of a naive encoder for BPE, and be equal when encoded
// again (from the cache).
#include <map>

#include "json_mutator.hpp"
#include "moderngpt2/tokenizer/stream_decoder.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/naive_bpe.hpp"

using namespace moderngpt2;

namespace {

// BPE on whole texts, against its definition.
void compare_with_naive(const Json& json, std::string_view text) {
  const detail::ModelFile file = detail::read_tokenizer_json(json, "fuzz").model;
  if (file.kind != detail::ModelFile::Kind::bpe || !file.options.continuing_subword_prefix.empty() ||
      !file.options.end_of_word_suffix.empty() || file.ids.contains(""))
    return;
  test::NaiveBpe naive;
  naive.tokens = file.tokens;
  for (const auto& [token, id] : file.ids) naive.ids[token] = id;
  naive.merges = file.merges;
  naive.options = file.options;
  std::vector<int> ids;
  detail::BpeModel(naive.tokens, naive.merges, naive.options).encode(text, ids);
  if (ids != naive.encode(text)) fuzz::fail("other ids than those of the naive encoder");
}

// Only byte-fallback tokens may have another text when they are streamed.
void compare_streamed(const Tokenizer& tokenizer, std::span<const int> ids) {
  StreamDecoder stream(tokenizer, false);
  std::string streamed;
  for (const int id : ids) {
    if (tokenizer.byte_value(id) >= 0) return;
    streamed += stream.put(id);
    (void)tokenizer.token_text(id);
  }
  streamed += stream.finish();
  if (streamed != tokenizer.decode(ids)) fuzz::fail("another text when streamed");
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const std::string text = "Hello  world, 2x \xE2\x96\x81 <s> caf\xC3\xA9 \xF0\x9F\x98\x80\nabcabc";
  for (const std::string& json : seeds.data("tokenizer", "tokenizer.json")) seeds.add(join({json, text}));
  seeds.add(join({R"({"version": "1.0", "truncation": null, "padding": null,
"added_tokens": [{"id": 0, "content": "<u>", "single_word": false, "lstrip": true, "rstrip": true, "normalized": false,
"special": true}, {"id": 8, "content": "zz", "single_word": true, "lstrip": false, "rstrip": false, "normalized": true,
"special": false}],
"normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, "pre_tokenizer": null,
"post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<u>", "type_id": 0}},
{"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens":
{"<u>": {"id": "<u>", "ids": [0], "tokens": ["<u>"]}}},
"decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
{"type": "ByteFallback"}, {"type": "Fuse"}]},
"model": {"type": "BPE", "dropout": null, "unk_token": "<u>", "continuing_subword_prefix": null,
"end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
"vocab": {"<u>": 0, "a": 1, "b": 2, "▁": 3, "ab": 4, "▁ab": 5, "<0x0A>": 6, "abab": 7},
"merges": [["a", "b"], ["▁", "ab"], "ab ab"]}})",
                  "abab ab zz <u>\n ba"}));
  const auto pipeline = [&](std::string_view normalizer, std::string_view splits, std::string_view decoder,
                            std::string_view model) {
    seeds.add(
        join({fmt::format(R"({{"version": "1.0", "added_tokens": [{{"id": 0, "content": "<u>", "single_word": true,
"lstrip": false, "rstrip": false, "normalized": true, "special": true}}], "normalizer": {}, "pre_tokenizer": {},
"post_processor": {{"type": "BertProcessing", "cls": ["<u>", 0], "sep": ["a", 1]}}, "decoder": {}, "model": {}}})",
                          normalizer, splits, decoder, model),
              "Abab <u> ##b 12,3  caf\xC3\xA9"}));
  };
  const std::string_view bpe = R"({"vocab": {"<u>": 0, "a": 1, "b": 2, "Ġ": 3, "ab": 4, "Ġab": 9}, "unk_token": "<u>",
"ignore_merges": true, "merges": ["#version: 0.2", "a b", "Ġ ab"]})";
  pipeline(R"({"type": "NFC"})", R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex":
"\\p{L}+| ?[^\\s]+"}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": true,
"use_regex": false}]})",
           R"({"type": "ByteLevel"})", bpe);
  pipeline(R"({"type": "Sequence", "normalizers": [{"type": "Lowercase"}, {"type": "Strip", "strip_left": true,
"strip_right": true}]})",
           R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
{"type": "Punctuation", "behavior": "Contiguous"}]})",
           R"({"type": "BPEDecoder", "suffix": "</w>"})",
           R"({"type": "BPE", "vocab": {"<u>": 0, "a": 1, "b</w>": 2, "ab</w>": 3}, "unk_token": "<u>",
"end_of_word_suffix": "</w>", "merges": [["a", "b</w>"]]})");
  pipeline(
      R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
"lowercase": true})",
      R"({"type": "BertPreTokenizer"})", R"({"type": "WordPiece", "prefix": "##", "cleanup": true})",
      R"({"type": "WordPiece", "unk_token": "<u>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 9,
"vocab": {"<u>": 0, "a": 1, "##b": 2, "##ab": 3}})");
  pipeline("null", R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true})",
           R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first"})",
           R"({"type": "Unigram", "unk_id": 0, "vocab": [["<u>", 0], ["a", -1], ["▁", -2.5], ["ab", -1.5]]})");
  pipeline(R"({"type": "Replace", "pattern": {"Regex": "b+"}, "content": "b"})", R"({"type": "Whitespace"})", "null",
           R"({"type": "WordLevel", "unk_token": "<u>", "vocab": {"<u>": 0, "a": 1, "Abab": 2}})");
  seeds.words({"BPE",
               "Unigram",
               "byte_fallback",
               "ignore_merges",
               "<0x00>",
               "<0xFF>",
               "\xE2\x96\x81",
               "lstrip",
               "WordPiece",
               "WordLevel",
               "Sequence",
               "ByteLevel",
               "Metaspace",
               "Split",
               "Regex",
               "Strip",
               "Lowercase",
               "Prepend",
               "prepend_scheme",
               "never",
               "TemplateProcessing",
               "SpecialToken",
               "Sequence",
               "Replace",
               "ByteFallback",
               "Fuse",
               separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 2);
  const Json json = parse_json(parts[0], "fuzz.json");
  const Tokenizer tokenizer = Tokenizer::parse(parts[0], "fuzz.json");
  const std::string text = replace_invalid_utf8(parts[1]);
  compare_with_naive(json, text);
  for (const bool split_special : {false, true}) {
    const std::vector<int> ids = tokenizer.encode(parts[1], split_special);
    for (const int id : ids) (void)tokenizer.token(id);
    compare_streamed(tokenizer, ids);
    if (tokenizer.encode(text, split_special) != ids) fail("other ids for the same text");
    (void)tokenizer.decode(ids);
    (void)tokenizer.decode(ids, true);
  }
  (void)tokenizer.encode_prompt(text);
}
