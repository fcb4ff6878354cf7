// Precompiled character maps: the length of the text, the text, the map. Results are valid UTF-8.
#include "fuzz.hpp"
#include "moderngpt2/tokenizer/normalizers/precompiled.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  std::string map("\0\4\0\0", 4);
  for (unsigned i = 0; i < 256; ++i) {
    const std::uint32_t unit = i == 'a' ? 'a' | 0x100 | ('a' ^ 1u) << 10 : i == 1 ? 0x80000000 : 0;
    for (const int shift : {0, 8, 16, 24}) map += static_cast<char>(unit >> shift & 0xFF);
  }
  seeds.add("\x06xa\xCC\x81y\n" + map + std::string("bc\0", 3));
  seeds.add("\x04\r\na\xE0" + map);
}

void fuzz::run(std::string_view input) {
  if (input.empty()) return;
  const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(input[0]), input.size() - 1);
  const std::string text = replace_invalid_utf8(input.substr(1, length));
  const detail::PrecompiledNormalizer normalizer(input.substr(1 + length), "fuzz.json");
  std::string storage;
  const std::string_view result = normalizer(text, storage);
  if (valid_utf8_prefix(result) != result.size()) fail("the result is not UTF-8");
}
