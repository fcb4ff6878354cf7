#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/data/byte_reader.hpp"

namespace moderngpt2 {

namespace detail {

/// Number of bytes (0 to 3) of an incomplete UTF-8 character at the end of `text`.
inline std::size_t unfinished_character(std::string_view text) {
  for (std::size_t tail = 1; tail <= std::min<std::size_t>(3, text.size()); ++tail) {
    const auto byte = static_cast<unsigned char>(text[text.size() - tail]);
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) > tail ? tail : 0;
  }
  return 0;
}

}  // namespace detail

/// Reads the lines of a stream, without line ends (LF or CRLF) and without a byte-order mark. A line longer than the
/// limit is returned in pieces of at most that length, split between characters, which bounds memory. Threads: one at a
/// time.
class LineReader {
 public:
  LineReader(std::unique_ptr<ByteReader> bytes, std::size_t limit)
      : bytes_(std::move(bytes)), limit_(std::max<std::size_t>(limit, 16)) {
    chunk_.resize(std::min<std::size_t>(limit_, 1 << 18));
  }

  /// Reads the next line or piece, valid until the next call. Returns false at the end.
  bool next(std::string_view& line) {
    if (complete_) ++number_;
    if (buffer_.capacity() > large_buffer) buffer_ = {};
    buffer_.assign(rest_);
    rest_.clear();
    continued_ = !complete_;
    while (true) {
      if (begin_ == end_) {
        begin_ = 0;
        end_ = bytes_->read(chunk_.data(), chunk_.size());
        if (end_ == 0) {
          if (complete_ && buffer_.empty()) return false;
          if (!complete_ && buffer_.empty()) return complete_ = true, false;
          complete_ = true;
          return finish(line, buffer_);
        }
      }
      const char* first = chunk_.data() + begin_;
      const void* found = std::memchr(first, '\n', end_ - begin_);
      const std::size_t length =
          found ? static_cast<std::size_t>(static_cast<const char*>(found) - first) : end_ - begin_;
      const std::size_t taken = std::min(length, limit_ - buffer_.size());
      if (buffer_.empty() && found && taken == length) {  // common case: no copy
        begin_ += length + 1;
        complete_ = true;
        return finish(line, {first, length});
      }
      buffer_.append(first, taken);
      begin_ += taken;
      if (found && taken == length) {
        ++begin_;
        complete_ = true;
        return finish(line, buffer_);
      }
      if (buffer_.size() == limit_) {
        complete_ = false;
        // A carriage return may belong to the line end.
        rest_ = buffer_.substr(buffer_.size() - (buffer_.ends_with('\r') ? 1 : detail::unfinished_character(buffer_)));
        buffer_.resize(buffer_.size() - rest_.size());
        return finish(line, buffer_);
      }
    }
  }

  /// Number of the line, from 1.
  std::int64_t number() const { return number_; }
  /// Whether the last result is a piece of a longer line.
  bool is_piece() const { return !complete_ || continued_; }
  /// Whether the last result continues in the next piece.
  bool unfinished() const { return !complete_; }
  std::int64_t position() const { return bytes_->position(); }

 private:
  static constexpr std::size_t large_buffer = std::size_t{1} << 20;  // freed after use

  bool finish(std::string_view& line, std::string_view text) {
    if (complete_ && text.ends_with('\r')) text.remove_suffix(1);
    if (number_ == 1 && !continued_ && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    line = text;
    return true;
  }

  std::unique_ptr<ByteReader> bytes_;
  std::size_t limit_;
  std::vector<char> chunk_;
  std::string buffer_, rest_;  // rest_: first bytes of a character or line end that did not fit into the last piece
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t number_ = 0;
  bool complete_ = true, continued_ = false;
};

}  // namespace moderngpt2
