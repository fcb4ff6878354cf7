#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

// Texts of values in templates: str() and repr() of Python, and JSON as the filter tojson of Transformers writes it.
namespace moderngpt2::detail {

inline std::string jinja_float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  std::string s = fmt::format("{}", d);
  return s.find_first_of(".e") == s.npos ? s + ".0" : s;
}

/// Writes values with separators, quotes and words of a notation.
class JinjaWriter {
 public:
  struct Style {
    bool json = false;
    bool ascii = false;
    bool sort_keys = false;
    int indent = -1;  ///< spaces for each level; -1: one line
    std::string comma = ", ", colon = ": ";
  };

  JinjaWriter(Style style, JinjaBudget& budget) : style_(std::move(style)), budget_(budget) {}

  std::string write(const JinjaValue& v) {
    put(v, 0);
    return std::move(out_);
  }

 private:
  void put(const JinjaValue& v, int depth) {
    if (depth > 100) throw Error("a value is nested too deeply");
    const std::size_t before = out_.size();
    if (v.is_string())
      style_.json ? put_json(v.string()) : put_repr(v.string());
    else if (v.is_list())
      put_items(v, v.is_tuple() && !style_.json ? "()" : "[]", v.list().size(), depth);
    else if (v.is_dict())
      put_items(v, "{}", v.dict().size(), depth);
    else if (v.is_none())
      out_ += style_.json ? "null" : "None";
    else if (v.is_bool())
      out_ += v.truth() ? (style_.json ? "true" : "True") : (style_.json ? "false" : "False");
    else if (v.is_integer())
      out_ += fmt::format("{}", v.integer());
    else if (v.is_float())
      out_ += jinja_float_text(v.number());
    else if (v.is_undefined() && !style_.json)
      out_ += "Undefined";
    else
      throw Error("{} cannot be written as text", v.type());
    budget_.charge(out_.size() - before + 1);
  }

  void put_items(const JinjaValue& v, const char* brackets, std::size_t n, int depth) {
    out_ += brackets[0];
    const auto line = [&](int level) {
      if (style_.indent >= 0) out_ += '\n', out_.append(std::size_t(style_.indent) * std::size_t(level), ' ');
    };
    std::vector<const std::pair<JinjaValue, JinjaValue>*> fields;
    if (v.is_dict()) {
      for (const auto& field : v.dict()) fields.push_back(&field);
      if (style_.sort_keys)
        std::stable_sort(fields.begin(), fields.end(), [](auto* a, auto* b) { return a->first < b->first; });
    }
    for (std::size_t i = 0; i < n; ++i) {
      if (i > 0) out_ += style_.comma;
      line(depth + 1);
      if (!fields.empty()) {
        const JinjaValue& key = fields[i]->first;
        const bool needs_quotes = style_.json && !key.is_string();
        if (needs_quotes) out_ += '"';
        put(key, depth + 1);
        if (needs_quotes) out_ += '"';
        out_ += style_.colon;
      }
      put(v.is_dict() ? fields[i]->second : v.list()[i], depth + 1);
    }
    if (n > 0) line(depth);
    if (n == 1 && brackets[0] == '(') out_ += ',';
    out_ += brackets[1];
  }

  void put_repr(std::string_view s) {
    const char quote = s.find('\'') != s.npos && s.find('"') == s.npos ? '"' : '\'';
    out_ += quote;
    for (const char c : s) {
      if (c == quote || c == '\\')
        out_ += '\\', out_ += c;
      else if (!put_control(c))
        out_ += (c >= 0 && c < 0x20) || c == 0x7F ? fmt::format("\\x{:02x}", c) : std::string(1, c);
    }
    out_ += quote;
  }

  void put_json(std::string_view s) {
    out_ += '"';
    for (const std::string_view character : jinja_characters(s)) {
      const char c = character[0];
      if (c == '"' || c == '\\')
        out_ += '\\', out_ += c;
      else if (c == '\b' || c == '\f')
        out_ += c == '\b' ? "\\b" : "\\f";
      else if (put_control(c))
        continue;
      else if (c >= 0 && c < 0x20)
        out_ += fmt::format("\\u{:04x}", c);
      else if (style_.ascii && c < 0)
        put_escape(character);
      else
        out_ += character;
    }
    out_ += '"';
  }

  bool put_control(char c) {
    if (c != '\n' && c != '\t' && c != '\r') return false;
    out_ += c == '\n' ? "\\n" : c == '\t' ? "\\t" : "\\r";
    return true;
  }

  /// \uXXXX of a character, with a pair of surrogates above U+FFFF.
  void put_escape(std::string_view character) {
    const auto byte = [&](std::size_t i) { return std::uint32_t(static_cast<unsigned char>(character[i])); };
    std::uint32_t code = character.size() == 1 ? 0xFFFD : byte(0) & (0x7FU >> character.size());
    for (std::size_t i = 1; i < character.size() && i < 4; ++i) code = code << 6U | (byte(i) & 0x3FU);
    if (code > 0xFFFF)
      out_ += fmt::format("\\u{:04x}\\u{:04x}", 0xD7C0 + (code >> 10U), 0xDC00 + (code & 0x3FFU));
    else
      out_ += fmt::format("\\u{:04x}", code);
  }

  Style style_;
  JinjaBudget& budget_;
  std::string out_;
};

/// str() of Python; empty for an undefined value.
inline std::string jinja_text(const JinjaValue& v, JinjaBudget& budget) {
  if (v.is_string()) {
    budget.charge(v.string().size() + 1);
    return v.string();
  }
  return v.is_undefined() ? std::string() : JinjaWriter({}, budget).write(v);
}

}  // namespace moderngpt2::detail
