#include <cmath>
#include <cstddef>
#include <filesystem>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/generation/sampler.hpp"
#include "moderngpt2/io/generation_config.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// GenerationOptions for arguments of Transformers' generate().
GenerationOptions options_of(const Json& arguments) {
  const GenerationConfigFile g = parse_generation_config(arguments, "case");
  REQUIRE(g.unread.empty());
  GenerationOptions o = greedy(g.max_new_tokens.value_or(0));
  describe_stored(o, static_cast<const StoredGenerationOptions&>(g),
                  [](auto& member, const auto& stored, const Field&) {
                    if (stored) member = *stored;
                  });
  o.eos_token_ids = g.eos_token_ids.empty() ? std::vector<int>{2} : g.eos_token_ids;
  return o;
}

const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "generation";

/// Compares completions, and scores of beams, with a file of results of Transformers.
void check_sequences(const char* file, std::size_t count) {
  CpuModel model = load_model<CpuModel>(folder, cpu::Backend(1));
  const Json cases = read_json_file(folder / file);
  CHECK(cases.size() == count);
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

}  // namespace

// Model of 31 thousand parameters that writes sentences, and the results of Transformers 5.23 with the same weights in
// a Gemma2ForCausalLM: 8 prompts, 12 settings, greedy and beams, with and without eos.
TEST_CASE("greedy search and beams give the tokens of Transformers") { check_sequences("cases.json", 96); }

// Each option on the text, and random combinations of two and three, by Transformers 5.24.
TEST_CASE("options on the text give the tokens of Transformers") { check_sequences("processors.json", 143); }

// Each filter of sampling, all pairs, some triples, and with options on the text: tokens that are left in three steps,
// and the probabilities of the most likely ones.
TEST_CASE("the distributions of sampling are those of Transformers") {
  CpuModel model = load_model<CpuModel>(folder, cpu::Backend(1));
  const Json cases = read_json_file(folder / "distributions.json");
  CHECK(cases.size() == 73);
  for (const Json& c : cases) {
    CAPTURE(c.dump());
    const GenerationOptions options = options_of(c["options"]);
    std::vector<int> text = c["prompt"];
    for (std::size_t step = 0; step < c["steps"].size(); ++step) {
      CAPTURE(step);
      std::vector<float> logits = logits_after(model, text);
      Sampler<float>(options, int(logits.size())).choose(logits, text, step);
      long kept = 0, sum = 0;
      for (std::size_t token = 0; token < logits.size(); ++token)
        if (logits[token] > -3e38f) ++kept, sum += long(token);
      CHECK(kept == c["steps"][step]["kept"].get<long>());
      CHECK(sum == c["steps"][step]["sum"].get<long>());
      apply_log_softmax<float>(logits);
      for (const Json& top : c["steps"][step]["top"])
        CHECK(std::exp(double(logits[top[0].get<std::size_t>()])) ==
              doctest::Approx(top[1].get<double>()).epsilon(1e-3).scale(0.01));
      text.push_back(c["tokens"][step]);
    }
  }
}
