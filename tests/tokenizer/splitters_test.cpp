#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/tokenizer/pre_tokenizers.hpp"

using namespace moderngpt2;
using namespace moderngpt2::detail;

namespace {

void append(std::string& text, char32_t c) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xE0 | c >> 12);
    } else {
      put(0xF0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3F));
    }
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

using Ends = std::vector<std::size_t>;

/// Begin and end of each match.
Ends matches_of(const SplitMatcher& matcher, std::string_view text) {
  Ends result;
  std::visit(
      [&](const auto& m) {
        if constexpr (std::is_same_v<std::decay_t<decltype(m)>, Regex>) {
          m.for_each_match(text, [&](std::size_t begin, std::size_t end) {
            result.insert(result.end(), {begin, end});
          });
        } else {
          const char* const end = text.data() + text.size();
          for (const char* p = text.data(); p != end;) {
            const Match match = m.next(p, end);
            if (match.begin == end) break;
            for (const char* at : {match.begin, match.end})
              result.push_back(static_cast<std::size_t>(at - text.data()));
            p = match.end;
          }
        }
      },
      matcher);
  return result;
}

/// Hand-written splitters, and their patterns compiled by Regex.
class Pairs {
 public:
  Pairs() {
    namespace known = split_patterns;
    // Oniguruma has no possessive {1,3}+: an atomic group means the same.
    std::string cl100k(known::cl100k);
    cl100k.replace(cl100k.find("\\p{N}{1,3}+"), 11, "(?>\\p{N}{1,3})");
    for (const std::string_view pattern :
         {known::o200k, known::gpt2, known::r50k, known::llama3, known::deepseek_words, known::cl100k, known::qwen2,
          known::tekken, known::deepseek_digits, known::deepseek_cjk, known::deepseek_words_escaped}) {
      splitters_.push_back(make_split_matcher(pattern, PatternDialect::tiktoken, "test"));
      CHECK_FALSE(std::holds_alternative<Regex>(splitters_.back()));
      regexes_.emplace_back(Regex(pattern == known::cl100k ? cl100k : std::string(pattern), "test"));
    }
  }

  /// Number of patterns whose matches differ. `classes_only`: compares o200k and patterns after it that together
  /// distinguish all classes.
  int differences(std::string_view text, bool classes_only = false) const {
    int count = 0;
    for (std::size_t i = 0; i < splitters_.size(); i += classes_only ? 4U : 1U)
      count += matches_of(splitters_[i], text) != matches_of(regexes_[i], text);
    return count;
  }

  static const Pairs& get() {
    static const Pairs pairs;
    return pairs;
  }

 private:
  std::vector<SplitMatcher> splitters_, regexes_;
};

/// Characters that stand for all others: one of each class, as far as patterns distinguish classes, and each length in
/// UTF-8, and all that patterns name.
std::vector<std::string> representatives() {
  std::vector<std::string> result;
  std::set<std::array<std::size_t, 2>> known;
  const CharacterClasses& classes = CharacterClasses::get();
  constexpr CharacterClass in_patterns = letter_class | mark_class | number_class | space_class | symbol_class;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append(text, c);
    const auto found = static_cast<std::size_t>(classes[c] & in_patterns);
    if (known.insert({found, text.size()}).second) result.push_back(text);
  }
  for (const char* text : {" ", "\n", "\r", "'", "s", "l", "e", "S", "R", "ſ", "/", "日", "-"})
    result.emplace_back(text);
  return result;
}

constexpr std::string_view contexts[] = {"a", "A", "日", "ʰ", "ǅ",    "\u0301", "1", " ",  "\n", "\t",
                                         "!", "/", "'",  "€", "\x01", "あ",     "É", "'ſ", " a", "\u3000"};

void check_all_characters(std::size_t count, bool classes_only) {
  for (const std::string_view context : std::span(contexts).first(count)) {
    CAPTURE(context);
    int different = 0;
    std::string before, around;
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xD800 && c < 0xE000) continue;
      append(before.append(context), c);
      append(around, c);
      append(around.append(context), c);
      around.append(context).append(context);
      if ((c & 0xFFF) != 0xFFF) continue;
      different += Pairs::get().differences(before, classes_only) + Pairs::get().differences(around, classes_only);
      before.clear(), around.clear();
    }
    CHECK(different == 0);
  }
}

void check_random(int count) {
  const std::vector<std::string> parts = representatives();
  std::uint64_t random = 1;
  const auto below = [&](std::uint64_t n) { return mix64(++random) % n; };
  std::string text;
  for (int trial = 0; trial < count; ++trial) {
    text.clear();
    const auto kinds = 1 + below(8);
    const auto from = below(parts.size());
    for (auto size = 1 + below(24); size > 0; --size) {
      const auto at = below(4) ? (from + below(kinds) * 7) % parts.size() : below(parts.size());
      text += below(5) ? parts[at] : below(2) ? std::string(1 + below(20), 'a') : contexts[below(std::size(contexts))];
    }
    CAPTURE(text);
    REQUIRE(Pairs::get().differences(text) == 0);
  }
}

}  // namespace

TEST_CASE("hand-written splitters agree with regular expressions on all sequences of two classes and many of three") {
  const std::vector<std::string> parts = representatives();
  REQUIRE(parts.size() > 25);
  for (const std::string& a : parts)
    for (const std::string& b : parts) {
      CAPTURE(a);
      CAPTURE(b);
      REQUIRE(Pairs::get().differences(a + b) == 0);
      std::string text;  // a b before each other one
      for (const std::string& c : parts) text.append(a).append(b).append(c).append("\x01\x02");
      REQUIRE(Pairs::get().differences(text) == 0);
    }
}

TEST_CASE("hand-written splitters agree with regular expressions on random texts") { check_random(3000); }

TEST_CASE("hand-written splitters agree with regular expressions on all characters between letters") {
  check_all_characters(1, true);
}

// Runs with --no-skip.
TEST_CASE("hand-written splitters agree on all characters in all contexts and a million random texts" *
          doctest::skip(true)) {
  check_all_characters(std::size(contexts), false);
  check_random(1000000);
}

TEST_CASE("long runs take linear time") {
  constexpr std::size_t size = 500000;
  for (const std::string& run :
       {std::string("x"), std::string(" "), std::string("7"), std::string("\n "), std::string("日"), std::string("A"),
        std::string("ʰA"), std::string("\u0301"), std::string("'"), std::string("! ")}) {
    std::string text;
    while (text.size() < size) text += run;
    for (const auto& [name, pattern] : split_patterns::table) {
      std::size_t sum = 0;
      PreTokenizers(pattern, PatternDialect::tiktoken, "test")({text, true}, [&](const Pieces& some) {
        for (const std::string_view piece : some.pieces) sum += piece.size();
      });
      CHECK(sum == text.size());
    }
  }
}
