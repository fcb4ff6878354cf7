#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/printable.hpp"

using namespace moderngpt2;

TEST_CASE("printable text has no control characters and is valid UTF-8") {
  CHECK(printable("plain, für 日本語 😀 👩‍👩‍👧") == "plain, für 日本語 😀 👩‍👩‍👧");
  CHECK(printable("\x1b]0;owned\x07\x1b[2J") == "\\x1b]0;owned\\x07\\x1b[2J");
  CHECK(printable(std::string("a\nb\tc\0d\x7f", 8)) == "a\\x0ab\\x09c\\x00d\\x7f");
  CHECK(printable("\xc2\x9b"
                  "31m") == "\\u{9b}31m");  // C1: CSI
  CHECK(printable("\x9b"
                  "31m") == "\\x9b31m");  // not UTF-8
  CHECK(printable("\xe2\x80\xae"
                  "abc") == "\\u{202e}abc");  // right-to-left override
  CHECK(printable("\xe2\x81\xa6\xe2\x80\xa8\xef\xbb\xbf\xf3\xa0\x80\xa1") == "\\u{2066}\\u{2028}\\u{feff}\\u{e0021}");
  CHECK(printable("\xff\xc3") == "\\xff\\xc3");
  CHECK(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // a surrogate
  CHECK(printable("") == "");
}

TEST_CASE("printable text is bounded, with both ends") {
  const std::string text = "config.json: " + std::string(5'000'000, 'x') + " is unknown";
  const std::string shown = printable(text);
  CHECK(shown.size() < max_message + 4);
  CHECK(shown.starts_with("config.json: xxx"));
  CHECK(shown.ends_with("xxx is unknown"));
  CHECK(printable("日本語日本語", 8) == "日本...語");  // never cut inside a character
  CHECK(printable_lines("a\n\x1b\n") == "a\n\\x1b\n");
  CHECK(excerpt("\xc2\x9b\xe2\x80\xae") == "\"\\u{9b}\\u{202e}\"");
}

TEST_CASE("each Error has a printable message of one line") {
  const std::string name = "\x1b[2J\n\xc2\x85" + std::string(1'000'000, 'y');
  for (const std::string& what : {std::string(Error("{}: no such field", name).what()), std::string(Error(name).what()),
                                  std::string(UsageError("{} is unknown", name).what())}) {
    CHECK(what.starts_with("\\x1b[2J\\x0a\\u{85}yyy"));
    CHECK(what.size() < 2100);
  }
}
