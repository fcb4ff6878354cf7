#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/batch.hpp"
#include "moderngpt2/generation/batch_generator.hpp"
#include "moderngpt2/generation/beam_search.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

GenerationOptions stopping_at(std::vector<std::string> strings) {
  GenerationOptions o = greedy(12);
  o.stop_strings = std::move(strings);
  o.token_text = [](int id) {
    return std::vector<std::string>{"", "s", "to", "pper", "las", "stop", " ", "top"}.at(std::size_t(id));
  };
  return o;
}

bool stops(const std::vector<int>& text, std::vector<std::string> strings) {
  return moderngpt2::detail::StopRules(stopping_at(std::move(strings))).has_stop_string(text);
}

}  // namespace

// The examples of StopStringCriteria in Transformers.
TEST_CASE("a stop string ends a text if it overlaps the last token") {
  CHECK(stops({1, 2, 3}, {"stop"}));
  CHECK(stops({5}, {"stop"}));
  CHECK(stops({4, 7}, {"stop"}));
  CHECK(!stops({4, 7, 3}, {"stop"}));
  CHECK(stops({1, 7}, {"x", "stop"}));
  CHECK(!stops({5, 6}, {"stop"}));
  CHECK(!stops({1, 2}, {"stop"}));
  CHECK(!stops({}, {"stop"}));
  CHECK(!stops({5, 0}, {"stop"}));
  CHECK(!stops({5}, {}));
  CHECK(stops({6, 5, 6}, {"p "}));
}

TEST_CASE("stop strings and max_time end completions, one by one, in batches and in beams") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<int> prompt{3, 1, 4};
  GenerationOptions o = greedy(12);
  const std::vector<int> all = generate(model, prompt, o).tokens;
  REQUIRE(all.size() == 12);
  o.token_text = [](int id) { return "<" + std::to_string(id) + ">"; };
  o.stop_strings = {o.token_text(all[3]) + o.token_text(all[4])};
  std::size_t length = 1;  // the tokens may repeat
  while (all[length - 1] != all[3] || all[length] != all[4]) ++length;
  const std::vector<int> expected(all.begin(), all.begin() + std::ptrdiff_t(length) + 1);
  const GenerationResult alone = generate(model, prompt, o);
  CHECK(alone.tokens == expected);
  CHECK(alone.stop == StopReason::stop_string);
  const std::vector<GenerationRequest> requests{{prompt, o}, {prompt, greedy(12)}};
  const std::vector<GenerationResult> batch = generate_batch(model, requests, 2);
  CHECK(batch[0].tokens == expected);
  CHECK(batch[1].tokens == all);

  GenerationOptions beams = greedy(12);
  beams.num_beams = 2;
  const std::vector<int> best = beam_search(model, prompt, beams)[0].tokens;
  beams.token_text = o.token_text, beams.stop_strings = {o.token_text(best[2])};
  beams.early_stopping = EarlyStopping::at_once;
  for (const GenerationResult& result : beam_search(model, prompt, beams, 2)) {
    CHECK((result.stop == StopReason::stop_string) == (!result.tokens.empty() && result.tokens.back() == best[2]));
  }

  o.stop_strings.clear(), o.max_time = 0;
  const GenerationResult late = generate(model, prompt, o);
  CHECK(late.tokens.size() == 1);  // as in Transformers, the first token is generated
  CHECK(late.stop == StopReason::max_time);
  beams.stop_strings.clear(), beams.max_time = 0;
  CHECK(beam_search(model, prompt, beams)[0].stop == StopReason::max_time);

  o.stop_strings = {"x"}, o.token_text = nullptr;
  CHECK_THROWS_WITH_AS(generate(model, prompt, o),
                       "stop_strings need the text of tokens: set token_text to token_bytes(tokenizer)", Error);
}

TEST_CASE("a request that is cancelled by the callback of its last token ends as cancelled") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  BatchGenerator<CpuModel> texts(model, {.slots = 1});
  int tokens = 0;
  bool cancelled = false;
  StopReason reason = StopReason::eos;
  texts.add({{3, 1}, greedy(2)}, {.on_token =
                                      [&](RequestId id, int) {
                                        if (++tokens == 2) cancelled = texts.cancel(id);
                                        return true;
                                      },
                                  .on_done = [&](RequestId, const GenerationResult& r) { reason = r.stop; }});
  while (texts.step()) {
  }
  CHECK(cancelled);
  CHECK(reason == StopReason::cancelled);
}

TEST_CASE("beam sampling draws continuations without replacement") {
  Config config = tiny_config();
  config.vocab_size = 6, config.n_kv_head = 2;
  CpuModel model(config, cpu::Backend(1));
  model.initialize(7);
  const std::vector<int> prompt{5, 0, 3, 3};
  const auto logits = logits_after(model, prompt);
  std::vector<double> p;
  double total = 0;
  for (const float x : logits) total += p.emplace_back(std::exp(double(x) / 4));
  for (double& x : p) x /= total;
  // Probability of each pair of the two likeliest of four tokens drawn one after another.
  std::vector<double> expected(36);
  std::vector<int> drawn;
  const std::function<void(double, double)> draw = [&](double so_far, double left) {
    if (drawn.size() == 4) {
      std::vector<int> order = drawn;
      std::ranges::sort(order, [&](int a, int b) { return p[std::size_t(a)] > p[std::size_t(b)]; });
      expected[std::size_t(order[0] * 6 + order[1])] += so_far;
      return;
    }
    for (int token = 0; token < 6; ++token) {
      if (std::ranges::find(drawn, token) != drawn.end()) continue;
      drawn.push_back(token);
      draw(so_far * p[std::size_t(token)] / left, left - p[std::size_t(token)]);
      drawn.pop_back();
    }
  };
  draw(1, 1);
  constexpr int draws = 4000;
  std::vector<int> counts(36);
  GenerationOptions o;
  o.num_beams = 2, o.max_new_tokens = 1, o.temperature = 4, o.top_k = 0, o.top_p = 1;
  for (int i = 0; i < draws; ++i) {
    o.sequence = std::uint64_t(i);
    const auto results = beam_sample(model, prompt, o, 2);
    ++counts[std::size_t(results.at(0).tokens.at(0) * 6 + results.at(1).tokens.at(0))];
  }
  double statistic = 0;
  int cells = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double mean = expected[i] * draws;
    if (mean == 0) CHECK(counts[i] == 0);
    if (mean < 5) continue;
    statistic += (counts[i] - mean) * (counts[i] - mean) / mean, ++cells;
  }
  REQUIRE(cells >= 3);
  CHECK(statistic < cells + 4 * std::sqrt(2.0 * cells) + 4);
  const auto same = beam_sample(model, prompt, o, 2);
  CHECK(same[0].tokens == beam_sample(model, prompt, o, 2)[0].tokens);
  o.temperature = 0;
  CHECK_THROWS_AS(beam_sample(model, prompt, o, 2), Error);
}
