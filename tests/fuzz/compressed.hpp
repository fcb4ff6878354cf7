#pragma once

// Documents of a compressed file of JSON lines, for the targets gzip and zstd.
#include <memory>

#include "fuzz.hpp"
#include "moderngpt2/data/document_reader.hpp"

namespace fuzz {

/// Reads all lines of `bytes` as the file NAME, at most 64 MiB of text.
inline std::string read_lines(const std::string& name, std::string_view bytes) {
  using namespace moderngpt2;
  const std::filesystem::path path = file(name, bytes);
  LineReader reader(open_bytes({path, text_format(path), "text", static_cast<std::int64_t>(bytes.size())}), 1 << 16);
  std::string all;
  for (std::string_view line; all.size() < 64 << 20 && reader.next(line);)
    all.append(line) += reader.unfinished() ? "" : "\n";
  return all;
}

/// Reads a file of which `bytes` may be damaged, and a file of which they are the text.
template <class Pack>
void run_compressed(const std::string& name, std::string_view bytes, Pack pack) {
  const auto lines = accepted([&] { return read_lines(name, bytes); });
  (void)lines;
  std::string text(bytes);
  text.erase(std::remove(text.begin(), text.end(), '\r'), text.end());
  if (!text.ends_with('\n')) text += '\n';
  if (text.starts_with("\xEF\xBB\xBF")) return;
  // Two members or frames, cut anywhere.
  const std::string packed = pack(text.substr(0, text.size() / 3)) + pack(text.substr(text.size() / 3));
  const auto read = accepted([&] { return read_lines(name, packed); });
  if (!read || *read != text) fail("another text after compression and reading");
}

}  // namespace fuzz
