#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/tokenizer/utf8.hpp"

using namespace moderngpt2;

namespace {
const std::string bad(replacement_character);
}

// Expected values: Python's bytes.decode("utf-8", errors="replace"), and table 3-8 of the Unicode standard.
TEST_CASE("maximal subparts of ill-formed text give one U+FFFD each") {
  CHECK(replace_invalid_utf8("plain \xE3\x81\x82 \xF0\x9F\x98\x80") == "plain \xE3\x81\x82 \xF0\x9F\x98\x80");
  CHECK(replace_invalid_utf8("") == "");
  CHECK(replace_invalid_utf8(std::string("\0a", 2)) == std::string("\0a", 2));
  CHECK(replace_invalid_utf8("\xFF") == bad);
  CHECK(replace_invalid_utf8("\x80\x80z") == bad + bad + "z");
  CHECK(replace_invalid_utf8("\xE3\x81") == bad);
  CHECK(replace_invalid_utf8("\xE3\x81z") == bad + "z");
  CHECK(replace_invalid_utf8("\xF0\x9F\x98") == bad);
  CHECK(replace_invalid_utf8("\xC0\xAF") == bad + bad);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == bad + bad + bad);
  CHECK(replace_invalid_utf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") ==
        bad + bad + bad + bad + bad + "A" + bad + bad + "B");
  CHECK(replace_invalid_utf8("\xF1\x80\x80\xE1\x80\xC2\x62") == bad + bad + bad + "b");
}

TEST_CASE("the valid part of a text") {
  CHECK(valid_utf8_prefix("abcdefghijkl\xE3\x81\x82") == 15);
  CHECK(valid_utf8_prefix("abcdefghijkl\xE3\x81") == 12);
  CHECK(valid_utf8_prefix("\xFF") == 0);
}

TEST_CASE("several characters at a time are checked like one at a time") {
  constexpr std::string_view pieces[]{"a",
                                      "\xC3\xA9",
                                      "\xE3\x81\x82",
                                      "\xE6\x97\xA5",
                                      "\xED\x95\x9C",  // U+D55C
                                      "\xEF\xBC\x81",
                                      "\xF0\x9F\x98\x80"};
  std::uint64_t random = 1;
  const auto below = [&](std::uint64_t n) { return mix64(++random) % n; };
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text;
    for (std::uint64_t i = below(12); i > 0; --i) text += pieces[below(7)];
    if (!text.empty() && trial % 2) text[below(text.size())] = static_cast<char>(mix64(++random));
    std::size_t valid = 0;
    while (valid < text.size() && detail::utf8_step(text, valid).valid) valid += detail::utf8_step(text, valid).length;
    REQUIRE(valid_utf8_prefix(text) == valid);
  }
  for (const char* text : {"\xE0\x80\x80\xE3\x81\x82..", "\xE3\x81\x82\xE0\x9F\xBF..", "\xED\xA0\x80\xE3\x81\x82..",
                           "\xE3\x81\x82\xED\xA0\x80.."})  // overlong forms and surrogates in each place
    CHECK(valid_utf8_prefix(text) % 8 == (text[1] == '\x81' ? 3 : 0));
}
