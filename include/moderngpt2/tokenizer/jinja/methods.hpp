#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/tokenizer/jinja/arguments.hpp"
#include "moderngpt2/tokenizer/jinja/text.hpp"
#include "moderngpt2/tokenizer/jinja/value.hpp"

// Methods of texts and dictionaries in templates, with the results of Python. Only ASCII letters have a case.
namespace moderngpt2::detail {

inline constexpr std::string_view jinja_white = " \t\n\r\f\v\x1c\x1d\x1e\x1f";

inline bool jinja_is_upper(char c) { return c >= 'A' && c <= 'Z'; }
inline bool jinja_is_lower(char c) { return c >= 'a' && c <= 'z'; }
inline char jinja_upper(char c) { return jinja_is_lower(c) ? char(c - 32) : c; }
inline char jinja_lower(char c) { return jinja_is_upper(c) ? char(c + 32) : c; }

/// strip() of Python for white space or a set of characters.
inline std::string jinja_strip(std::string_view s, const JinjaValue* characters, bool left, bool right) {
  if (!characters || characters->is_none()) {
    const std::size_t first = left ? std::min(s.find_first_not_of(jinja_white), s.size()) : 0;
    s.remove_prefix(first);
    if (right) s = s.substr(0, s.find_last_not_of(jinja_white) + 1);
    return std::string(s);
  }
  if (!characters->is_string()) throw Error("strip needs a text, found {}", characters->type());
  const std::vector<std::string_view> set = jinja_characters(characters->string()), text = jinja_characters(s);
  if (set.size() > 256) throw Error("strip has more than 256 characters");
  const auto has = [&](std::string_view c) { return std::find(set.begin(), set.end(), c) != set.end(); };
  std::size_t first = 0, last = text.size();
  while (left && first < last && has(text[first])) ++first;
  while (right && last > first && has(text[last - 1])) --last;
  std::string out;
  for (; first < last; ++first) out += text[first];
  return out;
}

inline std::string jinja_replace(std::string_view s, std::string_view from, std::string_view to, std::int64_t most,
                                 JinjaBudget& budget) {
  std::string out;
  if (most < 0) most = std::numeric_limits<std::int64_t>::max();
  const auto put = [&](std::string_view text) { budget.charge(text.size() + 1), out += text; };
  if (from.empty()) {
    const std::vector<std::string_view> characters = jinja_characters(s);
    for (std::size_t i = 0; i <= characters.size(); ++i) {
      if (most-- > 0) put(to);
      if (i < characters.size()) put(characters[i]);
    }
    return out;
  }
  for (std::size_t at; most-- > 0 && (at = s.find(from)) != s.npos; s.remove_prefix(at + from.size()))
    put(s.substr(0, at)), put(to);
  put(s);
  return out;
}

/// split() and rsplit() of Python.
inline JinjaValue::List jinja_split(std::string_view s, const JinjaValue* by, std::int64_t most, bool from_right) {
  JinjaValue::List parts;
  if (most < 0) most = std::numeric_limits<std::int64_t>::max();
  if (by && !by->is_none()) {
    if (!by->is_string() || by->string().empty()) throw Error("split needs a separator");
    const std::string& separator = by->string();
    while (most-- > 0) {
      const std::size_t at = from_right ? s.rfind(separator) : s.find(separator);
      if (at == s.npos) break;
      parts.emplace_back(from_right ? s.substr(at + separator.size()) : s.substr(0, at));
      s = from_right ? s.substr(0, at) : s.substr(at + separator.size());
    }
    parts.emplace_back(s);
    if (from_right) std::reverse(parts.begin(), parts.end());
    return parts;
  }
  if (from_right) throw Error("rsplit without a separator is not supported");
  s.remove_prefix(std::min(s.find_first_not_of(jinja_white), s.size()));
  while (!s.empty()) {
    const std::size_t end = most-- > 0 ? std::min(s.find_first_of(jinja_white), s.size()) : s.size();
    parts.emplace_back(s.substr(0, end));
    s.remove_prefix(end);
    s.remove_prefix(std::min(s.find_first_not_of(jinja_white), s.size()));
  }
  return parts;
}

inline JinjaValue::List jinja_split_lines(std::string_view s, bool keep_ends) {
  JinjaValue::List lines;
  while (!s.empty()) {
    std::size_t end = std::min(s.find_first_of("\n\r\f\v"), s.size()), next = std::min(end + 1, s.size());
    if (s.substr(end, 2) == "\r\n") ++next;
    lines.emplace_back(s.substr(0, keep_ends ? next : end));
    s.remove_prefix(next);
  }
  return lines;
}

/// Text with each word (title) or only the first (capitalize) in upper case, all else in lower case.
inline std::string jinja_title(std::string s, bool every_word) {
  bool starts = true;
  for (char& c : s) {
    c = starts ? jinja_upper(c) : jinja_lower(c);
    starts = every_word && !jinja_is_upper(c) && !jinja_is_lower(c) && c >= 0;
  }
  return s;
}

inline bool jinja_has_affix(std::string_view s, const JinjaValue& affixes, bool is_prefix) {
  const auto has = [&](const JinjaValue& affix) {
    if (!affix.is_string()) throw Error("startswith and endswith need a text, found {}", affix.type());
    return is_prefix ? s.starts_with(affix.string()) : s.ends_with(affix.string());
  };
  return affixes.is_tuple() ? std::any_of(affixes.list().begin(), affixes.list().end(), has) : has(affixes);
}

inline std::string jinja_join(const JinjaValue::List& items, std::string_view by, JinjaBudget& budget) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    budget.charge(by.size() + 1);
    if (i > 0) out += by;
    out += jinja_text(items[i], budget);
  }
  return out;
}

/// format() of Python, without format specifications: `{}`, `{0}`, `{name}`, `{{` and `}}`.
inline std::string jinja_format(std::string_view s, const JinjaArguments& arguments, JinjaBudget& budget) {
  std::string out;
  std::size_t next = 0;
  bool automatic = false, numbered = false;
  for (std::size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '{' && s[i] != '}') {
      out += s[i];
    } else if (i + 1 < s.size() && s[i + 1] == s[i]) {
      out += s[i++];
    } else {
      const std::size_t end = s[i] == '{' ? s.find('}', i) : s.npos;
      if (end == s.npos) throw Error("format: a brace is alone");
      const std::string_view field = s.substr(i + 1, end - i - 1);
      if (field.find_first_of("!:.[{") != s.npos) throw Error("format: the field {} is not supported", excerpt(field));
      const bool is_number = field.find_first_not_of("0123456789") == s.npos;
      std::size_t position = 99;
      (field.empty() ? automatic : numbered) |= is_number;
      if (automatic && numbered) throw Error("format: fields with and without numbers are mixed");
      if (is_number && field.size() < 3)
        position = field.empty() ? next++ : std::size_t(std::stoul(std::string(field)));
      const JinjaValue* value = arguments.find(position, is_number ? "" : field);
      if (!value) throw Error("format: the field {} has no value", excerpt(field));
      out += jinja_text(*value, budget);
      i = end;
    }
  }
  return out;
}

inline constexpr std::string_view jinja_string_methods[] = {
    "strip",   "lstrip",  "rstrip",  "split",   "rsplit", "splitlines",   "startswith",   "endswith", "replace",
    "upper",   "lower",   "title",   "find",    "rfind",  "removeprefix", "removesuffix", "isdigit",  "isspace",
    "isupper", "islower", "isalpha", "isalnum", "count",  "join",         "capitalize",   "index",    "format"};
inline constexpr std::string_view jinja_dict_methods[] = {"items", "keys", "values", "get"};

/// Method of a value; nullopt if its type has none of this name.
inline std::optional<JinjaValue> jinja_find_method(const JinjaValue& self, const std::string& name) {
  const auto has = [&](const auto& methods) {
    return std::find(std::begin(methods), std::end(methods), name) != std::end(methods);
  };
  if ((self.is_string() && has(jinja_string_methods)) || (self.is_dict() && has(jinja_dict_methods)))
    return JinjaValue::Callable{name, std::make_shared<const JinjaValue>(self), nullptr};
  return std::nullopt;
}

inline JinjaValue jinja_dict_method(const JinjaValue& self, const std::string& name, const JinjaArguments& arguments) {
  if (name == "get") {
    arguments.expect(2);
    if (const JinjaValue* item = self.field(arguments.get(0))) return *item;
    const JinjaValue* otherwise = arguments.find(1, "default");
    return otherwise ? *otherwise : JinjaValue(JinjaValue::None{});
  }
  arguments.expect(0);
  JinjaValue::List out;
  for (const auto& [key, item] : self.dict())
    out.push_back(name == "keys" ? key : name == "values" ? item : JinjaValue(JinjaValue::List{key, item}, true));
  return out;
}

inline JinjaValue jinja_string_method(const std::string& s, const std::string& name, const JinjaArguments& arguments,
                                      JinjaBudget& budget) {
  budget.charge(s.size() + 1);
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    arguments.expect(1);
    return jinja_strip(s, arguments.find(0, ""), name != "rstrip", name != "lstrip");
  }
  if (name == "split" || name == "rsplit") {
    arguments.expect(2, {"sep", "maxsplit"});
    budget.charge(s.size() * 32);
    return jinja_split(s, arguments.find(0, "sep"), arguments.integer_or(1, "maxsplit", -1), name == "rsplit");
  }
  if (name == "splitlines") {
    arguments.expect(1, {"keepends"});
    budget.charge(s.size() * 32);
    return jinja_split_lines(s, arguments.truth_or(0, "keepends", false));
  }
  if (name == "replace") {
    arguments.expect(3, {"count"});
    return jinja_replace(s, arguments.string(0), arguments.string(1), arguments.integer_or(2, "count", -1), budget);
  }
  if (name == "join") {
    arguments.expect(1);
    if (!arguments.get(0).is_list()) throw Error("join needs a list, found {}", arguments.get(0).type());
    for (const JinjaValue& item : arguments.get(0).list())
      if (!item.is_string()) throw Error("join needs a list of texts, found {}", item.type());
    return jinja_join(arguments.get(0).list(), s, budget);
  }
  if (name == "format") return jinja_format(s, arguments, budget);
  arguments.expect(1);
  if (name == "startswith" || name == "endswith") return jinja_has_affix(s, arguments.get(0), name == "startswith");
  if (name == "find" || name == "rfind" || name == "index") {
    const std::size_t at = name == "rfind" ? s.rfind(arguments.string(0)) : s.find(arguments.string(0));
    if (at == s.npos && name == "index") throw Error("index: the text is not found");
    return at == s.npos ? std::int64_t{-1} : std::int64_t(jinja_length(std::string_view(s).substr(0, at)));
  }
  if (name == "count") {
    std::int64_t n = 0;
    const std::string& part = arguments.string(0);
    if (part.empty()) return std::int64_t(jinja_length(s) + 1);
    for (std::size_t at = s.find(part); at != s.npos; at = s.find(part, at + part.size())) ++n;
    return n;
  }
  if (name == "removeprefix" || name == "removesuffix") {
    const std::string& affix = arguments.string(0);
    if (name == "removeprefix") return s.starts_with(affix) ? s.substr(affix.size()) : s;
    return s.ends_with(affix) ? s.substr(0, s.size() - affix.size()) : s;
  }
  arguments.expect(0);
  if (name == "title" || name == "capitalize") return jinja_title(s, name == "title");
  if (name == "upper" || name == "lower") {
    std::string out = s;
    std::transform(s.begin(), s.end(), out.begin(), name == "upper" ? jinja_upper : jinja_lower);
    return out;
  }
  // isalpha() and others: the text is not empty, and all characters are in the class.
  const bool has_case = std::any_of(s.begin(), s.end(), [](char c) { return jinja_is_upper(c) || jinja_is_lower(c); });
  if (name == "isupper") return has_case && std::none_of(s.begin(), s.end(), jinja_is_lower);
  if (name == "islower") return has_case && std::none_of(s.begin(), s.end(), jinja_is_upper);
  return !s.empty() && std::all_of(s.begin(), s.end(), [&](char c) {
    const bool is_letter = jinja_is_upper(c) || jinja_is_lower(c) || c < 0, is_digit = c >= '0' && c <= '9';
    if (name == "isspace") return jinja_white.find(c) != jinja_white.npos;
    return (is_digit && name != "isalpha") || (is_letter && name != "isdigit");
  });
}

}  // namespace moderngpt2::detail
