#include <chrono>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/json.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {
Json parse_text(const std::string& text) { return parse_json(text, "f.json"); }
}  // namespace

TEST_CASE("values of every kind, in the order of the file") {
  const std::string text = R"({"z":[1,-2,2.5,true,false,null,"\u00e4\ud83d\ude00\u0000"],"a":{"b":{}},"c":[[]]})";
  const Json json = parse_text(" \n\t" + text + "\r\n ");
  CHECK(json.begin().key() == "z");
  CHECK(json["z"][6].get<std::string>() == std::string("\xc3\xa4\xf0\x9f\x98\x80\0", 7));
  CHECK(parse_text(json.dump()) == json);
  CHECK(parse_text("7") == 7);
  CHECK(parse_text("\"x\"") == "x");
  CHECK(parse_text("[1e308]")[0].get<double>() == 1e308);
}

TEST_CASE("an error names the file and the place") {
  CHECK_ERROR(parse_text("{\"a\": 1,\n \"b\" 2}"), "f.json: line 2, column ");
  CHECK_ERROR(parse_text("{\"a\": 1,\n \"a\": 2}"), "f.json: line 2, column 4:", "\"a\" occurs twice");
}

TEST_CASE("what strict JSON is not") {
  for (const char* text :
       {"",      " ",          "{",           "[",       "[1",        "[1,]",   "{\"a\":1,}", "{'a':1}",
        "{a:1}", "[01]",       "[+1]",        "[.5]",    "[1.]",      "[1e]",   "[0x10]",     "[NaN]",
        "[nan]", "[Infinity]", "[-Infinity]", "// c\n1", "/* c */ 1", "# c\n1", "1 2",        "{} {}",
        "[1]]",  "\"\\x41\"",  "\"\n\"",      "\"a",     "tru",       "True",   "\"\\u12\"",  "\"\t\""})
    CHECK_ERROR(parse_text(text), "f.json: line ");
}

TEST_CASE("duplicate keys at any level") {
  CHECK_ERROR(parse_text(R"([{"x":{"k":1,"j":2,"k":1}}])"), "\"k\" occurs twice");
  CHECK_ERROR(parse_text(R"({"k":1,"\u006b":2})"), "\"k\" occurs twice");
  CHECK(parse_text(R"([{"k":1},{"k":{"k":2}}])").size() == 2);
}

TEST_CASE("numbers beyond a double, and numbers without an end") {
  CHECK_ERROR(parse_text("[1e400]"), "too large");
  CHECK_ERROR(parse_text("[-1e400]"), "too large");
  CHECK_ERROR(parse_text("[" + std::string(10'000'000, '9') + "]"), "f.json: line 1");
  CHECK_ERROR(parse_text("[0." + std::string(10'000'000, '1') + "]"), "10000002 characters");
  CHECK_ERROR(parse_text("[1e" + std::string(10'000, '1') + "]"), "f.json: line 1");
}

TEST_CASE("byte-order mark, zero bytes, bad UTF-8, lone surrogates") {
  CHECK_ERROR(parse_text("\xef\xbb\xbf{}"), "byte-order mark");
  CHECK_ERROR(parse_text(std::string("{}\0", 3)), "column 3: a zero byte");
  CHECK_ERROR(parse_text(std::string("\"a\0b\"", 5)), "a zero byte");
  for (const char* text :
       {"\"\xff\"", "\"\xc0\xaf\"", "\"\xe2\x82\"", "\"\xed\xa0\x80\"", "\"\xf5\x80\x80\x80\"", "\"\x80\""})
    CHECK_ERROR(parse_text(text), "UTF-8");
  for (const char* text : {"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"\\ud800x\""})
    CHECK_ERROR(parse_text(text), "surrogate");
}

TEST_CASE("a million levels are refused without a deep stack") {
  CHECK_ERROR(parse_text(std::string(1'000'000, '[')), "more than 100 levels", "column 101");
  std::string objects;
  for (int i = 0; i < 1'000'000; ++i) objects += "{\"a\":";
  CHECK_ERROR(parse_text(objects), "more than 100 levels");
  CHECK(parse_text(std::string(100, '[') + std::string(100, ']')).size() == 1);
}

TEST_CASE("too many values for the memory they would take") {
  std::string text = "[";
  for (int i = 0; i < 10'000'000; ++i) text += "0,";
  CHECK_ERROR(parse_text(text + "0]"), "more than 10000000 values");
}

TEST_CASE("large objects take linear time") {
  std::string text = "{";
  for (int i = 0; i < 200'000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":0";
  const auto start = std::chrono::steady_clock::now();
  CHECK(parse_text(text + "}").size() == 200'000);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("typed fields say what was found") {
  const Json json =
      parse_text(R"({"i":7,"big":5000000000,"huge":1e20,"half":1.5,"whole":2.0,"s":"7","b":true,"n":null,"l":[1],
                              "neg":-3})");
  CHECK(get_field<int>(json, "i", "f") == 7);
  CHECK(get_field<double>(json, "i", "f") == 7.0);
  CHECK(get_field<std::int64_t>(json, "big", "f") == 5000000000);
  CHECK(get_field<bool>(json, "b", "f"));
  CHECK(get_field<std::string>(json, "s", "f") == "7");
  CHECK(get_optional_field<int>(json, "n", "f") == std::nullopt);
  CHECK(get_optional_field<int>(json, "absent", "f") == std::nullopt);
  CHECK(get_field_or<int>(json, "absent", 3, "f") == 3);
  CHECK(get_field_or<int>(json, "neg", 3, "f") == -3);
  CHECK_ERROR(get_field<int>(json, "s", "f"), "f: s must be an integer, found \"7\"");
  CHECK_ERROR(get_field<int>(json, "half", "f"), "half must be an integer, found 1.5");
  CHECK_ERROR(get_field<int>(json, "whole", "f"), "found 2.0");
  CHECK_ERROR(get_field<int>(json, "huge", "f"), "found 1e+20");
  CHECK_ERROR(get_field<int>(json, "b", "f"), "found true");
  CHECK_ERROR(get_field<int>(json, "n", "f"), "found null");
  CHECK_ERROR(get_field_or<int>(json, "n", 1, "f"), "found null");
  CHECK_ERROR(get_field<int>(json, "l", "f"), "found a list");
  CHECK_ERROR(get_field<int>(json, "absent", "f"), "f: absent is missing");
  CHECK_ERROR(get_field<int>(json, "big", "f"), "big is 5000000000, which is out of range");
  CHECK_ERROR(get_field<unsigned>(json, "neg", "f"), "out of range");
  CHECK_ERROR(get_field<bool>(json, "i", "f"), "must be true or false");
  CHECK_ERROR(get_field<double>(json, "s", "f"), "must be a number");
  CHECK_ERROR(get_field<std::string>(json, "i", "f"), "must be a string");
  CHECK_ERROR(get_field<int>(parse_text("[1]"), "i", "f"), "an object is needed, found a list");
}

TEST_CASE("a JSON file is written with two spaces and a final newline") {
  TemporaryFolder t;
  const Json json = parse_text(R"({"b":[1],"a":1e-06})");
  write_json_file(t / "x.json", json);
  CHECK(read_file(t / "x.json") == "{\n  \"b\": [\n    1\n  ],\n  \"a\": 1e-06\n}\n");
  CHECK(read_json_file(t / "x.json") == json);
  CHECK_ERROR(write_json_file(t / "y.json", Json("\xff")), "y.json", "UTF-8");
  CHECK_ERROR(read_json_file(t / "y.json"), "y.json");
  CHECK_ERROR(read_json_file(t / "x.json", 10), "x.json", "the limit is 10");
}
