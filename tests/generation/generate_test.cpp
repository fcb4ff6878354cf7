#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;
namespace fs = std::filesystem;

namespace {

const std::vector<int> seven_ids{5, 60, 0, 17, 17, 33, 2};

}  // namespace

TEST_CASE_TEMPLATE("greedy tokens with the cache are those without it", M, CpuModel, ReferenceModel) {
  for (const Config& config : variants()) {
    M model = random_model<M>(config);
    const std::vector<int> expected = greedy_without_cache(model, seven_ids, 25);
    CHECK(generate(model, seven_ids, greedy(25)).tokens == expected);
    for (const int chunk : {1, 2, 3, 6}) {
      GenerationOptions o = greedy(25);
      o.prefill_chunk = chunk;
      CHECK(generate(model, seven_ids, o).tokens == expected);
    }
  }
}

TEST_CASE_TEMPLATE("the golden continuations", M, CpuModel, CausalLM<any_shape, reference::Backend, Exact<float>>) {
  int cases = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(MODERNGPT2_TEST_DATA) / "golden")) {
    if (!entry.is_directory()) continue;
    const SafetensorsFile expected(entry.path() / "expected.safetensors");
    if (!expected.find("greedy")) continue;
    INFO(entry.path().string());
    ++cases;
    const auto whole = expected.read_vector<int>("greedy");
    const auto margin = expected.read_vector<float>("greedy.margin");
    REQUIRE(whole.size() == 8 + margin.size());
    M model = load_model<M>(entry.path());
    const GenerationResult result = generate(model, std::span(whole).first(8), greedy(int(margin.size())));
    REQUIRE(result.tokens.size() == margin.size());
    for (std::size_t i = 0; i < margin.size() && margin[i] >= 1e-3f; ++i) CHECK(result.tokens[i] == whole[8 + i]);
  }
  CHECK(cases >= 8);
}

TEST_CASE("stop reasons of a completion") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const GenerationResult all = generate(model, seven_ids, greedy(1000));
  CHECK(all.stop == StopReason::n_positions);
  CHECK(all.tokens.size() == 40 - seven_ids.size());
  CHECK(all.prompt_tokens == int(seven_ids.size()));

  const GenerationResult some = generate(model, seven_ids, greedy(4));
  CHECK(some.stop == StopReason::max_new_tokens);
  CHECK(some.tokens == std::vector<int>(all.tokens.begin(), all.tokens.begin() + 4));
  CHECK(generate(model, seven_ids, greedy(int(all.tokens.size()))).stop == StopReason::max_new_tokens);
  CHECK(generate(model, seven_ids, greedy(0)).tokens.empty());

  GenerationOptions with_eos = greedy(1000);
  with_eos.eos_token_ids = {-5, 1000, all.tokens[3]};
  const GenerationResult ended = generate(model, seven_ids, with_eos);
  const auto first = std::find(all.tokens.begin(), all.tokens.end(), all.tokens[3]);
  CHECK(ended.stop == StopReason::eos);
  CHECK(ended.eos_token == all.tokens[3]);
  CHECK(ended.tokens == std::vector<int>(all.tokens.begin(), first));

  std::vector<int> heard;
  const auto until_three = [&](int token) { return heard.push_back(token), heard.size() < 3; };
  const GenerationResult halted = generate(model, seven_ids, greedy(1000), until_three);
  CHECK(halted.stop == StopReason::callback);
  CHECK(halted.tokens == heard);
  CHECK(heard.size() == 3);
}

TEST_CASE("prompts at the edges") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  CHECK_THROWS_WITH_AS(generate(model, {}, greedy(3)),
                       "an empty prompt starts from the eos token, but this model has none", Error);
  GenerationOptions o = greedy(3);
  o.eos_token_ids = {9};
  const GenerationResult from_eos = generate(model, {}, o);
  CHECK(from_eos.tokens == generate(model, std::vector<int>{9}, o).tokens);
  CHECK(from_eos.prompt_tokens == 1);

  const GenerationResult full = generate(model, std::vector<int>(40, 3), greedy(3));
  CHECK(full.tokens.empty());
  CHECK(full.stop == StopReason::n_positions);
  CHECK_THROWS_WITH_AS(generate(model, std::vector<int>(41, 3), greedy(3)),
                       "the prompt has 41 tokens, more than the model's n_positions 40: shorten it", Error);
  CHECK_THROWS_AS(generate(model, std::vector<int>{61}, greedy(3)), Error);
  CHECK_THROWS_AS(generate(model, std::vector<int>{-1}, greedy(3)), Error);
}

TEST_CASE("weights that are not finite are an error") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  model.weights().matrices[0] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(generate(model, std::vector<int>{0}, greedy(3)), Error);
}

TEST_CASE("sampled tokens are a function of seed and sequence") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  GenerationOptions o;
  o.max_new_tokens = 30;
  o.temperature = 3;
  o.seed = 11;
  const std::vector<int> first = generate(model, seven_ids, o).tokens;
  CHECK(generate(model, seven_ids, o).tokens == first);
  o.sequence = 1;
  CHECK(generate(model, seven_ids, o).tokens != first);
  o.sequence = 0, o.seed = 12;
  CHECK(generate(model, seven_ids, o).tokens != first);
  o.top_k = 1;
  CHECK(generate(model, seven_ids, o).tokens == generate(model, seven_ids, greedy(30)).tokens);
}

TEST_CASE("a generator keeps what the next prompt shares with the last text") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  Generator<CpuModel> generator(model, 40);
  const auto on = [](int) { return true; };
  const GenerationResult first = generator.generate(seven_ids, greedy(10), on);
  CHECK(first.cached_tokens == 0);
  const GenerationResult again = generator.generate(seven_ids, greedy(10), on);
  CHECK(again.cached_tokens == int(seven_ids.size()) - 1);
  CHECK(again.tokens == first.tokens);

  std::vector<int> chat = seven_ids;
  chat.insert(chat.end(), first.tokens.begin(), first.tokens.end());
  chat.insert(chat.end(), {1, 2, 3});
  const GenerationResult answer = generator.generate(chat, greedy(5), on);
  CHECK(answer.cached_tokens == int(chat.size()) - 4);  // the last token of a completion is never computed
  CHECK(answer.tokens == generate(model, chat, greedy(5)).tokens);

  std::vector<int> other = chat;
  other[2] = 40;
  const GenerationResult changed = generator.generate(other, greedy(5), on);
  CHECK(changed.cached_tokens == 2);
  CHECK(changed.tokens == generate(model, other, greedy(5)).tokens);

  Generator<CpuModel> small(model, 9);
  CHECK_THROWS_AS(small.generate(seven_ids, greedy(3), on), Error);
}
