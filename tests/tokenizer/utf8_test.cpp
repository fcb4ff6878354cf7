#include <string>

#include <doctest/doctest.h>

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
