#include <cstdint>
#include <iterator>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "make_stories/stories.hpp"

namespace {

using moderngpt2::check_sums;
using moderngpt2::story;
using moderngpt2::StoryLanguage;
using moderngpt2::SumCheck;

constexpr StoryLanguage both_languages[] = {StoryLanguage::english, StoryLanguage::japanese};

/// FNV-1a, so that the text itself is pinned on every platform.
std::uint64_t fingerprint(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

TEST_CASE("a story is a pure function of language, seed and index") {
  std::string all;
  for (const StoryLanguage language : both_languages) {
    CHECK(story(language, 1, 5) == story(language, 1, 5));
    CHECK(story(language, 1, 5) != story(language, 2, 5));
    CHECK(story(language, 1, 5) != story(language, 1, 6));
    for (int i = 0; i < 50; ++i) all += story(language, 42, static_cast<std::uint64_t>(i));
  }
  CHECK(fingerprint(all) == 8585874597167873949u);
}

TEST_CASE("stories are complete, varied and of a readable length") {
  for (const StoryLanguage language : both_languages) {
    std::set<std::string> seen;
    for (std::uint64_t i = 0; i < 4000; ++i) {
      const std::string text = story(language, 7, i);
      seen.insert(text);
      CAPTURE(text);
      REQUIRE(text.size() > 60);
      REQUIRE(text.size() < 3000);
      REQUIRE(text.find_first_of("{}[]|") == std::string::npos);
      REQUIRE(!has(text, "  "));
      REQUIRE(!has(text, " ."));
      REQUIRE(!has(text, "。。"));
      if (language == StoryLanguage::english) REQUIRE((text.back() == '.' || text.back() == '!' || text.back() == '"'));
    }
    CHECK(seen.size() > 3990);
  }
}

TEST_CASE("every plot occurs") {
  namespace detail = moderngpt2::detail;
  for (std::uint64_t i = 0; i < 200; ++i) {
    detail::StoryDice dice(3, 0, i);
    detail::english::Scene english(dice);
    detail::japanese::Scene japanese(dice);
    english.renew(dice, i % 2 == 0);
    japanese.renew(dice, i % 2 == 0);
    for (const std::string_view plot : detail::english::plots) CHECK_NOTHROW(detail::expand(plot, dice, english));
    for (const std::string_view plot : detail::japanese::plots) CHECK_NOTHROW(detail::expand(plot, dice, japanese));
  }
  CHECK(std::size(detail::english::plots) >= 25);
  CHECK(std::size(detail::japanese::plots) >= 25);
}

TEST_CASE("a template chooses, nests, and refuses what it cannot fill in") {
  moderngpt2::detail::StoryDice dice(1, 2, 3);
  const auto upper = [](std::string_view key) { return "<" + std::string(key) + ">"; };
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) seen.insert(moderngpt2::detail::expand("a[b|c[d|{e}]|]", dice, upper));
  CHECK(seen == std::set<std::string>{"ab", "acd", "ac<e>", "a"});
  CHECK_THROWS_AS(moderngpt2::detail::expand("a[b", dice, upper), moderngpt2::Error);
  CHECK_THROWS_AS(moderngpt2::detail::expand("a{b", dice, upper), moderngpt2::Error);
  const moderngpt2::detail::StoryScene empty;
  CHECK_THROWS_AS(empty.word("nobody"), moderngpt2::Error);
}

TEST_CASE("English grammar: articles, verbs, capitals, singular and plural") {
  namespace english = moderngpt2::detail::english;
  CHECK(english::with_article("apple") == "an apple");
  CHECK(english::with_article("red apple") == "a red apple");
  CHECK(english::conjugate("wash", false) == "washes");
  CHECK(english::conjugate("wash", true) == "wash");
  CHECK(english::conjugate("cry", false) == "cries");
  CHECK(english::conjugate("play", false) == "plays");
  CHECK(english::conjugate("have", false) == "has");
  CHECK(english::tidy("he  came. \"why?\" asked\nTom. \"look!\" now") == "He came. \"Why?\" asked Tom. \"Look!\" now");
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const std::string text = story(StoryLanguage::english, 11, i);
    CAPTURE(text);
    for (const char* wrong : {" a apple", " a old", " an red", " 1 apples", " 1 coins", " 2 coin ", " a umbrella"}) {
      REQUIRE(!has(text, wrong));
    }
  }
}

TEST_CASE("English pronouns: a story with Mary alone among the girls says her, and never his, of her") {
  int checked = 0;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const std::string text = story(StoryLanguage::english, 12, i);
    CAPTURE(text);
    for (const char* wrong :
         {"Mary could not find his", "Tom could not find her", "Mary had left his", "Tom put her"}) {
      REQUIRE(!has(text, wrong));
    }
    checked += has(text, "Mary could not find her") || has(text, "Tom could not find his");
  }
  CHECK(checked > 0);
}

TEST_CASE("Japanese counters follow the noun, and names carry san or kun") {
  int pencils = 0;
  for (std::uint64_t i = 0; i < 4000; ++i) {
    const std::string text = story(StoryLanguage::japanese, 13, i);
    CAPTURE(text);
    REQUIRE(!has(text, "ゆきくん"));
    REQUIRE(!has(text, "けんさん"));
    for (int n = 3; n <= 12; ++n) {
      const std::string number = std::to_string(n);
      REQUIRE(!has(text, "えんぴつを" + number + "枚"));
      REQUIRE(!has(text, "切手を" + number + "本"));
      REQUIRE(!has(text, "絵本を" + number + "匹"));
      pencils += has(text, "えんぴつを" + number + "本");
    }
  }
  CHECK(pencils > 0);
}

TEST_CASE("every sum in a story is right, and many stories have one") {
  for (const StoryLanguage language : both_languages) {
    int with_sums = 0;
    for (std::uint64_t i = 0; i < 4000; ++i) {
      const std::string text = story(language, 5, i);
      const SumCheck check = check_sums(language, text);
      CAPTURE(text);
      REQUIRE(check.right == check.sums);
      with_sums += check.sums > 0;
    }
    CHECK(with_sums > 1000);
  }
}

TEST_CASE("check_sums tells right answers from wrong ones") {
  struct Case {
    const char* text;
    int sums, right;
  };
  const std::vector<Case> english = {
      {"She had 3 apples. Tom gave her 4 more. Now she had 7 apples.", 1, 1},
      {"She had 3 apples. Tom gave her 4 more. Now she had 8 apples.", 1, 0},
      {"He had 9 nuts. He ate 2 of them. Now he had 7 nuts left. He ate 3 of them. Now he had 5 nuts left.", 2, 1},
      {"They had 3 boxes. They put 4 pears in each box. \"There are 12 in all,\" she said.", 1, 1},
      {"She baked 12 cookies. She shared them among 4 friends. Each friend got 3 cookies.", 1, 1},
      {"She baked 13 cookies. She shared them among 4 friends. Each friend got 3 cookies.", 1, 0},
      {"Tom is 9 years old. Ann is 2 years older. So Ann is now 11 years old.", 1, 1},
      {"He had 12 coins. The hat cost 5 coins. Now he had 7 coins left.", 1, 1},
      {"\"7 plus 5 makes 12,\" said Tom. \"7 minus 3 makes 5,\" said Ann.", 2, 1},
      {"Now he had 7 coins.", 0, 0},
      {"no numbers at all", 0, 0},
      {"99999999999999999999 apples. Now 1", 1, 0},
      {"", 0, 0},
  };
  for (const Case& c : english) {
    CAPTURE(c.text);
    const SumCheck check = check_sums(StoryLanguage::english, c.text);
    CHECK(check.sums == c.sums);
    CHECK(check.right == c.right);
  }
  const std::vector<Case> japanese = {
      {"りんごを3個持っていました。けんくんがもう4個くれました。全部で7個になりました。", 1, 1},
      {"りんごを3個持っていました。けんくんがもう4個くれました。全部で6個になりました。", 1, 0},
      {"卵を5個買いました。そのうち2個を食べました。残りは3個です。", 1, 1},
      {"箱を3個用意しました。そして花を4本ずつ入れました。「全部で12本です」と答えました。", 1, 1},
      {"クッキーを12枚焼きました。それを4人で同じ数に分けました。一人分は3枚です。", 1, 1},
      {"けんくんは8歳です。いとこの美香さんは6歳年上です。だから美香さんは今14歳です。", 1, 1},
      {"「8足す5は13です」「8引く6は3です」", 2, 1},
      {"全部で7個です。", 0, 0},
  };
  for (const Case& c : japanese) {
    CAPTURE(c.text);
    const SumCheck check = check_sums(StoryLanguage::japanese, c.text);
    CHECK(check.sums == c.sums);
    CHECK(check.right == c.right);
  }
}

}  // namespace
