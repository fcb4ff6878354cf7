#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/data/byte_reader.hpp"
#include "moderngpt2/data/json_scanner.hpp"
#include "moderngpt2/data/line_reader.hpp"
#include "moderngpt2/data/open_bytes.hpp"
#include "moderngpt2/data/shell_command.hpp"
#include "moderngpt2/data/text_encoding.hpp"
#include "moderngpt2/data/text_files.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2 {

/// Text of an Error for a file that is one JSON object whose field `list` holds its rows.
std::string list_in_object_text(const TextFile& file, const std::string& list);

/// Reads the objects of a JSON file one by one, as the library `datasets` does: JSON lines, objects over several lines
/// or several in a line, and lists of objects. Memory is about twice `limit`, for any file. Threads: one at a time.
class JsonObjectReader {
 public:
  enum class Result { object, skipped, end };

  /// `limit`: maximum size of an object in bytes. `field`: name of the field that scanner() finds.
  JsonObjectReader(TextFile file, std::size_t limit, std::string field = {});

  /// Reads the next object, or returns `skipped` with a `reason` for a line that is not JSON and for another value or
  /// an object beyond the limit. Throws Error for broken JSON in a list or in an object over several lines, where the
  /// rest of the file has no meaning.
  Result next(std::string& reason);

  /// Text of the last object or skipped line, valid until the next call; empty if it exceeds the limit.
  std::string_view text() const { return std::string_view(buffer_).substr(begin_, taken_); }
  /// Line in which the last result begins, from 1.
  std::int64_t line() const { return value_line_; }
  /// Result of scanning the last object.
  const detail::JsonScanner& scanner() const { return scanner_; }
  /// Whether the last object is the only value of the file. Ends the validity of text().
  bool is_only_value();
  /// Number of bytes read from the file.
  std::int64_t position() const { return bytes_->position(); }

 private:
  std::string_view rest() const { return std::string_view(buffer_).substr(begin_); }
  bool fill();
  bool pass_space();
  void pass(std::size_t bytes);
  Result scan_value(std::string& reason);
  bool ends_well();
  Result broken(std::string& reason, bool at_end);
  Result skip_line(std::string& reason);
  Result skip_other(std::string& reason);
  [[noreturn]] void fail(std::int64_t line, const std::string& what) const;
  [[noreturn]] void fail_at(std::size_t offset, const std::string& what) const;
  bool is_list_in_object() const;

  TextFile file_;
  std::size_t limit_;
  std::unique_ptr<ByteReader> bytes_;
  detail::JsonScanner scanner_;
  std::string buffer_;
  std::size_t begin_ = 0, taken_ = 0;  // next byte of the buffer; size of the last result, which begins there
  std::int64_t dropped_ = 0, line_ = 1, line_start_ = 0, value_line_ = 1;  // offsets in the text of the file
  std::int64_t values_ = 0, list_line_ = 0;
  bool in_list_ = false, list_may_begin_ = true, expects_comma_ = false, is_first_of_list_ = false;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE std::string list_in_object_text(const TextFile& file, const std::string& list) {
  const auto is_plain = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  const std::string path = std::all_of(list.begin(), list.end(), is_plain)
                               ? "." + list
                               : ".[" + Json(list).dump(-1, ' ', false, Json::error_handler_t::replace) + "]";
  return fmt::format(
      "one JSON object, whose field {} holds a list of objects, instead of JSON lines or a list. Write "
      "the list as JSON lines: {}",
      excerpt(list, 40), shell_command(file, "jq -c " + shell_word(path + "[]")));
}

MODERNGPT2_INLINE JsonObjectReader::JsonObjectReader(TextFile file, std::size_t limit, std::string field)
    : file_(std::move(file)),
      limit_(std::max<std::size_t>(limit, 16)),
      bytes_(open_bytes(file_)),
      scanner_(std::move(field)) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  while (buffer_.size() < byte_order_mark.size() && fill()) {
  }
  if (buffer_.starts_with(byte_order_mark)) begin_ = byte_order_mark.size(), line_start_ = 3;
}

MODERNGPT2_INLINE JsonObjectReader::Result JsonObjectReader::next(std::string& reason) {
  pass(std::exchange(taken_, 0));
  while (true) {
    if (!pass_space()) {
      if (in_list_) fail(line_, fmt::format("the file ends inside the list that begins in line {}", list_line_));
      value_line_ = line_;
      return Result::end;
    }
    const char c = buffer_[begin_];
    value_line_ = line_;
    if (!in_list_) {
      if (c == ',' && values_ > 0)
        fail(line_,
             "a comma after an object: the file is neither JSON lines nor a JSON list. Write [ before the first object "
             "and ] after the last one.");
      if (c == '{') return scan_value(reason);
      if (c != '[' || !list_may_begin_) return skip_other(reason);
      in_list_ = is_first_of_list_ = true, expects_comma_ = false, list_line_ = line_;
    } else if (c == ']' && (expects_comma_ || is_first_of_list_)) {
      in_list_ = false;
    } else if (expects_comma_) {
      if (c != ',') fail_at(0, "a comma or ] is missing after a value of a list");
      expects_comma_ = is_first_of_list_ = false;
    } else {
      return scan_value(reason);
    }
    ++begin_;
  }
}

MODERNGPT2_INLINE bool JsonObjectReader::is_only_value() {
  pass(std::exchange(taken_, 0));
  return values_ == 1 && !in_list_ && !pass_space();
}

// Appends to the buffer. Invalidates views of it.
MODERNGPT2_INLINE bool JsonObjectReader::fill() {
  constexpr std::size_t large_buffer = std::size_t{1} << 20;
  const std::size_t chunk = std::min<std::size_t>(limit_, std::size_t{1} << 18);
  dropped_ += static_cast<std::int64_t>(begin_);
  buffer_.erase(0, std::exchange(begin_, 0));
  if (buffer_.capacity() > large_buffer && buffer_.size() < chunk) buffer_.shrink_to_fit();
  const std::size_t size = buffer_.size();
  buffer_.resize(size + chunk);
  buffer_.resize(size + bytes_->read(buffer_.data() + size, chunk));
  return buffer_.size() > size;
}

MODERNGPT2_INLINE bool JsonObjectReader::pass_space() {
  do {
    for (; begin_ < buffer_.size(); ++begin_) {
      const char c = buffer_[begin_];
      if (c == '\n')
        ++line_, line_start_ = dropped_ + static_cast<std::int64_t>(begin_) + 1;
      else if (c != ' ' && c != '\t' && c != '\r')
        return true;
    }
  } while (fill());
  return false;
}

// Passes bytes of the buffer and counts their lines.
MODERNGPT2_INLINE void JsonObjectReader::pass(std::size_t bytes) {
  const std::string_view passed = rest().substr(0, bytes);
  if (const std::size_t last = passed.rfind('\n'); last != passed.npos) {
    line_ += std::count(passed.begin(), passed.end(), '\n');
    line_start_ = dropped_ + static_cast<std::int64_t>(begin_ + last) + 1;
  }
  begin_ += bytes;
}

MODERNGPT2_INLINE JsonObjectReader::Result JsonObjectReader::scan_value(std::string& reason) {
  using State = detail::JsonScanner::State;
  scanner_.begin();
  bool is_long = false;
  State state;
  while ((state = scanner_.scan(rest())) == State::more) {
    is_long |= buffer_.size() - begin_ > limit_;
    if (is_long) {
      if (is_list_in_object()) break;
      const std::size_t scanned = scanner_.position();
      pass(scanned);
      scanner_.drop(scanned);
    }
    if (!fill()) break;
  }
  if (!is_long && state != State::complete) return broken(reason, state == State::more);
  is_long |= scanner_.position() > limit_;
  if (is_long && is_list_in_object()) fail(value_line_, list_in_object_text(file_, scanner_.list_field()));
  if (is_long) {
    if (state == State::more)
      fail(line_, fmt::format("the file ends inside the object that begins in line {}", value_line_));
    reason = fmt::format("the object is longer than {} bytes", limit_);
    if (state == State::broken) return in_list_ ? broken(reason, false) : skip_line(reason);
    pass(scanner_.position());
  } else {
    if (!in_list_ && !ends_well()) return broken(reason, false);
    taken_ = scanner_.position();
  }
  ++values_;
  expects_comma_ = in_list_;
  list_may_begin_ &= in_list_;
  if (is_long) return Result::skipped;
  if (valid_utf8_prefix(text()) != taken_) return reason = "the line is not UTF-8", Result::skipped;
  return scanner_.is_object() ? Result::object : (reason = "not a JSON object", Result::skipped);
}

// Whether the line of a complete object goes on with another one, or ends.
MODERNGPT2_INLINE bool JsonObjectReader::ends_well() {
  std::size_t after = scanner_.position();
  while (true) {
    const std::size_t found = rest().find_first_not_of(" \t\r", after);
    if (found != std::string_view::npos) return std::string_view("\n{,[").find(rest()[found]) != std::string_view::npos;
    after = rest().size();
    if (after - scanner_.position() > limit_) return true;
    if (!fill()) return true;
  }
}

// Skips a line of JSON lines that is broken. Broken JSON elsewhere is an Error, because its end cannot be found.
MODERNGPT2_INLINE JsonObjectReader::Result JsonObjectReader::broken(std::string& reason, bool at_end) {
  const std::size_t at = std::min(scanner_.position(), rest().size());
  const std::string_view before = rest().substr(0, at);
  const std::size_t first_end = before.find('\n'), last_end = before.rfind('\n');
  if (in_list_) fail_at(at, fmt::format("broken JSON in the list that begins in line {}", list_line_));
  if (first_end != before.npos) {
    // The first line was cut off if the file ends after it, or if an object begins in the next line.
    const bool is_line_start = before.find_first_not_of(" \t\r", last_end + 1) == before.npos;
    const std::size_t next = rest().find_first_not_of(" \t\r\n", first_end);
    const bool is_cut = at_end ? next == before.npos || rest()[next] == '{' : is_line_start && rest()[at] == '{';
    if (!is_cut) fail_at(at, fmt::format("broken JSON in the object that begins in line {}", value_line_));
  }
  const std::int64_t column = dropped_ + static_cast<std::int64_t>(begin_) - line_start_;
  reason = fmt::format("broken JSON at byte {} of the line",
                       column + static_cast<std::int64_t>(std::min(at, first_end)) + 1);
  return skip_line(reason);
}

MODERNGPT2_INLINE JsonObjectReader::Result JsonObjectReader::skip_line(std::string& reason) {
  std::size_t searched = 0;
  while (true) {
    const std::size_t end = rest().find('\n', searched);
    taken_ = std::min(end, rest().size());
    if (taken_ > limit_) {
      reason = fmt::format("the line is longer than {} bytes", limit_);
      begin_ += std::exchange(taken_, 0);
    }
    if (end != std::string_view::npos) break;
    searched = rest().size();
    if (!fill()) break;
  }
  return Result::skipped;
}

// Skips a line that does not begin with an object.
MODERNGPT2_INLINE JsonObjectReader::Result JsonObjectReader::skip_other(std::string& reason) {
  const std::int64_t column = dropped_ + static_cast<std::int64_t>(begin_) - line_start_;
  reason.clear();
  skip_line(reason);
  if (!reason.empty()) return Result::skipped;  // too long
  const std::string line = std::string(text()) + '\n';
  scanner_.begin();
  const bool complete = scanner_.scan(line) == detail::JsonScanner::State::complete;
  const bool is_value = complete && line.find_first_not_of(" \t\r\n", scanner_.position()) == line.npos;
  reason = is_value ? "not a JSON object"
                    : fmt::format("broken JSON at byte {} of the line",
                                  column + static_cast<std::int64_t>(scanner_.position()) + 1);
  return Result::skipped;
}

// Whether the value is the first of the file, and an object that holds a list of objects instead of the field.
MODERNGPT2_INLINE bool JsonObjectReader::is_list_in_object() const {
  return values_ == 0 && !in_list_ && !scanner_.has_field() && !scanner_.list_field().empty();
}

MODERNGPT2_INLINE void JsonObjectReader::fail(std::int64_t line, const std::string& what) const {
  std::string_view near = rest();
  near.remove_suffix(detail::unfinished_character(near));
  if (valid_utf8_prefix(near) != near.size())
    throw Error("{}:{}: the file is not UTF-8. {}", file_.path.string(), line,
                encoding_advice(file_, read_beginning(file_, std::size_t{1} << 16)));
  throw Error("{}:{}: {}", file_.path.string(), line, what);
}

// Fails at an offset from the next byte.
MODERNGPT2_INLINE void JsonObjectReader::fail_at(std::size_t offset, const std::string& what) const {
  const std::string_view before = rest().substr(0, offset);
  const std::size_t last = before.rfind('\n');
  const std::int64_t start = last == before.npos ? line_start_ - dropped_ - static_cast<std::int64_t>(begin_)
                                                 : static_cast<std::int64_t>(last) + 1;
  fail(line_ + std::count(before.begin(), before.end(), '\n'),
       fmt::format("byte {} of the line: {}", static_cast<std::int64_t>(offset) - start + 1, what));
}

}  // namespace moderngpt2

#endif
