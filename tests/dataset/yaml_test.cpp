#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/data/metadata.hpp"
#include "moderngpt2/data/yaml.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

TEST_CASE("YAML that is read") {
  const auto read = [](const std::string& text) { return load_yaml(text, "f.yaml"); };
  CHECK(read("a: \"x\\\"y\"\nb: 'it''s'\nc: ''\nd: \"\"\n").size() == 4);
  CHECK(read("a: it's\nb: 5\" # \"c\n").size() == 2);
  CHECK(read("a: \"several\n  lines\"\nb: |\n  \"text\nc: !!str \"x\"\n")["b"].as<std::string>() == "\"text\n");
  CHECK(read("\xef\xbb\xbf"
             "ä: \"ö\"\n")["ä"]
            .as<std::string>() == "ö");
  CHECK(read("{\"json\": [1, 2], \"too\": null}").size() == 2);
  CHECK(read("").IsNull());
}

TEST_CASE("a quoted text without its closing quote is an error") {
  // yaml-cpp takes the rest of the file as its text.
  for (const char* text : {"a: 1\nb: \"bf16\nc: 2\n", "a: 1\nb: \"\nc: 2\n", "a: 1\nb: 'x\nc: 2\n", "a: 1\nb: \"",
                           "a: 1\nb: 'it''s\n", "a: 1\nb: \"x\\\"\n", "a: 1\n\"b: 2\n", "a: 1\nb: !!str \"x\n"})
    CHECK_ERROR(load_yaml(text, "f.yaml"), "f.yaml:2: a quoted text has no closing quote");
  CHECK_ERROR(load_yaml("a: 1\nb: \"x", "f.yaml"), "f.yaml:2");
  CHECK_ERROR(load_yaml("train: [\"a\neval: b\n", "f.yaml"), "f.yaml:");
}

TEST_CASE("YAML that yaml-cpp accepts and that is refused") {
  CHECK_ERROR(load_yaml("a: 1\nb: 2\na: 3\n", "f.yaml"), "f.yaml:3: \"a\" occurs twice");
  CHECK_ERROR(load_yaml("x: {a: 1, a: 2}\n", "f.yaml"), "f.yaml:1: \"a\" occurs twice");
  CHECK_ERROR(load_yaml("a: 1\n---\nb: 2\n", "f.yaml"), "a second document");
  CHECK_ERROR(load_yaml(std::string("a: \0b\n", 6), "f.yaml"), "f.yaml:1: a zero byte");
  CHECK_ERROR(load_yaml("\xff\xfe"
                        "a",
                        "f.yaml"),
              "not UTF-8");
  // A billion laughs: nine levels of ten aliases each.
  std::string laughs = "a: &a [x, x]\n";
  for (char name = 'b'; name < 'k'; ++name)
    laughs += fmt::format("{0}: &{0} [*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1}]\n", name, char(name - 1));
  CHECK_ERROR(load_yaml(laughs, "f.yaml"), "f.yaml:2: aliases (*name) are not supported");
  std::string blocks, keys;
  for (int i = 0; i < 3000; ++i) blocks += "- ", keys += "? ";
  for (const std::string& deep : {std::string(100'000, '['), std::string(100'000, '{'), blocks, keys})
    CHECK_ERROR(load_yaml(deep, "f.yaml"), "f.yaml:1: nested more than 100 levels deep");
  CHECK_ERROR(load_yaml("a: [1, ]]", "f.yaml"), "f.yaml:1: not valid YAML");
}

TEST_CASE("metadata.yaml is read with these checks, and its names are printable in messages") {
  const test::TemporaryFolder folder;
  write_file(folder / "m.yaml", "train: [a.parquet]\nblock_size: \"4\nvocab_size: 7\n");
  CHECK_ERROR(read_metadata(folder / "m.yaml"), "m.yaml:2: a quoted text has no closing quote");
  write_file(folder / "m.yaml", "train: [a.parquet]\n\"\\e[2J\": 1\n\"\\e[2J\": 2\n");
  CHECK_ERROR(read_metadata(folder / "m.yaml"), "m.yaml:3: \"\\x1b[2J\" occurs twice");
}
