#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::detail {

/// Token of a template.
struct JinjaToken {
  enum class Kind : unsigned char {
    data,
    block_begin,
    block_end,
    output_begin,
    output_end,
    name,
    string,
    integer,
    real,
    symbol,
    end
  };
  Kind kind;
  std::string text;
};

/// Divides a template into tokens as jinja2.lexer does with trim_blocks and lstrip_blocks.
class JinjaLexer {
 public:
  explicit JinjaLexer(std::string_view source) {
    for (std::size_t i = 0; i < source.size(); ++i) {
      if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
      source_ += source[i] == '\r' ? '\n' : source[i];
    }
    if (source_.ends_with('\n')) source_.pop_back();
  }

  std::vector<JinjaToken> run() {
    while (at_ < source_.size()) {
      std::size_t tag = at_;
      while (tag < source_.size() && !is_tag(tag)) ++tag;
      const bool is_last = tag == source_.size();
      const char kind = is_last ? '\0' : source_[tag + 1],
                 sign = is_last ? '\0' : source_[std::min(tag + 2, source_.size() - 1)];
      put_data(source_.substr(at_, tag - at_), is_last ? '\0' : kind, sign);
      if (is_last) break;
      at_ = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      if (kind == '#')
        skip_comment(tag);
      else if (kind == '%' && starts_word("raw"))
        read_raw(tag);
      else
        read_tag(kind == '%', tag);
    }
    tokens_.push_back({Kind::end, ""});
    return std::move(tokens_);
  }

 private:
  using Kind = JinjaToken::Kind;
  static constexpr std::string_view white = " \t\r\n\f\v";
  static bool is_white(char c) { return white.find(c) != white.npos; }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c < 0; }

  bool is_tag(std::size_t i) const {
    return source_[i] == '{' && i + 1 < source_.size() && std::string_view("{%#").find(source_[i + 1]) != white.npos;
  }
  bool starts(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }
  void skip_white() {
    while (at_ < source_.size() && is_white(source_[at_])) ++at_;
  }
  [[noreturn]] void no_end(std::size_t tag) const {
    throw Error("a tag has no end: {}", excerpt(source_.substr(tag, 60)));
  }

  /// Text between tags: `kind` and `sign` of the tag that follows it strip white space from its end.
  void put_data(std::string text, char kind, char sign) {
    if (kind && sign == '-') {
      text.erase(text.find_last_not_of(white) + 1);
    } else if ((kind == '%' || kind == '#') && sign != '+') {  // lstrip_blocks
      const std::size_t line = text.rfind('\n') + 1;
      if ((line > 0 || line_starts_) && text.find_first_not_of(white, line) == text.npos) text.erase(line);
    }
    if (!text.empty()) tokens_.push_back({Kind::data, std::move(text)});
  }

  /// Skips what the end of a tag strips: all white space after `-`, one line feed after a block (trim_blocks).
  void end_tag(bool strips, bool trims) {
    const std::size_t first = at_;
    if (strips)
      skip_white();
    else if (trims && starts("\n"))
      ++at_;
    line_starts_ = at_ > first && source_[at_ - 1] == '\n';
  }

  void skip_comment(std::size_t tag) {
    const std::size_t end = source_.find("#}", tag + 2);
    if (end == source_.npos) no_end(tag);
    const char sign = end > tag + 2 ? source_[end - 1] : '\0';
    at_ = end + 2;
    end_tag(sign == '-', sign != '+');
  }

  /// Whether the block that begins here has this name and nothing else.
  bool starts_word(std::string_view word) const {
    std::size_t i = std::min(source_.find_first_not_of(white, at_), source_.size());
    if (source_.compare(i, word.size(), word) != 0) return false;
    i = std::min(source_.find_first_not_of(white, i + word.size()), source_.size());
    const std::string_view rest = std::string_view(source_).substr(i);
    return rest.starts_with("%}") || rest.starts_with("-%}") || rest.starts_with("+%}");
  }

  void read_raw(std::size_t tag) {
    std::size_t close = source_.find("%}", at_);
    const bool strips = source_[close - 1] == '-';
    at_ = close + 2;
    end_tag(strips, false);
    const std::size_t first = at_;
    for (std::size_t end = source_.find("{%", at_); end != source_.npos; end = source_.find("{%", end + 2)) {
      at_ = std::min(end + 2, source_.size());
      const char sign = at_ < source_.size() ? source_[at_] : '\0';
      if (sign == '-' || sign == '+') ++at_;
      if (!starts_word("endraw")) continue;
      put_data(source_.substr(first, end - first), '%', sign);
      close = source_.find("%}", at_);
      const char last = source_[close - 1];
      at_ = close + 2;
      return end_tag(last == '-', last != '+');
    }
    no_end(tag);
  }

  void read_tag(bool is_block, std::size_t tag) {
    tokens_.push_back({is_block ? Kind::block_begin : Kind::output_begin, ""});
    const std::string_view close = is_block ? "%}" : "}}";
    std::size_t open = 0;  // brackets
    while (true) {
      skip_white();
      if (at_ >= source_.size()) no_end(tag);
      const char sign = source_[at_];
      const bool is_signed = sign == '-' || (is_block && sign == '+');
      if (open == 0 && std::string_view(source_).substr(at_ + (is_signed ? 1 : 0)).starts_with(close)) {
        at_ += is_signed ? 3 : 2;
        tokens_.push_back({is_block ? Kind::block_end : Kind::output_end, ""});
        return end_tag(sign == '-', is_block && sign != '+');
      }
      read_token(tag);
      const JinjaToken& last = tokens_.back();
      if (last.kind != Kind::symbol) continue;
      if (last.text == "(" || last.text == "[" || last.text == "{") ++open;
      if ((last.text == ")" || last.text == "]" || last.text == "}") && open-- == 0)
        throw Error("{} closes nothing", last.text);
    }
  }

  void read_token(std::size_t tag) {
    const char c = source_[at_];
    const std::size_t first = at_;
    if (is_letter(c)) {
      while (at_ < source_.size() && (is_letter(source_[at_]) || is_digit(source_[at_]))) ++at_;
      tokens_.push_back({Kind::name, source_.substr(first, at_ - first)});
    } else if (is_digit(c)) {
      const bool is_member = tokens_.back().kind == Kind::symbol && tokens_.back().text == ".";
      const auto digits = [&] {
        while (at_ < source_.size() && (is_digit(source_[at_]) || source_[at_] == '_')) ++at_;
      };
      digits();
      bool is_real = false;
      if (!is_member && at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1]))
        is_real = true, ++at_, digits();
      std::string text = source_.substr(first, at_ - first);
      std::erase(text, '_');
      tokens_.push_back({is_real ? Kind::real : Kind::integer, std::move(text)});
    } else if (c == '\'' || c == '"') {
      read_string(c, tag);
    } else {
      constexpr std::string_view pairs[] = {"==", "!=", "<=", ">=", "//", "**"};
      for (const std::string_view pair : pairs)
        if (starts(pair)) at_ = first + 2;
      if (at_ == first && std::string_view("+-*/%~<>=.:|,;()[]{}").find(c) == white.npos)
        throw Error("{} is not part of an expression", excerpt(source_.substr(first, 1)));
      at_ = std::max(at_, first + 1);
      tokens_.push_back({Kind::symbol, source_.substr(first, at_ - first)});
    }
  }

  void read_string(char quote, std::size_t tag) {
    std::string text;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] == '\\' && at_ + 1 < source_.size())
        ++at_, read_escape(text);
      else
        text += source_[at_];
    }
    if (at_ >= source_.size()) no_end(tag);
    ++at_;
    tokens_.push_back({Kind::string, std::move(text)});
  }

  /// Escape sequence of Python at `at_`, after the backslash; unknown ones stay as they are.
  void read_escape(std::string& text) {
    constexpr std::string_view names = "ntrbfva0\\'\"\n";
    constexpr std::string_view values("\n\t\r\b\f\v\a\0\\'\"", 11);
    const char c = source_[at_];
    const std::size_t known = names.find(c);
    const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (known < values.size()) {
      text += values[known];
    } else if (digits > 0) {
      std::uint32_t code = 0;
      for (std::size_t i = 1; i <= digits; ++i) {
        const char d = at_ + i < source_.size() ? source_[at_ + i] : '\0';
        const std::size_t value = std::string_view("0123456789abcdef").find(char(d >= 'A' && d <= 'F' ? d + 32 : d));
        if (value > 15) throw Error("a text has an incomplete escape sequence");
        code = code << 4U | std::uint32_t(value);
      }
      at_ += digits;
      put_code_point(code, text);
    } else if (c != '\n') {
      text += '\\', text += c;
    }
  }

  static void put_code_point(std::uint32_t code, std::string& text) {
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) throw Error("a text has an invalid escape sequence");
    const auto byte = [&](std::uint32_t value) { text += char(static_cast<unsigned char>(value)); };
    if (code < 0x80) return byte(code);
    if (code < 0x800) {
      byte(0xC0U | code >> 6U);
    } else {
      if (code < 0x10000) {
        byte(0xE0U | code >> 12U);
      } else {
        byte(0xF0U | code >> 18U), byte(0x80U | (code >> 12U & 0x3FU));
      }
      byte(0x80U | (code >> 6U & 0x3FU));
    }
    byte(0x80U | (code & 0x3FU));
  }

  std::string source_;
  std::size_t at_ = 0;
  bool line_starts_ = true;
  std::vector<JinjaToken> tokens_;
};

}  // namespace moderngpt2::detail
