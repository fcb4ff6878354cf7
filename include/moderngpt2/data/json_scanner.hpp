#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "moderngpt2/tokenizer/utf8.hpp"

namespace moderngpt2::detail {

/// Fast path for extracting a field's string from a JSON object, ten times as fast as a general parser. Handles common
/// lines only; the parser handles the others (invalid, deeply nested, numbers with exponents).
class JsonFieldScanner {
 public:
  JsonFieldScanner(std::string_view line, std::string_view field, std::string& out)
      : line_(line), at_(line.data()), end_(line.data() + line.size()), field_(field), out_(out) {}

  /// Returns true if the line is a strictly valid JSON object with exactly one `field`, a string, and sets `out` to it.
  bool scan() {
    bool found = false;
    if (valid_utf8_prefix(line_) != line_.size() || !take('{')) return false;
    do {
      std::string_view key;
      if (!take('"') || !read_key(key) || !take(':')) return false;
      if (key != field_) {
        if (!skip_value()) return false;
        continue;
      }
      if (found || !take('"')) return false;
      out_.clear();
      if (!read_string(&out_)) return false;
      found = true;
    } while (take(','));
    return take('}') && found && (skip_space(), at_ == end_);
  }

 private:
  void skip_space() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
  }
  bool take(char c) {
    skip_space();
    return at_ < end_ && *at_ == c ? (++at_, true) : false;
  }

  // Finds the first quote, backslash or control byte from at_.
  const char* find_special() const {
    constexpr std::uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    const char* at = at_;
    if constexpr (std::endian::native == std::endian::little) {
      for (; end_ - at >= 8; at += 8) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        const std::uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
        // The high bit of a byte is set if it is below the subtracted byte. False positives occur only above a true
        // one.
        const std::uint64_t hits =
            (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | ((word - ones * 0x20) & ~word)) & highs;
        if (hits) return at + std::countr_zero(hits) / 8;
      }
    }
    while (at < end_ && *at != '"' && *at != '\\' && static_cast<unsigned char>(*at) >= 0x20) ++at;
    return at;
  }

  // A key with an escape might equal the field's name, so the fast path stops.
  bool read_key(std::string_view& key) {
    const char* begin = at_;
    at_ = find_special();
    if (at_ == end_ || *at_ != '"') return false;
    key = {begin, static_cast<std::size_t>(at_ - begin)};
    ++at_;
    return true;
  }

  // Reads a string after its opening quote. Appends it to `out` unless that is null.
  bool read_string(std::string* out) {
    while (true) {
      const char* special = find_special();
      if (out) out->append(at_, special);
      at_ = special;
      if (at_ == end_) return false;
      const char c = *at_++;
      if (c == '"') return true;
      if (c != '\\' || at_ == end_) return false;
      constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
      const char letter = *at_++;
      if (letter == 'u') {
        if (!read_code(out)) return false;
      } else if (const std::size_t i = letters.find(letter); i != letters.npos) {
        if (out) out->push_back(meanings[i]);
      } else {
        return false;
      }
    }
  }

  bool read_hex(char32_t& code) {
    if (end_ - at_ < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = *at_++;
      if (c >= '0' && c <= '9')
        code = code * 16 + static_cast<char32_t>(c - '0');
      else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
        code = code * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
      else
        return false;
    }
    return true;
  }

  bool read_code(std::string* out) {
    char32_t code, low;
    if (!read_hex(code)) return false;
    if (code >= 0xD800 && code <= 0xDFFF) {
      if (code >= 0xDC00 || end_ - at_ < 6 || at_[0] != '\\' || at_[1] != 'u') return false;
      at_ += 2;
      if (!read_hex(low) || low < 0xDC00 || low > 0xDFFF) return false;
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (!out) return true;
    const auto add = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
      add(code);
    } else if (code < 0x800) {
      add(0xC0 | code >> 6), add(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
      add(0xE0 | code >> 12), add(0x80 | (code >> 6 & 0x3F)), add(0x80 | (code & 0x3F));
    } else {
      add(0xF0 | code >> 18), add(0x80 | (code >> 12 & 0x3F)), add(0x80 | (code >> 6 & 0x3F)),
          add(0x80 | (code & 0x3F));
    }
    return true;
  }

  bool skip_digits() {
    const char* begin = at_;
    while (at_ < end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != begin;
  }

  bool skip_scalar() {
    constexpr std::ptrdiff_t longest_number = 300;  // still a finite double
    const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
    for (const std::string_view word : {"true", "false", "null"})
      if (rest.starts_with(word)) return at_ += word.size(), true;
    const char* begin = at_;
    if (*at_ == '-') ++at_;
    if (at_ < end_ && *at_ == '0')
      ++at_;
    else if (!skip_digits())
      return false;
    if (at_ < end_ && *at_ == '.' && (++at_, !skip_digits())) return false;
    return at_ - begin <= longest_number && (at_ == end_ || (*at_ != 'e' && *at_ != 'E'));
  }

  // Skips any value, without recursion.
  bool skip_value() {
    std::array<char, 64> closers;
    std::size_t depth = 0;
    const auto skip_key = [&] { return take('"') && read_string(nullptr) && take(':'); };
    while (true) {
      skip_space();
      if (at_ == end_) return false;
      const char c = *at_;
      if (c == '{' || c == '[') {
        ++at_;
        if (depth == closers.size()) return false;
        closers[depth++] = c == '{' ? '}' : ']';
        if (!take(closers[depth - 1])) {
          if (c == '{' && !skip_key()) return false;
          continue;
        }
        --depth;
      } else if (c == '"') {
        ++at_;
        if (!read_string(nullptr)) return false;
      } else if (!skip_scalar()) {
        return false;
      }
      while (depth > 0 && take(closers[depth - 1])) --depth;
      if (depth == 0) return true;
      if (!take(',')) return false;
      if (closers[depth - 1] == '}' && !skip_key()) return false;
    }
  }

  std::string_view line_;
  const char *at_, *end_;
  std::string_view field_;
  std::string& out_;
};

}  // namespace moderngpt2::detail
