#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "moderngpt2/data/json_field.hpp"

using namespace moderngpt2;

namespace {

/// Result of the general parser for a line: the text, or the error.
std::string by_parser(std::string_view line, std::string& out) {
  detail::JsonFieldHandler handler("text", out);
  nlohmann::json::sax_parse(line.begin(), line.end(), &handler);
  if (!handler.problem().empty()) return handler.problem();
  return handler.found() ? "" : "no field 'text'";
}

bool by_scanner(std::string_view line, std::string& out) { return detail::JsonFieldScanner(line, "text", out).scan(); }

/// Checks that the scanner accepts no line that the parser refuses, and finds the same text.
bool agree(std::string_view line) {
  std::string parsed, scanned;
  const std::string problem = by_parser(line, parsed);
  return !by_scanner(line, scanned) || (problem.empty() && parsed == scanned);
}

const std::vector<std::string> good{
    R"({"text":"a"})",
    "  {\t\"text\" : \"a b\" , \"n\":[1,-2.5,0,true,false,null,{},[],{\"text\":7,\"x\":[[\"\\n\"]]}] }\r\n",
    R"({"timestamp":"2019-04-25T12:57:54Z","url":"https://e.org/?a=1&b=\"2\"","text":"line\nline \u00e9\u65e5\ud83d\ude00"})",
    "{\"text\":\"\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80 \\u0000 \\\\ \\/ \\b\\f\\r\\t \\\" "
    "0123456789abcdef\",\"z\":-0}",
    R"({"text":""})",
    R"({"a":{"b":{"c":[{"d":"}"}]}},"text":"]}\"","e":12345678901234567890123})",
};

const std::vector<std::string> bad{
    "",
    " ",
    "{",
    "{}",
    "[]",
    "7",
    "null",
    "\"text\"",
    R"({"text"})",
    R"({"text":})",
    R"({"text":"a")",
    R"({"text":"a",})",
    R"({"text":"a"}})",
    R"({"text":"a"} x)",
    R"({"text":"a" "b":1})",
    R"({text:"a"})",
    R"({"text":"\x"})",
    R"({"text":"\u12g4"})",
    R"({"text":"\ud800"})",
    R"({"text":"\udc00\ud800"})",
    R"({"text":"\ud800A"})",
    "{\"text\":\"a\tb\"}",
    "{\"text\":\"a\x01\"}",
    "{\"text\":\"\xff\"}",
    "{\"text\":\"\xc0\x80\"}",
    "{\"text\":\"\xed\xa0\x80\"}",
    "{\"x\":\"\xe6\x97\",\"text\":\"a\"}",
    R"({"text":7})",
    R"({"text":null})",
    R"({"text":["a"]})",
    R"({"text":{"text":"a"}})",
    R"({"txt":"a"})",
    R"({"text":"a","text":"b"})",
    R"({"a":01,"text":"a"})",
    R"({"a":1.,"text":"a"})",
    R"({"a":.5,"text":"a"})",
    R"({"a":+1,"text":"a"})",
    R"({"a":-,"text":"a"})",
    R"({"a":1e999,"text":"a"})",
    R"({"a":tru,"text":"a"})",
    R"({"a":NaN,"text":"a"})",
    R"({"a":[1,],"text":"a"})",
    R"({"a":[1 2],"text":"a"})",
    R"({"a":{"b"},"text":"a"})",
    R"({"a":{"b":1,},"text":"a"})",
    R"({"a":[},"text":"a"})",
    R"({"a":{],"text":"a"})",
    R"({"text":"a"},)",
    R"({/**/"text":"a"})",
};

}  // namespace

TEST_CASE("the scanner takes ordinary lines and finds what the parser finds") {
  for (const std::string& line : good) {
    CAPTURE(line);
    std::string parsed, scanned;
    CHECK(by_parser(line, parsed).empty());
    CHECK(by_scanner(line, scanned));
    CHECK(parsed == scanned);
  }
}

TEST_CASE("broken lines are refused with the parser's reason") {
  for (const std::string& line : bad) {
    CAPTURE(line);
    std::string parsed, read;
    CHECK_FALSE(by_scanner(line, parsed));
    const std::string problem = by_parser(line, parsed);
    CHECK_FALSE(problem.empty());
    CHECK(read_json_field(line, "text", read) == problem);
  }
}

TEST_CASE("lines that the scanner leaves to the parser") {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  std::string text;
  for (const std::string& line : {R"({"a":1e5,"text":"yes"})" + std::string(), R"({"t\u0065xt":"yes"})" + std::string(),
                                  "{\"a\":" + deep + ",\"text\":\"yes\"}"}) {
    CAPTURE(line);
    CHECK_FALSE(by_scanner(line, text));
    CHECK(read_json_field(line, "text", text) == "");
    CHECK(text == "yes");
  }
}

TEST_CASE("changed lines: the scanner never takes what the parser refuses") {
  std::mt19937 random(5);
  const std::string_view marks = "{}[]:,\"\\u0123456789eE+-.tfn \t\x01\xe6\xff";
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  int taken = 0;
  for (int round = 0; round < 40000; ++round) {
    const std::vector<std::string>& lines = round % 4 == 0 ? bad : good;
    std::string line = lines[below(lines.size())];
    for (std::size_t changes = 1 + below(3); changes > 0 && !line.empty(); --changes) {
      const std::size_t at = below(line.size());
      const std::size_t kind = below(3);
      if (kind == 0) line[at] = marks[below(marks.size())];
      if (kind == 1) line.erase(at, 1 + below(3));
      if (kind == 2) line.insert(at, 1, marks[below(marks.size())]);
    }
    std::string text;
    taken += by_scanner(line, text);
    if (!agree(line)) FAIL_CHECK(line);
  }
  CHECK(taken > 1000);
}
