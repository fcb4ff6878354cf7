// Zstandard files of lines: damaged ones, and text that was compressed here.
#include "compressed.hpp"

namespace {

std::string pack(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const std::size_t size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  if (ZSTD_isError(size)) fuzz::fail("zstd");
  out.resize(size);
  return out;
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const std::string text = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  seeds.add(text);
  seeds.add(pack(text));
  seeds.add(pack(text) + pack(std::string(100000, 'a')));
  seeds.words({"\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18"});
}

void fuzz::run(std::string_view input) { run_compressed("lines.jsonl.zst", input, pack); }
