/// Sampling through a model with its cache, against probabilities of whole texts that are computed without one.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/batch.hpp"
#include "moderngpt2/generation/generator.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

namespace {

constexpr int vocabulary = 6, new_tokens = 3;
constexpr int draws = 20'000;
const std::vector<int> sampled_prompt{5, 0, 3, 3};

GenerationOptions sampled() {
  GenerationOptions o;
  o.max_new_tokens = new_tokens;
  o.temperature = 1.3;
  o.top_k = 5;
  o.top_p = 1;
  o.seed = 3;
  return o;
}

/// Probabilities of the next token by the settings above.
template <class M>
std::vector<double> next_token(M& model, const std::vector<int>& ids) {
  const auto logits = logits_after(model, ids);
  const double least = double(*std::min_element(logits.begin(), logits.end()));
  std::vector<double> p;
  double sum = 0;
  for (const auto logit : logits) {
    p.push_back(double(logit) == least ? 0 : std::exp(double(logit) / 1.3));  // top_k leaves out one of six
    sum += p.back();
  }
  for (double& one : p) one /= sum;
  return p;
}

/// Probabilities of all continuations; the `forgotten` new tokens before the last are ignored.
template <class M>
std::vector<double> continuations(M& model, int forgotten = 0) {
  std::vector<double> all;
  const std::function<void(const std::vector<int>&, double)> follow = [&](const std::vector<int>& tokens,
                                                                          double so_far) {
    if (tokens.size() == new_tokens) return all.push_back(so_far);
    std::vector<int> ids = sampled_prompt;
    const auto seen = tokens.begin() + std::min<std::ptrdiff_t>(forgotten, std::ptrdiff_t(tokens.size()));
    ids.insert(ids.end(), seen, tokens.end());
    const std::vector<double> p = next_token(model, ids);
    for (int token = 0; token < vocabulary; ++token) {
      std::vector<int> longer = tokens;
      longer.push_back(token);
      follow(longer, so_far * p[std::size_t(token)]);
    }
  };
  follow({}, 1);
  return all;
}

std::size_t place(const std::vector<int>& tokens) {
  std::size_t at = 0;
  for (const int token : tokens) at = at * vocabulary + std::size_t(token);
  return at;
}

/// How many deviations Pearson's statistic lies above its mean, by Wilson and Hilferty (1931); above 3.1 once in 1000.
/// Rare texts count together.
double excess(const std::vector<int>& counts, const std::vector<double>& expected) {
  double statistic = 0, rare = 0;
  int rare_count = 0, cells = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double mean = expected[i] * draws;
    if (mean == 0 && counts[i] > 0) return 1e9;
    if (mean < 5) {
      rare += mean, rare_count += counts[i];
      continue;
    }
    statistic += (counts[i] - mean) * (counts[i] - mean) / mean;
    ++cells;
  }
  if (rare > 0) statistic += (rare_count - rare) * (rare_count - rare) / rare, ++cells;
  const double k = cells - 1, spread = 2 / (9 * k);
  return (std::cbrt(statistic / k) - (1 - spread)) / std::sqrt(spread);
}

}  // namespace

TEST_CASE("sampled texts follow the model's distribution, one by one and in batches") {
  Config config = tiny_config();
  config.vocab_size = vocabulary;
  config.n_kv_head = 2;
  CpuModel model(config, cpu::Backend(1));
  model.initialize(7);
  const std::vector<double> expected = continuations(model), forgetful = continuations(model, 1);
  REQUIRE(expected.size() == std::size_t(vocabulary * vocabulary * vocabulary));

  std::vector<int> alone(expected.size()), batched(expected.size());
  Generator<CpuModel> generator(model, int(sampled_prompt.size()) + new_tokens);
  std::vector<GenerationRequest> requests;
  for (int i = 0; i < draws; ++i) {
    GenerationOptions o = sampled();
    o.sequence = std::uint64_t(i);
    ++alone[place(generator.generate(sampled_prompt, o, [](int) { return true; }).tokens)];
    o.seed = 4;
    requests.push_back({sampled_prompt, o});
  }
  for (const GenerationResult& result : generate_batch(model, requests, 16)) ++batched[place(result.tokens)];
  for (const std::vector<int>& counts : {alone, batched}) {
    CHECK(excess(counts, expected) < 3.1);
    CHECK(excess(counts, forgetful) > 10);  // the distribution of a cache that lost a column
  }
  CHECK(alone != batched);
}
