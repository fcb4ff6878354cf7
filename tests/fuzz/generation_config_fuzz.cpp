// generation_config.json: accepted options must be equal after writing and reading.
#include "json_mutator.hpp"
#include "moderngpt2/io/generation_config.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(R"({"bos_token_id": 1, "eos_token_id": [2, 3], "pad_token_id": 0, "do_sample": true, "temperature": 0.7,
    "top_k": 50, "top_p": 0.9, "min_p": 0.05, "typical_p": 1.0, "repetition_penalty": 1.1, "no_repeat_ngram_size": 3,
    "num_beams": 4, "length_penalty": 0.8, "early_stopping": "never", "max_new_tokens": 20, "max_length": 100,
    "transformers_version": "5.0.0"})");
  seeds.words({"min_length", "min_new_tokens", "suppress_tokens", "bad_words_ids", "forced_eos_token_id",
               "exponential_decay_length_penalty", "renormalize_logits", "stop_strings", "sequence_bias",
               "begin_suppress_tokens", "num_return_sequences", "eos_token_id", "early_stopping"});
}

void fuzz::run(std::string_view input) {
  const GenerationConfigFile options = parse_generation_config(parse_json(input, "fuzz.json"), "fuzz.json");
  const Json written = generation_config_to_json(options);
  const auto again = accepted([&] { return parse_generation_config(written, "written.json"); });
  if (!again || generation_config_to_json(*again) != written) fail("other options after writing and reading");
}
