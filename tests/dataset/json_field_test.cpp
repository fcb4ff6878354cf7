#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "moderngpt2/data/json_field.hpp"

using namespace moderngpt2;

namespace {

/// SAX handler that extracts one string from a JSON object. Validates the rest of the object.
class ReferenceHandler {
 public:
  ReferenceHandler(std::string_view field, std::string& out) : field_(field), out_(out) {}

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(std::int64_t) { return other(); }
  bool number_unsigned(std::uint64_t) { return other(); }
  bool number_float(double, const std::string&) { return other(); }
  bool binary(nlohmann::json::binary_t&) { return other(); }
  bool string(std::string& value) {
    if (!wanted_) return other();
    wanted_ = false;
    found_ = true;
    out_.swap(value);
    return true;
  }
  bool key(std::string& name) {
    wanted_ = depth_ == 1 && name == field_;
    if (wanted_ && found_) return fail("the field '" + std::string(field_) + "' occurs twice");
    return true;
  }
  bool start_object(std::size_t) { return wanted_ ? other() : (++depth_, true); }
  bool end_object() { return --depth_, true; }
  bool start_array(std::size_t) { return depth_ == 0 || wanted_ ? other() : (++depth_, true); }
  bool end_array() { return --depth_, true; }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) {
    return fail(fmt::format("broken JSON at byte {} of the line", position));
  }

  bool found() const { return found_; }
  const std::string& problem() const { return problem_; }

 private:
  bool other() {
    if (depth_ == 0) return fail("not a JSON object");
    if (wanted_) return fail("the field '" + std::string(field_) + "' is not a string");
    return true;
  }
  bool fail(std::string why) {
    problem_ = std::move(why);
    return false;
  }

  std::string_view field_;
  std::string& out_;
  std::int64_t depth_ = 0;
  bool wanted_ = false, found_ = false;
  std::string problem_;
};

/// Result of the general parser for a line: the text, or the error.
std::string by_parser(std::string_view line, std::string& out) {
  ReferenceHandler handler("text", out);
  nlohmann::json::sax_parse(line.begin(), line.end(), &handler);
  if (!handler.problem().empty()) return handler.problem();
  return handler.found() ? "" : "no field 'text'";
}

/// Checks that the scanner accepts the lines that the parser accepts, and finds the same text. It also accepts NaN,
/// numbers beyond a double and lone surrogates; the parser also accepts a byte-order mark and text behind a zero byte.
bool agree(std::string_view line) {
  std::string parsed, scanned;
  const bool by_reference = by_parser(line, parsed).empty(), found = read_json_field(line, "text", scanned).empty();
  if (found && by_reference) return parsed == scanned;
  if (by_reference) return line.find('\0') != line.npos || line.starts_with("\xEF");
  const auto has = [&](const char* part) { return line.find(part) != line.npos; };
  return !found || has("NaN") || has("Inf") || has("\\ud") || has("\\uD") || has("e") || has("E");
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
    R"({"a":tru,"text":"a"})",
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

TEST_CASE("the scanner finds what the parser finds") {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  std::vector<std::string> lines = good;
  lines.insert(lines.end(),
               {R"({"a":1e5,"text":"yes"})", R"({"t\u0065xt":"yes"})", "{\"a\":" + deep + ",\"text\":\"yes\"}"});
  for (const std::string& line : lines) {
    CAPTURE(line);
    std::string parsed, scanned;
    CHECK(by_parser(line, parsed).empty());
    CHECK(read_json_field(line, "text", scanned) == "");
    CHECK(parsed == scanned);
  }
}

TEST_CASE("broken lines are refused") {
  for (const std::string& line : bad) {
    CAPTURE(line);
    std::string parsed, read;
    CHECK_FALSE(by_parser(line, parsed).empty());
    CHECK_FALSE(read_json_field(line, "text", read).empty());
    CHECK(read.empty());
  }
  std::string text;
  CHECK(read_json_field(R"({"text":7})", "text", text) == "the field 'text' is not a string");
  CHECK(read_json_field(R"({"text":"a","text":"b"})", "text", text) == "the field 'text' occurs twice");
  CHECK(read_json_field(R"({"a":01,"text":"a"})", "text", text) == "broken JSON at byte 6 of the line");
  CHECK(read_json_field(std::string(1'000'000, '['), "text", text) == "broken JSON at byte 501 of the line");
  CHECK_FALSE(read_json_field(std::string_view("{\"text\":\"a\"}\0x", 14), "text", text).empty());
  CHECK_FALSE(read_json_field("\xEF\xBB\xBF{\"text\":\"a\"}", "text", text).empty());
}

TEST_CASE("what Python's json module reads beyond RFC 8259") {
  for (const char* line :
       {R"({"a":NaN,"text":"a"})", R"({"a":[-Infinity,Infinity],"text":"a"})", R"({"a":1e999,"text":"a"})"}) {
    std::string text;
    CHECK(read_json_field(line, "text", text) == "");
    CHECK(text == "a");
  }
  std::string text;
  CHECK(read_json_field(R"({"text":"\udc00\ud800A\ud83d\ude00"})", "text", text) == "");
  CHECK(text ==
        "\xEF\xBF\xBD\xEF\xBF\xBD"
        "A\xF0\x9F\x98\x80");
}

TEST_CASE("text in parts gives the result of the whole") {
  for (const std::vector<std::string>* lines : {&good, &bad})
    for (const std::string& line : *lines) {
      detail::JsonScanner whole("text"), parts("text");
      whole.begin(), parts.begin();
      const auto expected = whole.scan(line);
      auto state = detail::JsonScanner::State::more;
      for (std::size_t size = 0; size <= line.size() && state == detail::JsonScanner::State::more; ++size)
        state = parts.scan(std::string_view(line).substr(0, size));
      CAPTURE(line);
      CHECK(state == expected);
      CHECK(parts.position() == whole.position());
      if (state == detail::JsonScanner::State::complete) CHECK(parts.problem() == whole.problem());
    }
}

TEST_CASE("changed lines: the scanner agrees with the parser") {
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
    taken += read_json_field(line, "text", text).empty();
    if (!agree(line)) FAIL_CHECK(line);
  }
  CHECK(taken > 1000);
}
