#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/cli/completions.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {

using Model = CausalLM<any_shape>;
const std::filesystem::path data = std::filesystem::path(MODERNGPT2_TEST_DATA) / "generation";

/// Copies the checkpoint of a Gemma2ForCausalLM.
void copy_checkpoint(const std::filesystem::path& to) {
  for (const auto& file : std::filesystem::directory_iterator(data / "gemma2"))
    std::filesystem::copy_file(file.path(), to / file.path().filename());
}

std::string complete(const std::filesystem::path& folder, const Json& fields) {
  Json json = read_json_file(folder / "generation_config.json");
  json.update(Json{{"do_sample", false}, {"max_new_tokens", 16}});
  json.update(fields);
  const std::filesystem::path file = folder / "generation_config.json";
  const std::string before = read_file(file);
  write_json_file(file, json);
  GenerateFlags flags;
  flags.model_path = folder;
  Options options("generate", "");
  add_generate_flags(options, flags);
  options.parse({"--model_path=" + folder.string()});
  const ConfigFile config = read_config(folder);
  const Tokenizer tokenizer = load_generation_settings(options, config, flags);
  write_file(file, before);
  CHECK(flags.notes.empty());
  Model model = load_model<Model>(folder, cpu::Backend(1));
  std::string text;
  stream_completions(model, tokenizer, tokenizer.encode_prompt("Once upon a time Lily"), flags,
                     [&](const std::string& piece) { text += piece; });
  text.pop_back();  // line feed
  return text;
}

}  // namespace

TEST_CASE("fields of generation_config.json give the text of Transformers") {
  TemporaryFolder t;
  copy_checkpoint(t.path());
  const Json cases = read_json_file(data / "generation_config_cases.json");
  CHECK(cases.size() == 15);
  for (const Json& c : cases) {
    CAPTURE(c["fields"].dump());
    CHECK(complete(t.path(), c["fields"]) == c["text"].get<std::string>());
  }
}

TEST_CASE("a stored head that differs from the tied embedding is an error, a copy is not") {
  TemporaryFolder t;
  copy_checkpoint(t.path());
  const std::string expected = complete(t.path(), Json::object());
  std::vector<std::vector<float>> values;
  std::vector<TensorSource> sources;
  const auto write = [&](float change) {
    const CheckpointTensors file(data / "gemma2");
    values.clear(), sources.clear();
    values.reserve(file.tensors().size() + 1);
    const auto add = [&](const TensorInfo& info, const std::string& name) {
      std::vector<float>& to = values.emplace_back();
      std::size_t size = 1;
      for (const std::int64_t n : info.shape) size *= std::size_t(n);
      to.resize(size);
      file.read_as(info, to.data(), 0, std::int64_t(size));
      if (name == "lm_head.weight") to.back() += change;
      sources.push_back(tensor_source(name, info.shape, to.data()));
    };
    for (const TensorInfo& info : file.tensors()) add(info, info.name);
    add(*file.find("model.embed_tokens.weight"), "lm_head.weight");
    write_safetensors(t / "model.safetensors", sources);
  };
  write(0);
  CHECK(complete(t.path(), Json::object()) == expected);
  write(0.5f);
  CHECK_THROWS_WITH_AS(complete(t.path(), Json::object()),
                       doctest::Contains("tensor lm_head.weight differs from model.embed_tokens.weight"), Error);
  Json config = read_json_file(t / "config.json");
  config["tie_word_embeddings"] = false;
  write_json_file(t / "config.json", config);
  CHECK(!complete(t.path(), Json::object()).empty());
}
