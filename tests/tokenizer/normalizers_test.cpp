#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/normalizers.hpp"

using namespace moderngpt2;

namespace {

std::string normalize(const Json& json, std::string_view text) {
  const detail::Normalizers normalizers{detail::Component(json, "tokenizer.json: normalizer")};
  std::string storage;
  return std::string(normalizers(text, storage));
}

std::string error_of(const Json& json) {
  try {
    const detail::Normalizers normalizers{detail::Component(json, "tokenizer.json: normalizer")};
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

void append_unit(std::string& bytes, std::uint32_t unit) {
  for (const int shift : {0, 8, 16, 24}) bytes += static_cast<char>(unit >> shift & 0xFF);
}

/// Map of the one character "a" to "bc": root at offset 0, so "a" is node 0x61, and its value at node 0x61 ^ 0x61 ^ 1.
std::string small_map() {
  std::vector<std::uint32_t> units(256, 0);
  units['a'] = 'a' | 0x100 | ('a' ^ 1u) << 10;
  units[1] = 0x80000000;
  std::string bytes;
  append_unit(bytes, 1024);
  for (const std::uint32_t unit : units) append_unit(bytes, unit);
  return bytes + std::string("bc\0", 3);
}

}  // namespace

// Expected values: Hugging Face tokenizers 0.23.3.
TEST_CASE("normalizers give the texts of tokenizers") {
  const Json data =
      read_json_file(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "normalizers" / "normalizers.json");
  for (const Json& item : data.at("cases")) {
    const std::string name = item.at("normalizer").dump();
    CAPTURE(name);
    for (std::size_t i = 0; i < data.at("texts").size(); ++i) {
      CAPTURE(i);
      CHECK(normalize(item.at("normalizer"), data.at("texts")[i].get<std::string>()) ==
            item.at("normal")[i].get<std::string>());
    }
  }
}

TEST_CASE("a text that does not change is returned itself") {
  const std::string text = "plain \xC3\xA9 \xE4\xB8\xAD \xED\x95\x9C text";
  std::string storage;
  for (const char* type : {"NFC", "NFKC", "Lowercase", "StripAccents", "Nmt"}) {
    const Json json = {{"type", type}};
    const detail::Normalizers normalizers{detail::Component(json, "")};
    CHECK(normalizers(text, storage).data() == text.data());
  }
  CHECK(detail::Normalizers().empty());
  CHECK(detail::Normalizers(std::nullopt).empty());
}

TEST_CASE("a precompiled map replaces the shortest prefix") {
  const detail::PrecompiledNormalizer normalizer(small_map(), "");
  std::string storage;
  CHECK(normalizer("xaya", storage) == "xbcybc");
  CHECK(normalizer("a\xCC\x81", storage) == "bc");  // a cluster of less than 6 bytes is replaced as a whole
  CHECK(normalizer("a\xCC\x81\xCC\x81\xCC\x81", storage) == "bc\xCC\x81\xCC\x81\xCC\x81");
  CHECK(normalizer("xyz", storage) == "xyz");
}

TEST_CASE("damaged maps are refused or match nothing") {
  std::string storage;
  for (const std::string& bytes : {std::string(), std::string("\0\0\0\0", 4), std::string("\xFF\xFF\xFF\xFF", 4)})
    CHECK_THROWS_AS(detail::PrecompiledNormalizer(bytes, "x"), Error);
  CHECK_THROWS_AS(detail::PrecompiledNormalizer(small_map() + "\xFF", "x"), Error);
  std::string far = small_map();
  far[4 + 4 + 2] = '\x7F';  // value outside of the replacements
  CHECK(detail::PrecompiledNormalizer(far, "x")("a", storage) == "a");
  const auto bad = [](const char* map) { return error_of({{"type", "Precompiled"}, {"precompiled_charsmap", map}}); };
  CHECK(bad("A").find("not base64") != std::string::npos);
  CHECK(bad("A*==").find("not base64") != std::string::npos);
  CHECK(bad("").find("less than 4 bytes") != std::string::npos);
}

TEST_CASE("unknown normalizers and fields are refused with their place") {
  CHECK(error_of({{"type", "Nope"}}).find("NFKC") != std::string::npos);
  CHECK(error_of({{"type", "NFC"}, {"extra", 1}}).find("extra") != std::string::npos);
  CHECK(error_of({{"type", "Replace"}, {"pattern", {{"Glob", "*"}}}, {"content", ""}}).find("Glob") !=
        std::string::npos);
  CHECK(error_of({{"type", "Replace"}, {"pattern", Json::object()}, {"content", ""}}).find("one of the fields") !=
        std::string::npos);
  CHECK(error_of({{"type", "Strip"}, {"strip_left", true}}).find("strip_right") != std::string::npos);
}

TEST_CASE("time is linear in long texts") {
  std::string marks = "a", storage;
  for (int i = 0; i < 500000; ++i) marks += i % 2 ? "\xCC\x81" : "\xCC\xA7";  // classes 230 and 202 alternately
  for (const char* type : {"NFC", "NFD", "NFKC", "NFKD", "StripAccents"})
    CHECK(!normalize({{"type", type}}, marks).empty());
}

TEST_CASE("normalizers that lengthen a text without bound are an error") {
  const Json twice = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aa"}};
  const Json longer = {{"type", "Replace"}, {"pattern", {{"String", ""}}}, {"content", std::string(1 << 20, 'x')}};
  for (const Json& steps : {Json(40, twice), Json::array({longer})}) {
    const std::string text(1000, 'a');
    CHECK_THROWS_AS(normalize({{"type", "Sequence"}, {"normalizers", steps}}, text), Error);
  }
  CHECK(normalize(twice, "aab") == "aaaab");
}
