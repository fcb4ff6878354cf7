#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/run/run.hpp"
#include "support/temporary_folder.hpp"
#include "support/tokenizer_json.hpp"
#include "training/tiny_run.hpp"

namespace moderngpt2::test {

/// A tokenizer of a chat, with `tokens` ids: <pad>, <unk>, <eos>, <|eot_id|>, then one letter or number each.
inline void write_tokenizer(const std::filesystem::path& folder, int tokens) {
  std::filesystem::create_directories(folder);
  Json json = empty_tokenizer_json();
  for (const char* name : {"<pad>", "<unk>", "<eos>", "<|eot_id|>"}) {
    const int id = int(json["added_tokens"].size());
    json["added_tokens"].push_back(special_token(id, name));
    json["model"]["vocab"][name] = id;
  }
  for (int i = 4; i < tokens; ++i) json["model"]["vocab"]["t" + std::to_string(i)] = i;
  write_json_file(folder / "tokenizer.json", json);
  write_file(folder / "tokenizer_config.json",
             R"({"eos_token": "<eos>", "pad_token": "<pad>", "chat_template": "{{ messages }}"})");
}

struct RunFixture {
  TemporaryFolder temporary;
  TrainingRequest request;
  std::vector<std::string> said;

  RunFixture() {
    write_tokenizer(temporary / "tokenizer", 64);
    make_data(temporary / "data");
    request.settings = tiny_settings(temporary / "out");
    request.settings.max_steps = 6;
    request.settings.save_steps = 3;
    request.tokenizer_path = temporary / "tokenizer";
    request.pre_tokenized_dataset_path = temporary / "data";
    request.model_fields["n_layer"] = 1;
    request.model_fields["n_embd"] = 16;
    request.model_fields["n_head"] = 2;
    request.threads = 1;
  }
  int run() {
    said.clear();
    return run_training(request, {.say = [&](const std::string& line) { said.push_back(line); }});
  }
  std::string text() const {
    std::string all;
    for (const std::string& line : said) all += line + "\n";
    return all;
  }
};

}  // namespace moderngpt2::test
