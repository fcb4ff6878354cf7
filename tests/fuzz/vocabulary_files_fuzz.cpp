// vocab.txt if the first part is empty, else vocab.json; merges.txt, tokenizer_config.json, and a text to encode.
#include "fuzz.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  const std::string vocab =
      R"({"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4, "b</w>": 5, "ab</w>": 6, "<s>": 7, "</s>": 8})";
  for (const char* name : {"GPT2Tokenizer", "RobertaTokenizerFast", "CLIPTokenizer", "Qwen2Tokenizer", "Other"})
    seeds.add(join({vocab, "#version: 0.2\na b\nĠ ab\na b</w>\n", fmt::format(R"({{"tokenizer_class": "{}"}})", name),
                    "ab Abab <s>"}));
  seeds.add(join(
      {"", "[UNK]\n[CLS]\n[SEP]\na\n##b\r\n\n,", R"({"do_lower_case": false, "strip_accents": null})", "ab, a [SEP]"}));
  seeds.words(
      {"tokenizer_class", "add_prefix_space", "do_lower_case", "tokenize_chinese_chars", "##", "[UNK]", separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 4);
  const bool words = parts[0].empty();
  const std::filesystem::path path = file(words ? "v/vocab.txt" : "v/vocab.json", words ? parts[1] : parts[0]);
  if (!words) file("v/merges.txt", parts[1]);
  file("v/tokenizer_config.json", parts[2].empty() ? "{}" : parts[2]);
  const Tokenizer tokenizer = Tokenizer::load(path);
  const std::vector<int> ids = tokenizer.encode(parts[3]);
  for (const int id : ids) (void)tokenizer.token(id);
  (void)tokenizer.decode(ids, true);
}
