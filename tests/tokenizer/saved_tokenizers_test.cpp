#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

using namespace moderngpt2;

// Each folder of tests/data/tokenizer/saved was written by save_pretrained of Transformers 4.46 or 5.24, for a BPE
// tokenizer of 309 tokens: after a call with truncation and padding, with added tokens, with another eos token, and as
// Gemma's class. cases.json has what AutoTokenizer of the same version makes of the folder.
TEST_CASE("tokenizers saved by Transformers 4.46 and 5.24 give AutoTokenizer's ids") {
  int folders = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(MODERNGPT2_TEST_DATA) / "tokenizer" / "saved")) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    ++folders;
    const Tokenizer tokenizer = Tokenizer::load(entry.path());
    const Json expected = read_json_file(entry.path() / "cases.json");
    const auto id = [&](const char* role) {
      return expected[role].is_null() ? std::nullopt : std::optional(expected[role].get<int>());
    };
    CHECK(tokenizer.eos_id() == id("eos"));
    CHECK(tokenizer.pad_id() == id("pad"));
    CHECK(tokenizer.unk_id() == id("unk"));
    CHECK(tokenizer.vocab_size() == expected["size"].get<int>());
    CHECK(tokenizer.prefix_ids() == expected["prefix"].get<std::vector<int>>());
    for (const Json& one : expected["cases"]) {
      const auto text = one["text"].get<std::string>();
      CAPTURE(text);
      const std::vector<int> ids = tokenizer.encode(text);
      CHECK(ids == one["ids"].get<std::vector<int>>());
      CHECK(tokenizer.decode(ids, true) == one["decoded"].get<std::string>());
    }
  }
  CHECK(folders == 10);
}
