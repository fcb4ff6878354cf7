#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "support/count_members.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {
GenerationConfigFile parse_generation(const std::string& text) {
  return parse_generation_config(parse_json(text, "g.json"), "g.json");
}
}  // namespace

TEST_CASE("no option of generation is forgotten in its description") {
  std::size_t rows = 0;
  GenerationOptions options;
  StoredGenerationOptions stored;
  describe_stored(options, stored, [&](auto&, auto&, const Field&) { ++rows; });
  CHECK(rows == test::count_members<StoredGenerationOptions>());
  CHECK(test::count_rows<GenerationOptions>() == test::count_members<GenerationOptions>());
}

TEST_CASE("fields of a generation config, absent ones left open") {
  const GenerationConfigFile g =
      parse_generation(R"({"max_length":100,"do_sample":true,"temperature":0.7,"top_k":0,"top_p":0.95,
      "repetition_penalty":1.1,"num_beams":4,"length_penalty":-0.5,"early_stopping":"never","no_repeat_ngram_size":3,
      "min_new_tokens":0,"eos_token_id":[2,9],"pad_token_id":null,"min_p":null})");
  CHECK(g.max_length == 100);
  CHECK(!g.max_new_tokens);
  CHECK(g.do_sample == true);
  CHECK(g.temperature == 0.7);
  CHECK(g.top_k == 0);
  CHECK(g.top_p == 0.95);
  CHECK(!g.min_p);
  CHECK(g.repetition_penalty == 1.1);
  CHECK(g.num_beams == 4);
  CHECK(g.length_penalty == -0.5);
  CHECK(g.early_stopping == EarlyStopping::never);
  CHECK(g.no_repeat_ngram_size == 3);
  CHECK(g.min_new_tokens == 0);
  CHECK(parse_generation(R"({"early_stopping":true})").early_stopping == EarlyStopping::at_once);
  CHECK(parse_generation(R"({"early_stopping":false})").early_stopping == EarlyStopping::heuristic);
  CHECK(g.eos_token_ids == std::vector<int>{2, 9});
  CHECK(!g.bos_token_id);
  CHECK(!g.pad_token_id);
  CHECK(!g.from_model_config);
  CHECK(parse_generation("{}").eos_token_ids.empty());
}

TEST_CASE("fields out of range or of a wrong type") {
  for (const char* field : {"max_length", "max_new_tokens", "num_beams", "num_return_sequences"})
    for (const char* value : {"0", "-1", "1.5", "\"3\""})
      CHECK_ERROR(parse_generation("{\"" + std::string(field) + "\":" + value + "}"), "g.json: ", field);
  for (const char* text : {R"({"temperature":-1})",
                           R"({"temperature":"1"})",
                           R"({"top_p":1.5})",
                           R"({"min_p":-0.1})",
                           R"({"top_k":-1})",
                           R"({"top_k":1.5})",
                           R"({"repetition_penalty":0})",
                           R"({"do_sample":1})",
                           R"({"early_stopping":"always"})",
                           R"({"early_stopping":1})",
                           R"({"length_penalty":"1"})",
                           R"({"no_repeat_ngram_size":-1})",
                           R"({"min_new_tokens":-2})",
                           R"({"eos_token_id":"x"})",
                           R"({"bos_token_id":-1})",
                           R"({"_from_model_config":0})",
                           "[]",
                           R"({"temperature":1e31})",
                           R"({"repetition_penalty":1e31})",
                           R"({"num_beams":2147483647})",
                           R"({"min_length":-1})",
                           R"({"max_time":"1"})",
                           R"({"stop_strings":[1]})",
                           R"({"typical_p":0})",
                           R"({"top_h":1.5})",
                           R"({"epsilon_cutoff":-0.1})",
                           R"({"suppress_tokens":"x"})",
                           R"({"bad_words_ids":[5]})",
                           R"({"bad_words_ids":[[]]})",
                           R"({"bad_words_ids":[[-1]]})",
                           R"({"sequence_bias":[[5,1.0]]})",
                           R"({"sequence_bias":[[[5]]]})",
                           R"({"sequence_bias":{"5":1.0}})",
                           R"({"sequence_bias":[[[5],1e999]]})",
                           R"({"forced_bos_token_id":-1})",
                           R"({"forced_eos_token_id":1.5})",
                           R"({"exponential_decay_length_penalty":[3]})",
                           R"({"exponential_decay_length_penalty":[-3,1.5]})",
                           R"({"remove_invalid_values":1})"})
    CHECK_ERROR(parse_generation(text), "g.json: ");
}

TEST_CASE("a rewrite keeps unknown fields") {
  TemporaryFolder t;
  write_file(t / "generation_config.json",
             R"({"_from_model_config":true,"zeta":[1],"top_k":5,"transformers_version":"4.0"})");
  GenerationConfigFile g = read_generation_config(t.path());
  g.top_k.reset();
  g.max_new_tokens = 7;
  g.eos_token_ids = {3};
  write_generation_config(t / "generation_config.json", g);
  CHECK(read_json_file(t / "generation_config.json").dump() ==
        R"({"_from_model_config":true,"zeta":[1],"transformers_version":"4.0","eos_token_id":3,"max_new_tokens":7})");
}

TEST_CASE("every field of a generation config is written as it was read") {
  for (const char* stopping : {"true", "false", "\"never\""}) {
    const Json json = parse_json(
        R"({"bos_token_id":1,"eos_token_id":2,"pad_token_id":0,"max_length":9,"max_new_tokens":5,"min_length":4,
        "min_new_tokens":2,"max_time":1.5,"stop_strings":["a","b"],
        "do_sample":true,"temperature":0.5,"top_k":4,"top_p":0.5,"min_p":0.25,"top_h":0.5,"typical_p":0.5,
        "epsilon_cutoff":0.01,"eta_cutoff":0.02,"repetition_penalty":1.5,"encoder_repetition_penalty":1.25,
        "no_repeat_ngram_size":3,"encoder_no_repeat_ngram_size":2,"bad_words_ids":[[1],[2,3]],
        "sequence_bias":[[[1,2],-0.5]],"suppress_tokens":[4,5],"begin_suppress_tokens":[6],"forced_bos_token_id":7,
        "forced_eos_token_id":[8,9],"exponential_decay_length_penalty":[3,1.5],"remove_invalid_values":true,
        "renormalize_logits":false,"num_beams":2,"length_penalty":2.0,"early_stopping":)" +
            std::string(stopping) + R"(,"num_return_sequences":2})",
        "g.json");
    GenerationConfigFile g = parse_generation_config(json, "g.json");
    g.json = Json::object();
    CHECK(generation_config_to_json(g).dump() == json.dump());
  }
}

TEST_CASE("a new generation config takes the special tokens of the model") {
  ConfigFile file;
  file.config.eos_token_id = 2;
  file.config.pad_token_id = 0;
  const Json json = generation_config_to_json(generation_config_from(file));
  CHECK(json.dump() == R"({"_from_model_config":true,"eos_token_id":2,"pad_token_id":0})");
  file.eos_token_ids = {2, 7};
  CHECK(generation_config_from(file).eos_token_ids == std::vector<int>{2, 7});
}

// Transformers before 4.26 kept generation settings in config.json; 4.x applies them if there is no
// generation_config.json.
TEST_CASE("generation settings of a config.json") {
  ConfigFile file = parse_config(
      parse_json(R"({"model_type":"moderngpt2","do_sample":true,"temperature":0.7,"top_k":7,"max_length":50,
      "top_p":null,"eos_token_id":[2,7],"bad_words_ids":[[5]],"num_beam_groups":2,"use_cache":true,"n_ctx":8,
      "task_specific_params":{"text-generation":{"max_length":9}}})",
                 "c.json"),
      "c.json");
  const GenerationConfigFile g = generation_options_in(file, "c.json");
  CHECK(g.do_sample == true);
  CHECK(g.temperature == 0.7);
  CHECK(g.top_k == 7);
  CHECK(!g.top_p);
  CHECK(g.max_length == 50);
  CHECK(g.bad_words_ids == std::vector<std::vector<int>>{{5}});
  CHECK(g.unread == std::vector<std::string>{"num_beam_groups"});
  CHECK(g.eos_token_ids.empty());  // the config has them
  CHECK(g.json.size() == 6);
  const Json json = generation_config_to_json(generation_config_from(file));
  CHECK(json["temperature"] == 0.7);
  CHECK(json["_from_model_config"] == true);
  CHECK(json["eos_token_id"] == Json({2, 7}));
  file.json["top_k"] = "many";
  CHECK_ERROR(generation_options_in(file, "c.json"), "c.json: top_k must be an integer");
  CHECK(generation_options_in(ConfigFile{}, "c.json").json.empty());
}
