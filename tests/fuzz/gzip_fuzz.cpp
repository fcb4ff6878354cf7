// Gzip files of lines: damaged ones, and text that was compressed here.
#include "compressed.hpp"

namespace {

std::string pack(std::string_view text) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) fuzz::fail("zlib");
  std::string out(deflateBound(&stream, text.size()), '\0');
  std::string in(text);
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) fuzz::fail("zlib");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

void fuzz::seed(Seeds& seeds) {
  const std::string text = "{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
  seeds.add(text);
  seeds.add(pack(text));
  seeds.add(pack(text) + pack(std::string(100000, 'a')) + std::string(20, '\0'));
  seeds.words({"\x1f\x8b\x08", std::string_view("\0\0\0\0\0\0", 6)});
}

void fuzz::run(std::string_view input) { run_compressed("lines.jsonl.gz", input, pack); }
