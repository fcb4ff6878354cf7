#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/regex.hpp"

using namespace moderngpt2;

namespace {

/// Text with each match replaced by U+E000.
std::string marked(const detail::Regex& regex, std::string_view text) {
  std::string result;
  std::size_t copied = 0;
  regex.for_each_match(text, [&](std::size_t begin, std::size_t end) {
    result.append(text.substr(copied, begin - copied)).append("\xEE\x80\x80");
    copied = end;
  });
  return result.append(text.substr(copied));
}

std::string error_of(std::string_view pattern, std::string_view text) {
  try {
    (void)marked(detail::Regex(pattern, "tokenizer.json: normalizer"), text);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

// Expected values: Replace(Regex(pattern), U+E000) of Hugging Face tokenizers 0.23.3.
TEST_CASE("regular expressions match as in tokenizers") {
  const Json data =
      read_json_file(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "normalizers" / "regex.json");
  for (const Json& item : data.at("cases")) {
    const auto pattern = item.at("pattern").get<std::string>();
    CAPTURE(pattern);
    const detail::Regex regex(pattern, "tokenizer.json");
    for (std::size_t i = 0; i < data.at("texts").size(); ++i) {
      CAPTURE(i);
      CHECK(marked(regex, data.at("texts")[i].get<std::string>()) == item.at("marked")[i].get<std::string>());
    }
  }
}

TEST_CASE("characters of Unicode 15 and 16 match even if PCRE2 has an older version") {
  CHECK(marked(detail::Regex("\\p{L}", ""), "\xF0\x90\xB5\x80") == "\xF0\x90\xB5\x80");  // U+10D40 is a digit
  CHECK(marked(detail::Regex("\\p{Nd}", ""), "\xF0\x90\xB5\x80") == "\xEE\x80\x80");
}

TEST_CASE("syntax without a translation is refused by name") {
  for (const char* pattern : {"(",      ")",        "[a",     "a{2",        "\\p{Nope}", "\\p",     "\\Xa",  "\\Ga",
                              "\\Ka",   "(?P<n>a)", "(?{1})", "(?~a)",      "\\1",       "*a",      "[z-a]", "(?<n",
                              "\\g<1>", "(?i:ss)",  "\\",     "[[:nope:]]", "(?<=a+)b",  "a{99999}"}) {
    CAPTURE(pattern);
    const std::string message = error_of(pattern, "text");
    if (std::string_view(pattern) == "a{2") {
      CHECK(message.empty());
      continue;
    }
    CHECK(message.find("tokenizer.json: normalizer: the regular expression") == 0);
    CHECK(message.find('\n') == std::string::npos);
  }
  CHECK(error_of(std::string(500, '('), "").find("100 deep") != std::string::npos);
  CHECK(error_of(std::string(40000, 'a'), "").find("the limit is 32768") != std::string::npos);
}

TEST_CASE("patterns that backtrack end with one clear error") {
  for (const char* pattern : {"(a+)+$", "(?:(?:a|b)|c)*?d", "(a|aa)+$", "(?:a*)*b"}) {
    CAPTURE(pattern);
    const auto start = std::chrono::steady_clock::now();
    const std::string message = error_of(pattern, std::string(100000, 'a') + "x");
    CHECK((message.empty() || message.find("because the pattern backtracks") != std::string::npos));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(100));
  }
  const std::string spaces = std::string(1 << 20, ' ') + "x";
  CHECK(error_of("\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", spaces).empty());
}

TEST_CASE("a regular expression is shared by threads") {
  const detail::Regex regex("\\p{L}+|\\p{N}+", "tokenizer.json");
  const std::string text = "one 2 three 44";
  std::vector<std::string> results(4);
  std::vector<std::thread> threads;
  for (std::string& result : results) threads.emplace_back([&] { result = marked(regex, text); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& result : results) CHECK(result == marked(regex, text));
}
