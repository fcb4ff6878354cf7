#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <zlib.h>

#include "make_stories/stories.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

namespace detail {

/// Compresses text into a .gz file. Deterministic: the header has no time and no name.
class GzipWriter {
 public:
  explicit GzipWriter(AtomicFile& file) : file_(file) {
    constexpr int gzip_window = 15 + 16, memory_level = 8;
    if (deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window, memory_level, Z_DEFAULT_STRATEGY) !=
        Z_OK)
      throw Error("{}: zlib cannot start, likely for lack of memory", file.path().string());
  }
  ~GzipWriter() { deflateEnd(&stream_); }
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  void write(std::string_view text) { push(text, Z_NO_FLUSH); }
  void finish() { push({}, Z_FINISH); }

 private:
  void push(std::string_view text, int flush) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // zlib only reads it
    stream_.avail_in = static_cast<uInt>(text.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      deflate(&stream_, flush);
      file_.write(std::span<const std::byte>(buffer_).first(buffer_.size() - stream_.avail_out));
    } while (stream_.avail_out == 0);
  }

  AtomicFile& file_;
  z_stream stream_{};
  std::array<std::byte, 65536> buffer_;
};

}  // namespace detail

/// Language of "en" or "ja". Throws UsageError for others.
inline StoryLanguage story_language(std::string_view code) {
  if (code == "en") return StoryLanguage::english;
  if (code == "ja") return StoryLanguage::japanese;
  throw UsageError("there are stories in en and ja, not in '{}'", code);
}

/// Writes stories first, first + 1, ... of a language in C4's format: a gzip file of JSON lines with "text",
/// "timestamp" and "url". Returns the bytes of text. Throws Error if the file cannot be written.
inline std::uint64_t write_story_file(const std::filesystem::path& path, StoryLanguage language, std::uint64_t seed,
                                      std::uint64_t first, std::uint64_t documents) {
  const std::string_view code = language == StoryLanguage::english ? "en" : "ja";
  AtomicFile file(path);
  detail::GzipWriter gzip(file);
  std::uint64_t bytes = 0;
  for (std::uint64_t i = first; i < first + documents; ++i) {
    Json line;
    line["text"] = story(language, seed, i);
    line["timestamp"] = "2024-01-01T00:00:00Z";
    line["url"] = fmt::format("https://stories.example/{}/{}/{}", code, seed, i);
    bytes += line["text"].get_ref<const std::string&>().size();
    gzip.write(line.dump() + "\n");
  }
  gzip.finish();
  file.commit();
  return bytes;
}

}  // namespace moderngpt2
