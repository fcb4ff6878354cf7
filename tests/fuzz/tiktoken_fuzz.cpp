// File of ranks, the pattern that splits the text, and a text. Decoded ids must be the text.
#include "fuzz.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  const std::string ranks = "YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nIGFi 5\n";
  seeds.add(join({ranks, "gpt2", "ab ab"}));
  seeds.add(join({ranks, "\\w+|\\s", "a b ab"}));
  seeds.add(join({ranks + "YWJhYg== 6\n", "cl100k", "abab\n12"}));
  seeds.words({"gpt2", "o200k", "llama3", "qwen", "YQ==", "YWJh", " 4\n", "\\p{L}", separator});
}

void fuzz::run(std::string_view input) {
  const auto parts = split(input, 3);
  (void)detail::is_tiktoken(parts[0]);
  TokenizerOptions options;
  options.pattern = parts[1];
  const Tokenizer tokenizer = Tokenizer::load(file("x.tiktoken", parts[0]), options);
  bool has_all_bytes = true;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    std::string character;
    detail::append_byte_characters({&c, 1}, character);
    has_all_bytes &= tokenizer.id(character).has_value();
  }
  const std::string text = replace_invalid_utf8(parts[2]);
  const std::vector<int> ids = tokenizer.encode(text);
  for (const int id : ids) (void)tokenizer.token(id);
  if (has_all_bytes && tokenizer.decode(tokenizer.encode(text, true)).size() > text.size()) fail("longer text");
}
