#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// GenerationOptions for arguments of Transformers' generate().
GenerationOptions options_of(const Json& arguments) {
  GenerationOptions o = greedy(0);
  o.eos_token_ids = {2};
  for (const auto& [name, value] : arguments.items()) {
    if (name == "max_new_tokens") o.max_new_tokens = value;
    if (name == "min_new_tokens") o.min_new_tokens = value;
    if (name == "repetition_penalty") o.repetition_penalty = value;
    if (name == "no_repeat_ngram_size") o.no_repeat_ngram_size = value;
    if (name == "num_beams") o.num_beams = value;
    if (name == "length_penalty") o.length_penalty = value;
    if (name == "eos_token_id") o.eos_token_ids = value.get<std::vector<int>>();
    if (name == "early_stopping") o.early_stopping = value == true ? EarlyStopping::at_once : EarlyStopping::never;
  }
  return o;
}

}  // namespace

// Model of 31 thousand parameters that writes sentences, and the results of Transformers 5.23 with the same weights in
// a Gemma2ForCausalLM: 8 prompts, 12 settings, greedy and beams, with and without eos.
TEST_CASE("greedy search and beams give the tokens of Transformers") {
  const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "generation";
  CpuModel model = load_model<CpuModel>(folder, cpu::Backend(1));
  const Json cases = read_json_file(folder / "cases.json");
  CHECK(cases.size() == 96);
  for (const Json& c : cases) {
    CAPTURE(c.dump());
    const GenerationOptions options = options_of(c["options"]);
    const std::vector<int> prompt = c["prompt"];
    std::vector<GenerationResult> results;
    if (options.num_beams > 1)
      results = beam_search(model, prompt, options, c["options"]["num_return_sequences"]);
    else
      results.push_back(generate(model, prompt, options));
    REQUIRE(results.size() == c["sequences"].size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      std::vector<int> tokens = results[i].tokens;
      if (results[i].eos_token) tokens.push_back(*results[i].eos_token);
      CAPTURE(i);
      CHECK(tokens == c["sequences"][i].get<std::vector<int>>());
      if (options.num_beams > 1) CHECK(results[i].score == doctest::Approx(c["scores"][i].get<double>()).epsilon(1e-4));
    }
  }
}
