#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/io/gguf/writer.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"
#include "moderngpt2/tokenizer/chat_template.hpp"
#include "moderngpt2/tokenizer/gguf_export.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/temporary_folder.hpp"

namespace gguf_tokenizer_test {

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;
namespace fs = std::filesystem;

const fs::path data = MODERNGPT2_TEST_DATA;

const std::vector<std::string> texts{"",
                                     " ",
                                     "  a\tb \r\n\n",
                                     "Hello, world! It's 12345 o'clock.",
                                     "The the THE 'S they'LL",
                                     "caf\xC3\xA9 \xE4\xBD\xA0\xE5\xA5\xBD \xF0\x9F\x98\x80\xEF\xB8\x8F",
                                     "<0x41> </s> <s>[INST] <unk> <pad> <|endoftext|>x",
                                     "def f(x):\n    return x ** 2  # \xE2\x96\x81"};

void write_vocabulary(const fs::path& tokenizer, const fs::path& path, int more = 0) {
  const Tokenizer loaded = Tokenizer::load(tokenizer);
  Config config;
  config.vocab_size = loaded.vocab_size() + more;
  config.bos_token_id = loaded.bos_id();
  config.eos_token_id = loaded.eos_id();
  write_gguf_file(path, gguf_tokenizer(tokenizer, config), {});
}

TEST_CASE("tokenizers written to a GGUF file and read back give the same ids") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.gguf";
  for (const char* name : {"generation/gemma2", "tokenizers/gpt2", "tokenizers/llama3", "tokenizers/smollm_digits"}) {
    CAPTURE(name);
    const Tokenizer before = Tokenizer::load(data / name);
    write_vocabulary(data / name, path, 7);
    const Tokenizer after = Tokenizer::load(path);
    CHECK(after.vocab_size() == before.vocab_size() + 7);
    if (before.bos_id()) CHECK(after.bos_id() == before.bos_id());  // Llama 3 adds a token that no file calls bos
    CHECK(after.eos_id() == before.eos_id());
    CHECK(after.prefix_ids() == before.prefix_ids());
    for (const std::string& text : texts) {
      const std::vector<int> ids = before.encode(text);
      CHECK_MESSAGE(after.encode(text) == ids, name, ": ", text);
      CHECK(after.decode(ids) == before.decode(ids));
    }
    // The files for a model folder give the same tokenizer.
    TokenizerFiles::read(path).write(folder.path());
    const Tokenizer copied = Tokenizer::load(folder.path());
    CHECK(TokenizerFiles::read(path).fingerprint() == after.fingerprint());
    CHECK(copied.fingerprint() == after.fingerprint());
    CHECK(copied.eos_id() == after.eos_id());
    CHECK(copied.encode(texts[3]) == before.encode(texts[3]));
  }
}

TEST_CASE("the vocabulary of llama.cpp's converter") {
  const fs::path path = data / "gguf" / "foreign.gguf";
  CHECK(TokenizerFiles::is_in(path));
  const Tokenizer tokenizer = Tokenizer::load(path);
  CHECK(tokenizer.vocab_size() == 280);
  CHECK(tokenizer.bos_id() == 2);
  CHECK(tokenizer.eos_id() == 1);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.unk_id() == 3);
  CHECK(tokenizer.prefix_ids() == std::vector<int>{2});
  CHECK(tokenizer.encode("abc") == std::vector<int>{267});
  CHECK(tokenizer.encode(" abc") == std::vector<int>{268});  // no space is set before a text
  CHECK(tokenizer.encode("ab  c") == std::vector<int>{264, 269, 263});
  CHECK(tokenizer.encode("d") == std::vector<int>{4 + 'd'});
  CHECK(tokenizer.encode("a<end_of_turn>") == std::vector<int>{261, 270});
  CHECK(tokenizer.decode(std::vector<int>{268, 269, 4 + 'd'}) == " abc  d");
  CHECK(has_chat_template(path));
  const auto chat = read_chat_template(path);
  REQUIRE(chat.has_value());
  CHECK(chat->tokens["bos_token"] == "<bos>");
}

TEST_CASE("what llama.cpp's tokenizers lack is refused by name") {
  const TemporaryFolder folder;
  const auto refused = [&](const char* name, const char* part) {
    CHECK_ERROR(write_vocabulary(data / "tokenizers" / name, folder / "x.gguf"), name, part);
  };
  refused("qwen", "NFC");
  refused("roberta_prefix_space", "add_prefix_space");
  refused("t5_xlmr", "no BPE");
  refused("clip_end_of_word", "end_of_word_suffix");
  refused("o200k_removed_invert", "normalizer");
  refused("llama2_metaspace_first", "Metaspace");
  refused("only_truncation_padding", "not among the merges");
  const auto changed = [&](const char* name, const std::function<void(Json&)>& change, auto... parts) {
    Json json = read_json_file(data / name / "tokenizer.json");
    change(json);
    write_json_file(folder / "tokenizer.json", json);
    CHECK_ERROR(write_vocabulary(folder.path(), folder / "x.gguf"), parts...);
  };
  changed(
      "tokenizers/llama3", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "x+"; }, "x+",
      "no pre-tokenizer of llama.cpp");
  changed(
      "tokenizers/qwen", [](Json& j) { j["normalizer"] = nullptr, j["model"]["ignore_merges"] = true; },
      "ignore_merges");
  changed(
      "generation/gemma2", [](Json& j) { j["model"]["merges"].erase(j["model"]["merges"].size() - 1); },
      "not among the merges");
  changed(
      "generation/gemma2", [](Json& j) { j["model"]["byte_fallback"] = false; }, "byte_fallback");
  changed(
      "generation/gemma2", [](Json& j) { j["added_tokens"][0]["rstrip"] = true; }, "rstrip");
  CHECK(!fs::exists(folder / "x.gguf"));
}

TEST_CASE("tokenizers of GGUF files that are not read are named") {
  const TemporaryFolder folder;
  const fs::path path = folder / "x.gguf";
  const auto refused = [&](const std::function<void(GgufMetadata&)>& add, auto... parts) {
    GgufMetadata keys;
    add(keys);
    write_gguf_file(path, keys, {});
    CHECK_ERROR(Tokenizer::load(path), "x.gguf", parts...);
  };
  const auto text = [](GgufMetadata& keys, const char* key, const char* value) {
    keys.add(std::string("tokenizer.ggml.") + key, GgufValue::text(value));
  };
  const auto tokens = [](GgufMetadata& keys, std::vector<std::string> list) {
    keys.add("tokenizer.ggml.tokens", GgufValue::texts(std::move(list)));
  };
  refused([](GgufMetadata&) {}, "no tokenizer");
  CHECK(!TokenizerFiles::is_in(path));
  refused([&](GgufMetadata& keys) { text(keys, "model", "bert"); }, "bert", "is not read");
  refused([&](GgufMetadata& keys) { text(keys, "model", "llama"); }, "tokenizer.ggml.tokens is missing");
  refused([&](GgufMetadata& keys) { text(keys, "model", "gpt2"), tokens(keys, {"a"}); }, "tokenizer.ggml.pre",
          "default");
  refused([&](GgufMetadata& keys) { text(keys, "model", "llama"), tokens(keys, {"a", "b"}); }, "type unknown");
  refused([&](GgufMetadata& keys) { text(keys, "model", "llama"), tokens(keys, {"a\xff"}); }, "not UTF-8");
  refused(
      [&](GgufMetadata& keys) {
        text(keys, "model", "gpt2"), text(keys, "pre", "gpt-2"), tokens(keys, {"a", "b", "a"});
        keys.add("tokenizer.ggml.merges", GgufValue::texts({"a b"}));
      },
      "two tokens are");
  refused(
      [&](GgufMetadata& keys) {
        text(keys, "model", "gpt2"), text(keys, "pre", "gpt-2"), tokens(keys, {"a", "b"});
        keys.add("tokenizer.ggml.merges", GgufValue::texts({"ab"}));
      },
      "merge", "ab");
}

}  // namespace gguf_tokenizer_test
