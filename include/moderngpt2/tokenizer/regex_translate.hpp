#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/tokenizer/regex_syntax.hpp"

namespace moderngpt2::detail {

/// Translates a regular expression of `tokenizers` for PCRE2. Characters are to be replaced before matching if the
/// result uses categories (see regex_replacements.hpp).
TranslatedRegex translate_regex(std::string_view pattern, std::string_view where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE TranslatedRegex RegexTranslator::operator()() {
  constexpr std::size_t longest = 32768;
  if (text_.size() > longest) fail(fmt::format("it has {} bytes, the limit is {}", text_.size(), longest));
  for (std::size_t i = 0; i + 3 < text_.size(); ++i)
    has_names_ |= text_.substr(i, 3) == "(?<" && text_[i + 3] != '=' && text_[i + 3] != '!';
  groups_.emplace_back();
  alternatives({}, 0);
  if (!at_end()) fail("an unmatched )");
  return std::move(result_);
}

/// Oniguruma's (?i) also folds one character to several, such as U+00DF to "ss", which PCRE2 does not.
MODERNGPT2_INLINE void RegexTranslator::put_literal(char32_t c, Flags flags, char32_t previous) {
  if (flags.ignore_case) {
    const auto lower = [](char32_t d) { return d >= 'A' && d <= 'Z' ? d + 32 : d; };
    const char32_t a = lower(previous), b = lower(c);
    if ((a == 's' && (b == 's' || b == 't')) || (a == 'f' && (b == 'f' || b == 'i' || b == 'l')))
      fail("(?i) with ss, st, ff, fi or fl, which match one character in Oniguruma");
    if (c == 0xDF || c == 0x130 || c == 0x149 || c == 0x1F0 || c == 0x390 || c == 0x3B0 || c == 0x587 ||
        (c >= 0x1E96 && c <= 0x1E9E) || (c >= 0x1F50 && c <= 0x1FFF) || (c >= 0xFB00 && c <= 0xFB17))
      fail("(?i) with a character that folds to several");
  }
  use({{}, {{c, c}}});
  append_code_point(result_.pattern, c);
}

/// Translates alternatives up to the end of the enclosing group.
MODERNGPT2_INLINE void RegexTranslator::alternatives(Flags flags, int depth) {
  if (depth > 100) fail("groups and classes are nested more than 100 deep");
  int open = 0;  // groups of options that end here
  char32_t previous = 0;
  std::string& out = result_.pattern;
  while (!at_end() && peek() != ')') {
    const std::size_t atom = out.size();
    if (flags.extended) {
      const char c = peek();
      if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
        ++at_;
        continue;
      }
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
        continue;
      }
    }
    if (accept("|")) {
      out += '|';
      previous = 0;
      continue;
    }
    char32_t literal = 0;
    if (accept("(")) {
      const int before = open;
      group(flags, depth, open);
      previous = 0;
      if (open != before || out.size() == atom) continue;  // options or a comment
    } else if (accept("[")) {
      const CharacterClass found = character_class(flags, depth);
      out += found.expression;
      result_.uses_categories |= found.set.uses_categories;
    } else if (accept("\\")) {
      literal = previous;
      escape(flags, literal);
    } else if (accept(".")) {
      out += flags.dot_all ? "(?s:.)" : "[^\\n]";
    } else if (accept("^")) {
      out += '^';
    } else if (accept("$")) {
      out += '$';
    } else if (peek() == '*' || peek() == '+' || peek() == '?') {
      fail("a quantifier without a target");
    } else {
      literal = next();
      put_literal(literal, flags, previous);
    }
    const std::size_t end = out.size();
    quantifiers(atom);
    previous = out.size() == end ? literal : 0;
  }
  out.append(static_cast<std::size_t>(open), ')');
}

/// Translates a group after its "(".
MODERNGPT2_INLINE void RegexTranslator::group(Flags& flags, int depth, int& open) {
  std::string& out = result_.pattern;
  Flags inner = flags;
  if (accept("?")) {
    if (accept("#")) {
      while (!at_end() && peek() != ')') at_ += peek() == '\\' ? std::size_t{2} : std::size_t{1};
      if (!accept(")")) fail(") is missing after (?#");
      return;
    }
    if (accept(":")) {
      out += "(?:";
    } else if (accept("=")) {
      out += "(?=";
    } else if (accept("!")) {
      out += "(?!";
    } else if (accept(">")) {
      out += "(?>";
    } else if (accept("<=")) {
      out += "(?<=";
    } else if (accept("<!")) {
      out += "(?<!";
    } else if (accept("<")) {
      groups_.push_back(group_name('>'));
      out += '(';
    } else {
      read_flags(inner);
      out += inner.ignore_case ? "(?i:" : "(?-i:";
      if (accept(")")) {  // for the rest of the enclosing group, alternatives included
        flags = inner;
        ++open;
        return;
      }
      if (!accept(":")) fail("unknown syntax after (?");
    }
  } else if (has_names_) {
    out += "(?:";
  } else {
    groups_.emplace_back();
    out += '(';
  }
  alternatives(inner, depth + 1);
  if (!accept(")")) fail(") is missing");
  out += ')';
}

MODERNGPT2_INLINE void RegexTranslator::read_flags(Flags& flags) {
  for (bool on = true;;) {
    if (accept("-")) {
      on = false;
    } else if (accept("i")) {
      flags.ignore_case = on;
    } else if (accept("m")) {
      flags.dot_all = on;
    } else if (accept("x")) {
      flags.extended = on;
    } else {
      if (peek() != ':' && peek() != ')') fail(fmt::format("(?{}", excerpt(text_.substr(at_, 1))));
      return;
    }
  }
}

MODERNGPT2_INLINE std::string RegexTranslator::group_name(char end) {
  const std::size_t stop = text_.find(end, at_);
  if (stop == std::string_view::npos || stop == at_) fail("the name of a group is incomplete");
  const std::string name(text_.substr(at_, stop - at_));
  for (const char c : name)
    if (c != '_' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9'))
      fail("a group's name has other characters than letters, digits and _");
  at_ = stop + 1;
  return name;
}

/// Escape sequence outside of a class, after its backslash. `literal`: in, the character before; out, the character
/// that the sequence denotes, or 0.
MODERNGPT2_INLINE void RegexTranslator::escape(Flags flags, char32_t& literal) {
  std::string& out = result_.pattern;
  const char32_t previous = literal;
  literal = 0;
  if (const auto c = character_escape(false)) {
    put_literal(*c, flags, previous);
    literal = *c;
    return;
  }
  if (const auto set = set_escape(false)) return put_set(*set);
  const char c = peek();
  ++at_;
  const auto back_reference = [&](std::size_t index) {
    if (index == 0 || index >= groups_.size()) fail("a reference to a group that does not exist before it");
    out += fmt::format("\\g{{{}}}", index);
  };
  switch (c) {
    case 'A':
    case 'z':
    case 'Z':
      out += '\\';
      out += c;
      return;
    case 'b':
    case 'B': {
      const RegexSetItems word = word_set(expand_, false);
      use(word);
      const std::string w = text_of(word);
      out += c == 'b' ? fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", w)
                      : fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", w);
      return;
    }
    case 'R':
      out += "(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])";
      return;
    case 'N':
      out += "[^\\n]";
      return;
    case 'O':
      out += "(?s:.)";
      return;
    case 'k': {
      if (!accept("<")) fail("\\k without <");
      const std::string name = group_name('>');
      std::size_t index = groups_.size() - 1;
      while (index > 0 && groups_[index] != name) --index;
      return back_reference(index);
    }
    default:
      break;
  }
  if (c >= '1' && c <= '9' && !(peek() >= '0' && peek() <= '9') && !has_names_)
    return back_reference(static_cast<std::size_t>(c - '0'));
  fail(fmt::format("\\{}", c));
}

/// Translates the quantifiers of the atom that begins at result_.pattern[atom].
MODERNGPT2_INLINE void RegexTranslator::quantifiers(std::size_t atom) {
  std::string& out = result_.pattern;
  const auto wrap = [&] {
    out.insert(atom, "(?:");
    out += ')';
  };
  for (int count = 0;; ++count) {
    if (count > 8) fail("more than 8 quantifiers in a row");
    std::string quantifier;
    bool interval = false, fixed = false;
    if (peek() == '*' || peek() == '+' || peek() == '?') {
      quantifier = peek();
      ++at_;
    } else if (peek() == '{') {
      std::size_t i = at_ + 1;
      const auto digits = [&] {
        const std::size_t begin = i;
        while (i < text_.size() && text_[i] >= '0' && text_[i] <= '9') ++i;
        return std::string(text_.substr(begin, i - begin));
      };
      std::string low = digits(), high = low;
      fixed = true;
      if (i < text_.size() && text_[i] == ',') {
        ++i;
        high = digits();
        fixed = false;
        if (low.empty() && high.empty()) return;
        if (low.empty()) low = "0";
      }
      if (low.empty() || i >= text_.size() || text_[i] != '}') return;  // literal {
      if (low.size() > 5 || high.size() > 5) fail("a repetition of more than 65535");
      if (!fixed && !high.empty() && std::stoi(low) > std::stoi(high)) fail("a repetition with its bounds swapped");
      quantifier = fixed ? fmt::format("{{{}}}", low) : fmt::format("{{{},{}}}", low, high);
      at_ = i + 1;
      interval = true;
    } else {
      return;
    }
    if (count > 0) wrap();
    if (peek() == '?' && !fixed) {
      quantifier += '?';
      ++at_;
    } else if (peek() == '+' && !interval) {
      quantifier += '+';
      ++at_;
    }
    out += quantifier;
  }
}

MODERNGPT2_INLINE TranslatedRegex translate_regex(std::string_view pattern, std::string_view where) {
  TranslatedRegex result = RegexTranslator(pattern, false, where)();
  // An explicit set may distinguish a character from its replacement: then categories are written out as ranges.
  if (result.uses_categories && !result.agrees_with_replacements) result = RegexTranslator(pattern, true, where)();
  return result;
}

}  // namespace moderngpt2::detail

#endif  // MODERNGPT2_DECLARE_FILES
