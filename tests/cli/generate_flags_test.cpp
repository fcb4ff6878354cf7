#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/cli/generate_flags.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

/// Parses a command line and a generation_config.json into flags.
GenerateFlags settle(std::vector<std::string> words, const std::string& stored = "{}") {
  GenerateFlags flags;
  Options options("generate", "Continues a text.");
  add_generate_flags(options, flags);
  words.insert(words.begin(), "--model_path=m");
  options.parse(words);
  check_generate_flags(options, flags);
  merge_generation_config(options, parse_generation_config(parse_json(stored, "g.json"), "g.json"), flags);
  return flags;
}

std::string error(const std::vector<std::string>& words, const std::string& stored = "{}") {
  try {
    settle(words, stored);
  } catch (const UsageError& refused) {
    return refused.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("the checkpoint's settings stand where a flag was not typed") {
  const std::string stored =
      R"({"do_sample":false,"temperature":0.5,"top_k":7,"top_p":0.5,"min_p":0.1,"repetition_penalty":1.5,
          "no_repeat_ngram_size":3,"min_new_tokens":4,"num_beams":3,"length_penalty":2.0,"early_stopping":"never",
          "num_return_sequences":2,"max_new_tokens":11,"max_length":50,"eos_token_id":[3,4]})";
  const GenerateFlags all = settle({}, stored);
  CHECK(!all.settings.do_sample);
  CHECK(all.settings.temperature == 0.5);
  CHECK(all.settings.top_k == 7);
  CHECK(all.settings.top_p == 0.5);
  CHECK(all.settings.min_p == 0.1);
  CHECK(all.settings.repetition_penalty == 1.5);
  CHECK(all.settings.no_repeat_ngram_size == 3);
  CHECK(all.settings.min_new_tokens == 4);
  CHECK(all.settings.num_beams == 3);
  CHECK(all.settings.length_penalty == 2);
  CHECK(all.settings.early_stopping == EarlyStopping::never);
  CHECK(all.settings.eos_token_ids == std::vector<int>{3, 4});
  CHECK(all.settings.seed == 42);
  CHECK(all.num_return_sequences == 2);
  CHECK(all.max_new_tokens == 11);
  CHECK(all.max_length == 50);
  CHECK(all.max_length_given);

  const GenerateFlags typed =
      settle({"--top_k=0", "--num_beams=2", "--early_stopping=true", "--max_length=60"}, stored);
  CHECK(typed.settings.top_k == 0);
  CHECK(typed.settings.num_beams == 2);
  CHECK(typed.settings.early_stopping == EarlyStopping::at_once);
  CHECK(!typed.max_new_tokens);
  CHECK(typed.max_length == 60);
  CHECK(settle({"--max_new_tokens=5"}, stored).max_new_tokens == 5);

  const GenerateFlags none = settle({});
  CHECK(none.settings.do_sample);
  CHECK(none.settings.top_k == 50);
  CHECK(none.settings.top_p == 0.95);
  CHECK(none.max_length == 100);
  CHECK(!none.max_length_given);
}

TEST_CASE("beams and numbers of completions, typed and stored") {
  CHECK(!settle({"--num_beams=4"}).settings.do_sample);
  CHECK(settle({"--num_beams=4", "--num_return_sequences=4"}).num_return_sequences == 4);
  for (const GenerateFlags& sampled :
       {settle({"--do_sample"}, R"({"num_beams":4})"), settle({"--num_beams=4", "--do_sample"}),
        settle({}, R"({"num_beams":4,"do_sample":true})"), settle({"--num_beams=4"}, R"({"do_sample":true})")}) {
    CHECK(sampled.settings.num_beams == 4);
    CHECK(sampled.settings.do_sample);
  }
  CHECK(!settle({}, R"({"num_beams":4})").settings.do_sample);
  CHECK(settle({"--no_do_sample"}, R"({"num_return_sequences":4})").num_return_sequences == 1);
  CHECK(settle({"--num_beams=2"}, R"({"num_return_sequences":4})").num_return_sequences == 2);
  const GenerateFlags chat = settle({"--interactive"}, R"({"num_beams":4,"num_return_sequences":2})");
  CHECK(chat.settings.num_beams == 1);
  CHECK(chat.num_return_sequences == 1);
}

TEST_CASE("flags that contradict each other have their line") {
  CHECK(error({"--prompt=a", "--prompts_file=b.txt"}) == "--prompt and --prompts_file do not go together");
  CHECK(error({"--prompt=a", "--output_file=b"}) == "--output_file is for the lines of --prompts_file");
  CHECK(error({"--interactive", "--prompt=a"}) == "--interactive and --prompt do not go together");
  CHECK(error({"--interactive", "--prompts_file=a.txt"}) == "--interactive and --prompts_file do not go together");
  CHECK(error({"--interactive", "--num_beams=2"}).starts_with("--num_beams above 1 and --interactive"));
  CHECK(error({"--interactive", "--num_return_sequences=2"}).starts_with("--num_return_sequences above 1 and"));
  CHECK(error({"--chat_format=header"}) == "--chat_format is for a chat: add --interactive");
  CHECK(error({"--system_prompt=x"}) == "--system_prompt is for a chat: add --interactive");
  CHECK(error({"--interactive", "--chat_format=fancy"}) ==
        "--chat_format: 'fancy' is not one of auto, plain, header, chatml, gemma, llama2");
  CHECK(error({"--num_beams=2", "--num_return_sequences=3"}) ==
        "--num_return_sequences 3 is more than the 2 beams: raise --num_beams");
  CHECK(error({"--no_do_sample", "--num_return_sequences=2"}).starts_with("--num_return_sequences above 1 needs"));
  CHECK(error({"--num_return_sequences=2"}, R"({"do_sample":false})").starts_with("--num_return_sequences above 1"));
  CHECK(error({"--num_beams=2", "--do_sample=false"}) == "accepted");
}

TEST_CASE("options in JSON and lists of token ids, typed and stored") {
  const GenerateFlags typed =
      settle({"--bad_words_ids=[[5],[7,8]]", "--sequence_bias", "[[[5],-2.5],[[7,8],1]]", "--suppress_tokens", "3", "4",
              "--exponential_decay_length_penalty=[4,1.5]", "--forced_eos_token_id=2", "--forced_bos_token_id=9",
              "--stop_strings", ".", "the end", "--max_time=2.5"},
             R"({"suppress_tokens":[9],"bad_words_ids":[[1]],"top_h":0.5,"typical_p":0.9})");
  const GenerationOptions& o = typed.settings;
  CHECK(o.bad_words_ids == std::vector<std::vector<int>>{{5}, {7, 8}});
  CHECK(o.sequence_bias == std::vector<SequenceBias>{{{5}, -2.5}, {{7, 8}, 1}});
  CHECK(o.suppress_tokens == std::vector<int>{3, 4});
  CHECK(o.exponential_decay_length_penalty == LengthDecay{4, 1.5});
  CHECK(o.forced_eos_token_id == std::vector<int>{2});
  CHECK(o.forced_bos_token_id == 9);
  CHECK(o.stop_strings == std::vector<std::string>{".", "the end"});
  CHECK(o.max_time == 2.5);
  CHECK(o.top_h == 0.5);
  CHECK(o.typical_p == 0.9);
  CHECK(error({"--bad_words_ids=[5]"}).starts_with("--bad_words_ids: bad_words_ids must be a list of token ids"));
  CHECK(error({"--sequence_bias={"}).starts_with("--sequence_bias"));
}

TEST_CASE("min_new_tokens overrides min_length, as in Transformers, and flags override the file") {
  CHECK(settle({}, R"({"min_length":25})").settings.min_length == 25);
  CHECK(settle({}, R"({"min_length":25,"min_new_tokens":0})").settings.min_length == 0);
  CHECK(settle({"--min_length=9"}, R"({"min_new_tokens":4})").settings.min_length == 9);
  CHECK(settle({"--min_length=9"}, R"({"min_new_tokens":4})").settings.min_new_tokens == 0);
  CHECK(settle({"--min_new_tokens=3"}, R"({"min_length":25})").settings.min_length == 0);
}

TEST_CASE("fields of generation_config.json without effect here are named in one line") {
  CHECK(settle({}, R"({"use_cache":true,"num_beam_groups":1,"guidance_scale":null,"diversity_penalty":0.0,
      "penalty_alpha":null,"transformers_version":"5","_from_model_config":true,"token_healing":false})")
            .notes.empty());
  const GenerateFlags flags = settle({}, R"({"guidance_scale":1.5,"tempertature":0.5,"num_beam_groups":2})");
  REQUIRE(flags.notes.size() == 1);
  CHECK(flags.notes[0] ==
        "warning: generation_config.json: not supported: guidance_scale, \"tempertature\" (did you mean temperature?), "
        "num_beam_groups");
}

TEST_CASE("without generation_config.json, the settings of config.json apply") {
  const test::TemporaryFolder folder;
  const std::filesystem::path model = std::filesystem::path(MODERNGPT2_TEST_DATA) / "generation/gemma2";
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"})
    std::filesystem::copy_file(model / name, folder / name);
  Json json = read_json_file(model / "config.json");
  json["temperature"] = 0.5;
  json["top_k"] = 7;
  json["num_beam_groups"] = 2;
  json["auto_map"]["AutoModel"] = "modeling_x.X";
  write_json_file(folder / "config.json", json);
  const auto load = [&] {
    GenerateFlags flags;
    Options options("generate", "Continues a text.");
    add_generate_flags(options, flags);
    options.parse({"--model_path=" + folder.path().string(), "--top_k=3"});
    load_generation_settings(options, read_config(folder.path()), flags);
    return flags;
  };
  const GenerateFlags flags = load();
  CHECK(flags.settings.temperature == 0.5);
  CHECK(flags.settings.top_k == 3);
  REQUIRE(flags.notes.size() == 3);
  CHECK(flags.notes[0] ==
        (folder / "config.json").string() + ": auto_map is ignored: Python code of a checkpoint is not run");
  CHECK(flags.notes[1] ==
        "config.json: its generation settings apply, as there is no generation_config.json: temperature, top_k, "
        "num_beam_groups");
  CHECK(flags.notes[2] == "warning: config.json: not supported: num_beam_groups");
  write_file(folder / "generation_config.json", "{}");
  CHECK(load().settings.temperature == 1.0);
  CHECK(load().notes.size() == 1);
}

TEST_CASE("room for new tokens") {
  GenerateFlags flags;
  CHECK(new_tokens_after(30, flags) == 70);
  CHECK_THROWS_WITH_AS(new_tokens_after(100, flags),
                       "the prompt has 100 tokens, which leaves no room within max_length 100: raise --max_length, or "
                       "give --max_new_tokens",
                       Error);
  flags.max_new_tokens = 0;
  CHECK(new_tokens_after(1000, flags) == 0);
}

TEST_CASE("one precision, by its name or its short form") {
  const auto precision = [](std::vector<std::string> words) {
    PrecisionFlags flags;
    Options options("generate", "Continues a text.");
    add_precision_flags(options, flags, "number format");
    options.parse(words);
    return precision_of(options, flags);
  };
  CHECK(precision({}) == PrecisionName::fp32);
  CHECK(precision({"--precision", "bf16"}) == PrecisionName::bf16);
  CHECK(precision({"--bf16"}) == PrecisionName::bf16);
  CHECK(precision({"--bf16", "true", "--precision=bf16"}) == PrecisionName::bf16);
  CHECK(precision({"--bf16", "false"}) == PrecisionName::fp32);
  CHECK(precision({"--tf32"}) == PrecisionName::tf32);
  CHECK(precision({"--fp16"}) == PrecisionName::fp16);
  CHECK_THROWS_AS(precision({"--bf16", "--fp16"}), UsageError);
  CHECK_THROWS_AS(precision({"--bf16", "--precision", "fp32"}), UsageError);
  CHECK_THROWS_AS(precision({"--precision", "int8"}), UsageError);
}
