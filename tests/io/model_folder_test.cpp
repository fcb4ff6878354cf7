#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/model_folder.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

Config saved_config() {
  Config c;
  c.n_layer = 1, c.n_embd = 16, c.n_head = 2, c.n_kv_head = 1, c.head_dim = 8, c.n_inner = 32;
  c.vocab_size = 400, c.n_positions = 16, c.eos_token_id = 2, c.num_labels = 3;
  return c;
}

/// Text that is equal for equal configs.
std::string config_text(const Config& config) {
  ConfigFile file;
  file.config = config;
  return config_to_json(file).dump();
}

template <class E>
bool same_elements(const E& a, const E& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), std::size_t(a.size()) * sizeof(*a.data())) == 0;
}

}  // namespace

TEST_CASE("a saved model is loaded with its config, weights and tokenizer") {
  const test::TemporaryFolder temporary;
  test::write_letter_tokenizer(temporary / "tokenizer");
  const Tokenizer tokenizer = Tokenizer::load(temporary / "tokenizer");
  CHECK(tokenizer.path() == temporary / "tokenizer");
  CausalLM<any_shape> model(saved_config());
  model.initialize(1);
  const fs::path folder = temporary / "with" / "parents";
  const auto files = save_model(folder, model, tokenizer);
  CHECK(files.size() == 5);
  CHECK(files[0].name == "model.safetensors");
  const auto loaded = load_model<CausalLM<any_shape>>(folder);
  CHECK(config_text(loaded.config()) == config_text(model.config()));
  CHECK(same_elements(loaded.weights().matrices, model.weights().matrices));
  CHECK(same_elements(loaded.weights().vectors, model.weights().vectors));
  const Tokenizer again = Tokenizer::load(folder);
  CHECK(again.fingerprint() == tokenizer.fingerprint());
  CHECK(again.eos_id() == tokenizer.eos_id());
  CHECK(again.encode("abc") == tokenizer.encode("abc"));
  CHECK(read_generation_config(folder).eos_token_ids == std::vector<int>{2});
  save_model(folder, loaded, again);  // over itself
  CHECK(Tokenizer::load(folder).fingerprint() == tokenizer.fingerprint());
}

TEST_CASE("models of every type, precision and without a tokenizer") {
  const test::TemporaryFolder temporary;
  const auto check = [&]<class M>(const char* name, const char* architecture, const char* dtype, M model) {
    CAPTURE(name);
    model.initialize(2);
    save_model(temporary / name, model);
    CHECK_FALSE(fs::exists(temporary / name / "tokenizer.json"));
    const ConfigFile config = read_config(temporary / name);
    CHECK(config.architecture == architecture);
    CHECK(config.json.at("torch_dtype") == dtype);
    CHECK(config_text(config.config) == config_text(model.config()));
    CHECK(same_elements(load_model<M>(temporary / name).weights().matrices, model.weights().matrices));
  };
  check("language", "ModernGPT2LMHeadModel", "float32", CausalLM<any_shape>(saved_config()));
  check("classifier", "ModernGPT2ForSequenceClassification", "float32", SequenceClassifier<any_shape>(saved_config()));
  check("bf16", "ModernGPT2LMHeadModel", "bfloat16", CausalLM<any_shape, cpu::Backend, Bf16>(saved_config()));
}

TEST_CASE("further fields of companions are kept, but the config is the model's own") {
  const test::TemporaryFolder temporary;
  const CausalLM<any_shape> model(saved_config());
  ModelCompanions companions;
  companions.config.config.n_embd = 999;
  companions.config.json["my_note"] = "kept";
  companions.config.eos_token_ids = {2, 7};
  save_model(temporary / "model", model, companions);
  const ConfigFile config = read_config(temporary / "model");
  CHECK(config_text(config.config) == config_text(model.config()));
  CHECK(config.json.at("my_note") == "kept");
  CHECK(config.eos_token_ids == std::vector<int>{2, 7});
}

TEST_CASE("a tokenizer that cannot be saved with the model is refused before anything is written") {
  const test::TemporaryFolder temporary;
  const CausalLM<any_shape> model(saved_config());
  const fs::path folder = temporary / "model", from = temporary / "tokenizer";
  test::write_letter_tokenizer(from);
  const Tokenizer tokenizer = Tokenizer::load(from);
  CHECK_ERROR(save_model(folder, model, Tokenizer::parse(read_file(from / "tokenizer.json"), "memory")),
              "was not loaded from a file");
  Config small = saved_config();
  small.vocab_size = 100;
  CHECK_ERROR(save_model(folder, CausalLM<any_shape>(small), tokenizer), "more than the model's vocab_size 100");
  write_file(from / "tokenizer.json", read_file(from / "tokenizer.json") + "\n");
  CHECK_ERROR(save_model(folder, model, tokenizer), "has changed since it was loaded");
  CHECK_FALSE(fs::exists(folder));
}

TEST_CASE("all files of a tokenizer are copied, byte for byte, whatever its format") {
  const test::TemporaryFolder temporary;
  const fs::path from = temporary / "from", to = temporary / "to";
  fs::create_directories(from), fs::create_directories(to);
  const auto copied = [&](const fs::path& path) {
    fs::remove_all(to), fs::create_directories(to);
    TokenizerFiles::read(path).write(to);
    std::string names;
    std::vector<fs::path> entries = folder_entries(to);
    std::sort(entries.begin(), entries.end());
    for (const fs::path& entry : entries) names += (names.empty() ? "" : " ") + entry.filename().string();
    return names;
  };
  CHECK_FALSE(TokenizerFiles::is_in(from));
  for (const char* name : {"merges.txt", "vocab.json", "special_tokens_map.json", "chat_template.jinja", "other.json"})
    write_file(from / name, std::string(name) + "\r\n\0\xff");
  CHECK(TokenizerFiles::is_in(from));
  CHECK(copied(from) == "chat_template.jinja merges.txt special_tokens_map.json vocab.json");
  CHECK(read_file(to / "merges.txt") == read_file(from / "merges.txt"));
  CHECK(copied(from / "merges.txt") == copied(from / "vocab.json"));
  write_file(from / "cl100k_base.tiktoken", "IQ== 0\n");
  write_file(from / "tekken_240911.json", "{}");
  CHECK(copied(from / "cl100k_base.tiktoken") ==
        "chat_template.jinja cl100k_base.tiktoken merges.txt special_tokens_map.json vocab.json");
  CHECK(copied(from / "tekken_240911.json").find("tekken.json") != std::string::npos);
  // A file that would be loaded in place of the named one is not copied.
  write_file(from / "tokenizer.json", "{}");
  CHECK(copied(from / "vocab.json").find("tokenizer.json") == std::string::npos);
  CHECK(copied(from / "tokenizer.json").find("vocab.json") != std::string::npos);
}
