#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/core/utf8.hpp"
#include "moderngpt2/tokenizer/regex_sets.hpp"

namespace moderngpt2::detail {

struct TranslatedRegex {
  std::string pattern;  // for PCRE2 with UTF, UCP and MULTILINE
  bool uses_categories = false;
  bool agrees_with_replacements = true;  // see agrees_with_replacements(); all explicit sets do
};

/// Translates a regular expression from Oniguruma's syntax, which `tokenizers` uses, to PCRE2's. Character classes keep
/// their meaning in Unicode 16. Throws Error for syntax that has no translation.
class RegexTranslator {
 public:
  /// `expand`: general categories become ranges of characters.
  RegexTranslator(std::string_view pattern, bool expand, std::string_view where)
      : text_(pattern), where_(where), expand_(expand) {}

  TranslatedRegex operator()();

 private:
  struct Flags {
    bool ignore_case = false, dot_all = false, extended = false;
  };
  struct CharacterClass {
    RegexSetItems set;
    std::string expression;  // matches one character
    bool simple = true;      // set.items (with set.negated) says the same as expression
  };

  [[noreturn]] void fail(std::string_view what) const;
  bool at_end() const { return at_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool accept(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  char32_t next();
  char32_t number(int base, std::size_t digits);
  std::optional<char32_t> character_escape(bool in_class);
  std::optional<RegexSetItems> set_escape(bool in_class);
  RegexSetItems property(bool negated);
  void put_set(const RegexSetItems& set);
  void put_literal(char32_t c, Flags flags, char32_t previous);
  CharacterClass character_class(Flags flags, int depth);
  bool posix_bracket(RegexSetItems& set, std::vector<std::string>& alternatives);
  std::string text_of(const RegexSetItems& set) const;
  void use(const RegexSetItems& set);
  void alternatives(Flags flags, int depth);
  void group(Flags& flags, int depth, int& open);
  void read_flags(Flags& flags);
  void escape(Flags flags, char32_t& previous);
  void quantifiers(std::size_t atom);
  std::string group_name(char end);

  std::string_view text_, where_;
  std::size_t at_ = 0;
  bool expand_, has_names_ = false;
  TranslatedRegex result_;
  std::vector<std::string> groups_;  // names of capturing groups, empty without a name
};

#ifndef MODERNGPT2_DECLARE_FILES

MODERNGPT2_INLINE void RegexTranslator::fail(std::string_view what) const {
  throw Error(
      "{}: the regular expression {} is not supported: {}, at byte {}. Rewrite the pattern in the file, or "
      "tokenize elsewhere and train on the shards.",
      where_, excerpt(text_, 60), what, at_);
}

MODERNGPT2_INLINE char32_t RegexTranslator::next() {
  const Utf8Step step = utf8_step(text_, at_);
  if (!step.valid) fail("invalid UTF-8");
  const char32_t c = utf8_decode(text_, at_, step.length);
  at_ += step.length;
  return c;
}

/// Parses a number of at most `digits` digits. Throws Error if there is none.
MODERNGPT2_INLINE char32_t RegexTranslator::number(int base, std::size_t digits) {
  std::uint32_t value = 0;
  std::size_t count = 0;
  for (; count < digits; ++count, ++at_) {
    const char c = peek();
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : 99;
    if (digit >= base) break;
    value = value * static_cast<std::uint32_t>(base) + static_cast<std::uint32_t>(digit);
  }
  if (count == 0) fail("a number is missing");
  if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) fail("a code point is invalid");
  return value;
}

/// Character of an escape sequence after the backslash, if it denotes one.
MODERNGPT2_INLINE std::optional<char32_t> RegexTranslator::character_escape(bool in_class) {
  if (at_end()) fail("it ends with a backslash");
  const char c = peek();
  switch (c) {
    case 't':
      return ++at_, U'\t';
    case 'n':
      return ++at_, U'\n';
    case 'r':
      return ++at_, U'\r';
    case 'f':
      return ++at_, U'\f';
    case 'v':
      return ++at_, U'\v';
    case 'a':
      return ++at_, U'\a';
    case 'e':
      return ++at_, U'\x1B';
    case 'b':
      if (!in_class) return std::nullopt;
      return ++at_, U'\b';
    case 'x':
      ++at_;
      if (accept("{")) {
        const char32_t value = number(16, 8);
        if (!accept("}")) fail("} is missing after \\x{");
        return value;
      } else {
        const char32_t value = number(16, 2);
        if (value >= 0x80) fail("\\x with a byte of a character; write \\x{..}");
        return value;
      }
    case 'u':
      ++at_;
      return number(16, 4);
    case '0':
      return number(8, 3);
    default:
      break;
  }
  if ((c >= '1' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return std::nullopt;
  return next();
}

/// Set of an escape sequence such as \s or \p{L} after the backslash, if it denotes one.
MODERNGPT2_INLINE std::optional<RegexSetItems> RegexTranslator::set_escape(bool in_class) {
  RegexSetItems set;
  const char c = peek();
  switch (c) {
    case 'd':
    case 'D':
      append_category(set, "Nd", expand_);
      break;
    case 'w':
    case 'W':
      set = word_set(expand_, in_class);
      break;
    case 's':
    case 'S':
      append_white_space(set);
      break;
    case 'h':
    case 'H':
      append_ascii(set, "09AFaf");
      break;
    case 'p':
    case 'P':
      ++at_;
      return property(c == 'P');
    default:
      return std::nullopt;
  }
  ++at_;
  set.negated = c < 'a';
  return set;
}

MODERNGPT2_INLINE RegexSetItems RegexTranslator::property(bool negated) {
  if (!accept("{")) fail("\\p without {");
  if (accept("^")) negated = !negated;
  const std::size_t end = text_.find('}', at_);
  if (end == std::string_view::npos) fail("} is missing after \\p{");
  const std::string_view name = text_.substr(at_, end - at_);
  auto set = named_regex_set(name, expand_);
  if (!set)
    fail(fmt::format("the property {} is unknown (known: general categories, POSIX classes and common scripts)",
                     excerpt(name, 40)));
  at_ = end + 1;
  set->negated ^= negated;
  return *set;
}

/// Expression that matches one character of the set.
MODERNGPT2_INLINE std::string RegexTranslator::text_of(const RegexSetItems& set) const {
  if (set.items.empty()) return set.negated ? "(?s:.)" : "(?!)";
  const bool is_property = set.items.starts_with("\\p{") && set.items.find('}') == set.items.size() - 1;
  if (is_property) return set.negated ? "\\P" + set.items.substr(2) : set.items;
  return (set.negated ? "[^" : "[") + set.items + "]";
}

/// Records whether a set needs categories, so that the text must be prepared (see regex_replacer.hpp).
MODERNGPT2_INLINE void RegexTranslator::use(const RegexSetItems& set) {
  result_.uses_categories |= set.uses_categories;
  if (result_.agrees_with_replacements) result_.agrees_with_replacements = agrees_with_replacements(set.ranges);
}

MODERNGPT2_INLINE void RegexTranslator::put_set(const RegexSetItems& set) {
  use(set);
  result_.pattern += text_of(set);
}

MODERNGPT2_INLINE bool RegexTranslator::posix_bracket(RegexSetItems& set, std::vector<std::string>& alternatives) {
  const std::size_t begin = at_;
  if (!accept("[:")) return false;
  const bool negated = accept("^");
  const std::size_t end = text_.find(":]", at_);
  if (end == std::string_view::npos || end - at_ > 20 ||
      text_.substr(at_, end - at_).find('[') != std::string_view::npos) {
    at_ = begin;
    return false;
  }
  auto named = named_regex_set(text_.substr(at_, end - at_), expand_);
  if (!named) fail(fmt::format("[:{}:] is unknown", excerpt(text_.substr(at_, end - at_), 20)));
  at_ = end + 2;
  named->negated ^= negated;
  use(*named);
  set.uses_categories |= named->uses_categories;
  if (named->negated)
    alternatives.push_back(text_of(*named));
  else
    set.items += named->items;
  return true;
}

/// Parses a character class after its "[".
MODERNGPT2_INLINE RegexTranslator::CharacterClass RegexTranslator::character_class(Flags flags, int depth) {
  if (depth > 100) fail("groups and classes are nested more than 100 deep");
  CharacterClass result;
  std::vector<std::string> operands, alternatives;
  RegexSetItems set;
  const bool negated = accept("^");
  const auto finish = [&] {
    if (!alternatives.empty()) {
      std::string joined = set.items.empty() ? "" : "[" + set.items + "]";
      for (const std::string& other : alternatives) joined += (joined.empty() ? "" : "|") + other;
      operands.push_back("(?:" + joined + ")");
      result.simple = false;
    } else {
      operands.push_back(set.items.empty() ? "(?!)" : "[" + set.items + "]");
    }
  };
  for (bool first = true;; first = false) {
    if (at_end()) fail("] is missing");
    if (peek() == ']' && !(first && text_.find(']', at_ + 1) != std::string_view::npos)) break;
    if (accept("&&")) {
      finish();
      set.items.clear();
      alternatives.clear();
      result.simple = false;
      continue;
    }
    if (peek() == '[') {
      if (posix_bracket(set, alternatives)) continue;
      ++at_;
      const CharacterClass inner = character_class(flags, depth + 1);
      if (inner.simple && !inner.set.negated)
        set.items += inner.set.items;
      else
        alternatives.push_back(inner.expression);
      continue;
    }
    char32_t begin;
    if (accept("\\")) {
      if (const auto escaped = character_escape(true)) {
        begin = *escaped;
      } else if (auto inner = set_escape(true)) {
        use(*inner);
        set.uses_categories |= inner->uses_categories;
        const std::string alone = text_of(*inner);
        if (!inner->negated)
          set.items += inner->items;
        else if (alone.starts_with("\\P"))
          set.items += alone;
        else
          alternatives.push_back(alone);
        continue;
      } else {
        fail(fmt::format("\\{} in a class", peek()));
      }
    } else {
      begin = next();
    }
    char32_t end = begin;
    if (peek() == '-' && peek(1) != ']' && peek(1) != '\0' && !(peek(1) == '&' && peek(2) == '&')) {
      ++at_;
      if (peek() == '[') fail("a range that ends with a class");
      if (accept("\\")) {
        const auto escaped = character_escape(true);
        if (!escaped) fail("a range that ends with a class");
        end = *escaped;
      } else {
        end = next();
      }
      if (end < begin) fail("a range with its ends swapped");
    }
    RegexSetItems range;
    append_range(range, begin, end);
    use(range);
    set.items += range.items;
  }
  ++at_;
  finish();
  for (const std::string_view cased : {"\\p{Lu}", "\\p{Ll}", "\\p{Lt}"})
    for (const std::string& operand : operands)
      if (flags.ignore_case && operand.find(cased) != std::string::npos && operand.find("\\p{L}") == std::string::npos)
        fail("(?i) with letters of one case in a class");
  if (result.simple) {
    result.set = set;
    result.set.negated = negated;
    result.expression = text_of(result.set);
    return result;
  }
  for (std::size_t i = 0; i + 1 < operands.size(); ++i) result.expression += "(?=" + operands[i] + ")";
  result.expression = "(?:" + result.expression + operands.back() + ")";
  if (negated) result.expression = "(?:(?!" + result.expression + ")(?s:.))";
  return result;
}

#endif  // MODERNGPT2_DECLARE_FILES

}  // namespace moderngpt2::detail
