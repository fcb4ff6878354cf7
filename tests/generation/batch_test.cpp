#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/batch.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

/// Prompts of unequal lengths, greedy and sampled, some of them equal, some that soon end.
std::vector<GenerationRequest> mixed_requests(int max_new_tokens) {
  const std::vector<std::vector<int>> prompts{
      {5, 60, 0, 17, 17, 33, 2}, {5, 60, 0, 17, 17, 33, 2}, {9}, {}, {1, 2, 3, 4}, {1, 2, 3, 4}, {8, 8, 8, 8, 8, 8}};
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    GenerationRequest& r = requests.emplace_back(prompts[i]);
    r.options.max_new_tokens = i == 4 ? 3 : max_new_tokens;
    r.options.do_sample = i % 3 != 2;
    r.options.seed = 5;
    r.options.sequence = i;
    r.options.eos_token_ids = {40, 41, 7};
    r.options.repetition_penalty = 1.2;
  }
  requests[6].options.max_new_tokens = 0;
  return requests;
}

template <class M>
std::vector<std::vector<int>> one_by_one(M& model, const std::vector<GenerationRequest>& requests) {
  std::vector<std::vector<int>> tokens;
  for (const GenerationRequest& r : requests) tokens.push_back(generate(model, r.prompt, r.options).tokens);
  return tokens;
}

}  // namespace

TEST_CASE_TEMPLATE("a batch gives each text the tokens that it gets alone", M, CpuModel, ReferenceModel) {
  for (const Config& config : variants())
    for (const int chunk : {2, 512}) {
      M model = random_model<M>(config);
      std::vector<GenerationRequest> requests = mixed_requests(12);
      for (GenerationRequest& r : requests) r.options.prefill_chunk = chunk;
      const auto expected = one_by_one(model, requests);
      for (const int batch_size : {1, 2, 3, 7, 100}) {
        const auto results = generate_batch(model, requests, batch_size);
        REQUIRE(results.size() == expected.size());
        for (std::size_t i = 0; i < results.size(); ++i) {
          INFO("batch size " << batch_size << ", text " << i);
          CHECK(results[i].tokens == expected[i]);
        }
        CHECK(results[1].cached_tokens == (batch_size > 1 ? 7 : 0));
      }
    }
}

TEST_CASE("a long prompt leaves shorter ones their max_new_tokens") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  std::vector<GenerationRequest> requests{{{1, 2, 3}, greedy(30)},
                                          {std::vector<int>(36, 4), greedy(30)},
                                          {std::vector<int>(36, 4), greedy(30)},
                                          {{1, 2}, greedy(1000)}};
  const auto results = generate_batch(model, requests, 4);
  const auto expected = one_by_one(model, requests);
  for (std::size_t i = 0; i < results.size(); ++i) CHECK(results[i].tokens == expected[i]);
  CHECK(results[0].tokens.size() == 30);
  CHECK(results[0].stop == StopReason::max_new_tokens);
  CHECK(results[1].tokens.size() == 4);
  CHECK(results[1].stop == StopReason::n_positions);
  CHECK(results[2].cached_tokens == 36);
  CHECK(results[3].tokens.size() == 38);
}

TEST_CASE("callbacks for tokens and ends come in order of time, and can stop one text") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  std::vector<GenerationRequest> requests(3, {{1, 2, 3}, greedy(4)});
  requests[2].options.max_new_tokens = 2;
  std::string told;
  std::size_t second = 0;
  generate_batch(
      model, requests, 3,
      [&](std::size_t i, int) {
        told += std::to_string(i);
        return i != 1 || ++second < 3;
      },
      [&](std::size_t i, const GenerationResult& result) {
        told += "abc"[i];
        CHECK(result.tokens.size() == std::vector<std::size_t>{4, 3, 2}[i]);
        CHECK((result.stop == StopReason::callback) == (i == 1));
      });
  CHECK(told == "012012c01b0a");
}

TEST_CASE("a batch is checked before its first token") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  int tokens = 0;
  const auto run = [&](std::vector<GenerationRequest> requests, int batch_size = 2) {
    generate_batch(
        model, requests, batch_size, [&](std::size_t, int) { return ++tokens > 0; },
        [](std::size_t, const GenerationResult&) {});
  };
  run({});
  const GenerationRequest good{{1}, greedy(2)};
  CHECK_THROWS_WITH_AS(run({good, good, good, {std::vector<int>(41, 1), greedy(2)}}),
                       "the prompt has 41 tokens, more than the model's n_positions 40: shorten it", Error);
  CHECK_THROWS_AS(run({good, {{}, greedy(2)}}), Error);
  GenerationRequest bad = good;
  bad.options.repetition_penalty = 0;
  CHECK_THROWS_AS(run({good, bad}), Error);
  CHECK_THROWS_WITH_AS(run({good}, 0), "batch_size is 0, it must be positive", Error);
  CHECK(tokens == 0);
}
