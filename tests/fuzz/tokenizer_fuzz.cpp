// tokenizer.json, and a text to encode. Ids must exist, be those of a naive encoder for BPE, and be equal when encoded
// again (from the cache).
#include <map>

#include "json_mutator.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/naive_bpe.hpp"

using namespace moderngpt2;

namespace {

// The model of the file without added tokens, against the definition of BPE.
void compare_with_naive(const Json& json, std::string_view text) {
  const detail::TokenizerFile file = detail::TokenizerFileReader("fuzz").read(json);
  if (file.unigram) return;
  test::NaiveBpe naive;
  naive.tokens.assign(file.tokens.begin(), file.tokens.begin() + file.model_size);
  for (std::size_t id = 0; id < naive.tokens.size(); ++id) naive.ids[naive.tokens[id]] = static_cast<int>(id);
  naive.merges = file.merges;
  naive.options = file.options;
  naive.options.marks_spaces = file.replaces_spaces;
  std::vector<int> ids;
  detail::BpeModel(naive.tokens, naive.merges, naive.options).encode(text, ids);
  if (ids != naive.encode(text)) fuzz::fail("other ids than those of the naive encoder");
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
  seeds.words({"BPE", "Unigram", "byte_fallback", "ignore_merges", "<0x00>", "<0xFF>", "\xE2\x96\x81", "lstrip",
               "TemplateProcessing", "SpecialToken", "Sequence", "Replace", "ByteFallback", "Fuse", separator});
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
    if (tokenizer.encode(text, split_special) != ids) fail("other ids for the same text");
    (void)tokenizer.decode(ids);
    (void)tokenizer.decode(ids, true);
  }
  (void)tokenizer.encode_prompt(text);
}
