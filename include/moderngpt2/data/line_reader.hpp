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

/// The lines of a stream, without their ends (LF or CRLF) and without a byte-order mark. A line longer than the limit
/// comes in pieces of at most that length, so memory stays bounded.
class LineReader {
 public:
  LineReader(std::unique_ptr<ByteReader> bytes, std::size_t limit) : bytes_(std::move(bytes)), limit_(limit) {
    chunk_.resize(std::min<std::size_t>(limit_, 1 << 18));
  }

  /// The next line or piece of one, valid until the next call; false at the end.
  bool next(std::string_view& line) {
    if (complete_) ++number_;
    buffer_.clear();
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
      if (buffer_.empty() && found && taken == length) {  // the usual line: no copy
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
        return finish(line, buffer_);
      }
    }
  }

  /// The line's number, from 1.
  std::int64_t number() const { return number_; }
  /// Whether the line just given goes on in the next piece, or goes on from the one before.
  bool is_piece() const { return !complete_ || continued_; }
  /// Whether more of the same line follows.
  bool unfinished() const { return !complete_; }
  std::int64_t position() const { return bytes_->position(); }

 private:
  bool finish(std::string_view& line, std::string_view text) {
    if (complete_ && text.ends_with('\r')) text.remove_suffix(1);
    if (number_ == 1 && !continued_ && text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    line = text;
    return true;
  }

  std::unique_ptr<ByteReader> bytes_;
  std::size_t limit_;
  std::vector<char> chunk_;
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::int64_t number_ = 0;
  bool complete_ = true, continued_ = false;
};

}  // namespace moderngpt2
