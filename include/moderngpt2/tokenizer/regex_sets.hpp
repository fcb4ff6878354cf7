#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/tokenizer/unicode/general_categories.hpp"
#include "moderngpt2/tokenizer/unicode/regex_replacements.hpp"
#include "moderngpt2/tokenizer/unicode/regex_sets.hpp"
#include "moderngpt2/tokenizer/unicode_classes.hpp"

namespace moderngpt2::detail {

/// Set of characters in PCRE2's syntax: the inside of a character class.
struct RegexSetItems {
  std::string items;
  std::vector<CharacterRange> ranges;  // explicit members, which do not depend on PCRE2's version of Unicode
  bool uses_categories = false, negated = false;
};

inline void append_code_point(std::string& out, char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
    out += static_cast<char>(c);
  else
    fmt::format_to(std::back_inserter(out), "\\x{{{:X}}}", static_cast<std::uint32_t>(c));
}

inline void append_range(RegexSetItems& set, char32_t first, char32_t last) {
  append_code_point(set.items, first);
  if (first != last) {
    set.items += '-';
    append_code_point(set.items, last);
  }
  set.ranges.push_back({first, last});
}

/// Appends the members of a general category, such as "Lu", or of all that begin with "L".
inline void append_category(RegexSetItems& set, std::string_view category, bool expand) {
  set.uses_categories |= !expand;
  if (!expand) {
    set.items += "\\p{" + std::string(category) + "}";
    return;
  }
  char32_t at = 0, begin = 0;
  bool open = false;
  for (std::size_t i = 0; i < std::size(general_category_runs); i += 2) {
    const std::string_view name = general_category_names[general_category_runs[i + 1]];
    const bool inside = name.starts_with(category) && name != "Cs";
    if (inside && !open) begin = at;
    if (!inside && open) append_range(set, begin, at - 1);
    open = inside;
    at += general_category_runs[i];
  }
  if (open) append_range(set, begin, at - 1);
}

inline void append_named(RegexSetItems& set, const RegexSet& named, bool expand) {
  for (std::string_view rest = named.categories; !rest.empty();
       rest.remove_prefix(std::min(rest.size(), std::size_t{3})))
    append_category(set, rest.substr(0, 2), expand);
  char32_t at = 0;
  for (std::size_t i = 0; i + 1 < named.ranges.size(); i += 2) {
    at += named.ranges[i];
    if (named.ranges[i + 1]) append_range(set, at, at + named.ranges[i + 1] - 1);
    at += named.ranges[i + 1];
  }
}

inline void append_white_space(RegexSetItems& set) {
  for (const CharacterRange range : {CharacterRange{0x9, 0xD},
                                     {0x20, 0x20},
                                     {0x85, 0x85},
                                     {0xA0, 0xA0},
                                     {0x1680, 0x1680},
                                     {0x2000, 0x200A},
                                     {0x2028, 0x2029},
                                     {0x202F, 0x202F},
                                     {0x205F, 0x205F},
                                     {0x3000, 0x3000}})
    append_range(set, range.first, range.last);
}

/// Set of ASCII ranges.
inline void append_ascii(RegexSetItems& set, std::string_view pairs) {
  for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
    append_range(set, static_cast<unsigned char>(pairs[i]), static_cast<unsigned char>(pairs[i + 1]));
}

/// Set with a name of \p{..} or [:..:] as Oniguruma defines it in Unicode 16: general categories, the POSIX classes and
/// some scripts. Names ignore case, spaces, hyphens and underscores. nullopt if the name is unknown.
/// `expand`: categories become ranges.
inline std::optional<RegexSetItems> named_regex_set(std::string_view name, bool expand) {
  std::string key;
  for (const char c : name)
    if (c != ' ' && c != '_' && c != '-') key += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  static constexpr std::pair<std::string_view, std::string_view> long_names[] = {{"letter", "L"},
                                                                                 {"uppercaseletter", "Lu"},
                                                                                 {"lowercaseletter", "Ll"},
                                                                                 {"titlecaseletter", "Lt"},
                                                                                 {"modifierletter", "Lm"},
                                                                                 {"otherletter", "Lo"},
                                                                                 {"mark", "M"},
                                                                                 {"combiningmark", "M"},
                                                                                 {"nonspacingmark", "Mn"},
                                                                                 {"spacingmark", "Mc"},
                                                                                 {"enclosingmark", "Me"},
                                                                                 {"number", "N"},
                                                                                 {"decimalnumber", "Nd"},
                                                                                 {"letternumber", "Nl"},
                                                                                 {"othernumber", "No"},
                                                                                 {"punctuation", "P"},
                                                                                 {"connectorpunctuation", "Pc"},
                                                                                 {"dashpunctuation", "Pd"},
                                                                                 {"openpunctuation", "Ps"},
                                                                                 {"closepunctuation", "Pe"},
                                                                                 {"initialpunctuation", "Pi"},
                                                                                 {"finalpunctuation", "Pf"},
                                                                                 {"otherpunctuation", "Po"},
                                                                                 {"symbol", "S"},
                                                                                 {"mathsymbol", "Sm"},
                                                                                 {"currencysymbol", "Sc"},
                                                                                 {"modifiersymbol", "Sk"},
                                                                                 {"othersymbol", "So"},
                                                                                 {"separator", "Z"},
                                                                                 {"spaceseparator", "Zs"},
                                                                                 {"lineseparator", "Zl"},
                                                                                 {"paragraphseparator", "Zp"},
                                                                                 {"other", "C"},
                                                                                 {"control", "Cc"},
                                                                                 {"format", "Cf"},
                                                                                 {"privateuse", "Co"},
                                                                                 {"unassigned", "Cn"},
                                                                                 {"digit", "Nd"},
                                                                                 {"cntrl", "Cc"}};
  RegexSetItems set;
  for (const auto& [long_name, category] : long_names)
    if (key == long_name) return append_category(set, category, expand), set;
  if (key.size() <= 2 && !key.empty()) {
    std::string category = key;
    category[0] = static_cast<char>(category[0] >= 'a' && category[0] <= 'z' ? category[0] - ('a' - 'A') : category[0]);
    for (const std::string_view known : general_category_names)
      if (category != "Cs" && known.starts_with(category)) return append_category(set, category, expand), set;
  }
  if (key == "lc" || key == "casedletter") {
    for (const std::string_view category : {"Lu", "Ll", "Lt"}) append_category(set, category, expand);
  } else if (key == "any") {
    append_range(set, 0, 0x10FFFF);
  } else if (key == "assigned") {
    append_category(set, "Cn", expand);
    set.negated = true;
  } else if (key == "space" || key == "whitespace") {
    append_white_space(set);
  } else if (key == "blank") {
    append_category(set, "Zs", expand);
    append_range(set, '\t', '\t');
  } else if (key == "ascii") {
    append_range(set, 0, 0x7F);
  } else if (key == "xdigit" || key == "asciihexdigit") {
    append_ascii(set, "09AFaf");
  } else {
    if (key == "alphabetic") key = "alpha";
    if (key == "uppercase") key = "upper";
    if (key == "lowercase") key = "lower";
    const auto* found = std::find_if(std::begin(regex_sets), std::end(regex_sets),
                                     [&](const RegexSet& other) { return other.name == key; });
    if (found == std::end(regex_sets)) return std::nullopt;
    append_named(set, *found, expand);
  }
  return set;
}

/// Set of \w. In Oniguruma it includes the six numbers of Latin-1, such as U+00B2, except inside [..].
inline RegexSetItems word_set(bool expand, bool in_class) {
  RegexSetItems set = *named_regex_set("word", expand);
  for (const CharacterRange range : {CharacterRange{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}})
    if (!in_class) append_range(set, range.first, range.last);
  return set;
}

/// Whether a set of ranges has both the character and its replacement, or neither, for each of regex_replacements.
inline bool agrees_with_replacements(const std::vector<CharacterRange>& ranges) {
  const auto contains = [&](char32_t c) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const CharacterRange& range) { return c >= range.first && c <= range.last; });
  };
  for (std::size_t i = 0; i < std::size(regex_replacements); i += 3) {
    const char32_t first = regex_replacements[i], last = regex_replacements[i + 1];
    const bool wanted = contains(regex_replacements[i + 2]);
    char32_t covered = first;  // the part of [first, last] before it is in one of the ranges
    for (bool grows = true; wanted && grows && covered <= last;) {
      grows = false;
      for (const CharacterRange& range : ranges)
        if (covered >= range.first && covered <= range.last) covered = range.last + 1, grows = true;
    }
    if (wanted && covered <= last) return false;
    if (!wanted && std::any_of(ranges.begin(), ranges.end(),
                               [&](const CharacterRange& range) { return range.first <= last && range.last >= first; }))
      return false;
  }
  return true;
}

}  // namespace moderngpt2::detail
