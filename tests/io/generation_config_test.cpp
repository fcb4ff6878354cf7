#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "expect_error.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;
using moderngpt2::test::TemporaryFolder;

namespace {
GenerationConfigFile parse(const std::string& text) {
  return parse_generation_config(parse_json(text, "g.json"), "g.json");
}
}  // namespace

TEST_CASE("fields of a generation config, absent ones left open") {
  const GenerationConfigFile g = parse(R"({"max_length":100,"do_sample":true,"temperature":0.7,"top_k":0,"top_p":0.95,
      "repetition_penalty":1.1,"num_beams":4,"eos_token_id":[2,9],"pad_token_id":null,"min_p":null})");
  CHECK(g.max_length == 100);
  CHECK(!g.max_new_tokens);
  CHECK(g.do_sample == true);
  CHECK(g.temperature == 0.7);
  CHECK(g.top_k == 0);
  CHECK(g.top_p == 0.95);
  CHECK(!g.min_p);
  CHECK(g.repetition_penalty == 1.1);
  CHECK(g.num_beams == 4);
  CHECK(g.eos_token_ids == std::vector<int>{2, 9});
  CHECK(!g.bos_token_id);
  CHECK(!g.pad_token_id);
  CHECK(!g.from_model_config);
  CHECK(parse("{}").eos_token_ids.empty());
}

TEST_CASE("fields out of range or of a wrong type") {
  for (const char* field : {"max_length", "max_new_tokens", "num_beams", "num_return_sequences"})
    for (const char* value : {"0", "-1", "1.5", "\"3\""})
      CHECK_ERROR(parse("{\"" + std::string(field) + "\":" + value + "}"), "g.json: ", field);
  for (const char* text : {R"({"temperature":-1})", R"({"temperature":"1"})", R"({"top_p":1.5})", R"({"min_p":-0.1})",
                           R"({"top_k":-1})", R"({"top_k":1.5})", R"({"repetition_penalty":0})", R"({"do_sample":1})",
                           R"({"eos_token_id":"x"})", R"({"bos_token_id":-1})", R"({"_from_model_config":0})", "[]"})
    CHECK_ERROR(parse(text), "g.json: ");
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

TEST_CASE("a new generation config takes the special tokens of the model") {
  ConfigFile file;
  file.config.eos_token_id = 2;
  file.config.pad_token_id = 0;
  const Json json = generation_config_to_json(generation_config_from(file));
  CHECK(json.dump() == R"({"_from_model_config":true,"eos_token_id":2,"pad_token_id":0})");
  file.eos_token_ids = {2, 7};
  CHECK(generation_config_from(file).eos_token_ids == std::vector<int>{2, 7});
}
