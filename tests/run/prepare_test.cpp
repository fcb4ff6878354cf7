#include <filesystem>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/run/device.hpp"
#include "moderngpt2/run/prepare.hpp"
#include "support/letter_tokenizer.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

/// A tokenizer with the token that ends a message of a chat, and a request without data.
struct Fixture {
  test::TemporaryFolder temporary;
  fs::path tokenizer = temporary / "tokenizer", base = temporary / "base";
  TrainingRequest request;
  int end_of_turn = 0;

  Fixture() {
    write_tokenizer(tokenizer);
    request.tokenizer_path = tokenizer;
    request.dry_run = true;
  }
  void write_tokenizer(const fs::path& folder) {
    test::write_letter_tokenizer(folder);
    Json json = read_json_file(folder / "tokenizer.json");
    end_of_turn = int(json["model"]["vocab"].size());
    json["added_tokens"].push_back(test::special_token(end_of_turn, "<|eot_id|>"));
    json["model"]["vocab"]["<|eot_id|>"] = end_of_turn;
    write_json_file(folder / "tokenizer.json", json);
  }
  /// A model's folder, without weights, whose tokenizer has a chat template.
  void write_base(const std::string& generation_config) {
    write_tokenizer(base);
    write_file(base / "chat_template.jinja", "{{ messages }}");
    ConfigFile config;
    config.config.vocab_size = end_of_turn + 1;
    write_config(base / "config.json", config);
    write_file(base / "generation_config.json", generation_config);
  }
  std::string made() {
    return generation_config_to_json(*prepare_run(request, {.say = [](const std::string&) {}}).companions.generation)
        .dump();
  }
  /// `text` with the id in the place of EOT.
  std::string with_id(std::string text) const { return text.replace(text.find("EOT"), 3, std::to_string(end_of_turn)); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a chat's end of turn ends a text, where there is a chat template") {
  const std::string plain = R"({"_from_model_config":true,"eos_token_id":2,"pad_token_id":0})";
  const std::string chat = with_id(R"({"_from_model_config":true,"eos_token_id":[2,EOT],"pad_token_id":0})");
  CHECK(made() == plain);
  write_file(tokenizer / "chat_template.jinja", "{{ messages }}");
  CHECK(made() == chat);
  request.tokenizer_path = tokenizer / "tokenizer.json";
  CHECK(made() == chat);
  fs::remove(tokenizer / "chat_template.jinja");
  CHECK(made() == plain);
  write_file(tokenizer / "tokenizer_config.json",
             R"({"eos_token": "<eos>", "pad_token": "<pad>", "chat_template": "{{ messages }}"})");
  CHECK(made() == chat);
  test::write_letter_tokenizer(tokenizer);
  write_file(tokenizer / "chat_template.jinja", "{{ messages }}");
  CHECK(made() == plain);  // another chat, which has no such token
}

TEST_CASE_FIXTURE(Fixture, "what was written by hand beside a model stays with what is trained from it") {
  write_base(R"({"temperature":0.7,"zeta":[1],"eos_token_id":[2,5],"pad_token_id":7})");
  request.tokenizer_path.reset();
  request.model_path = base;
  const std::string kept = with_id(R"({"temperature":0.7,"zeta":[1],"eos_token_id":[2,5,EOT],"pad_token_id":0})");
  CHECK(made() == kept);
  request.tokenizer_path = tokenizer;  // where 5 means something else, and no template says that it is for a chat
  CHECK(made() == R"({"temperature":0.7,"zeta":[1],"eos_token_id":2,"pad_token_id":0})");

  // A resumed run finds it in its checkpoint.
  TrainingRequest resumed;
  PreparedRun<> run;
  run.tokenizer = Tokenizer::load(base);
  run.companions.config.config.eos_token_id = 2, run.companions.config.config.pad_token_id = 0;
  run.checkpoint = Checkpoint{base, {}};
  CHECK(generation_config_to_json(detail::generation_config_of(resumed, run, base)).dump() == kept);

  write_base(R"({"temperature":-1})");
  CHECK_ERROR(made(), "generation_config.json", "temperature");
  write_base(R"({"_from_model_config":true,"eos_token_id":[2,5]})");
  request.tokenizer_path.reset();
  CHECK(made() == with_id(R"({"_from_model_config":true,"eos_token_id":[2,EOT],"pad_token_id":0})"));
}

TEST_CASE("what can make a run smaller that does not fit into a GPU") {
  TrainingSettings s;
  CHECK(memory_remedy(s, false) ==
        "a smaller --per_device_train_batch_size, block or model, or --gradient_checkpointing");
  CHECK(memory_remedy(s, true) == "a smaller --per_device_eval_batch_size");
  s.world_size = 2;
  CHECK(memory_remedy(s, false) ==
        "a smaller --per_device_train_batch_size, block or model, --gradient_checkpointing, or a higher --zero_stage");
  CHECK(memory_remedy(s, true) == "a smaller --per_device_eval_batch_size, or --zero_stage 3");
  s.gradient_checkpointing = true;
  CHECK(memory_remedy(s, false) == "a smaller --per_device_train_batch_size, block or model, or a higher --zero_stage");
  s.zero_stage = 3;
  CHECK(memory_remedy(s, false) == "a smaller --per_device_train_batch_size, block or model");
  CHECK(memory_remedy(s, true) == "a smaller --per_device_eval_batch_size");
}
