#define MODERNGPT2_CASES_ON_CUDA 1

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/check_cuda_case.hpp"
#include "moderngpt2/backend/cuda.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/sampler.hpp"

using namespace moderngpt2;

namespace {

#ifdef MODERNGPT2_SIMT_TSAN
constexpr bool few_cases = true;
#else
constexpr bool few_cases = false;
#endif

/// Each setting alone, and all together; each has a random number of its own.
std::vector<GenerationOptions> sampling_settings() {
  const GenerationOptions plain{.top_k = 0, .top_p = 1};
  std::vector<GenerationOptions> all(16, plain);
  all[0].do_sample = false;
  all[1].temperature = 0.7;
  all[2].top_k = 1;
  all[3].top_k = 5;
  all[4].top_k = 40;
  all[5].top_p = 0.5;
  all[6].top_p = 0.95;
  all[7].top_p = 0;
  all[8].min_p = 0.1;
  all[9].repetition_penalty = 1.3;
  all[10].no_repeat_ngram_size = 2;
  all[11].min_new_tokens = 9;
  all[12].top_p = 0.999999, all[12].temperature = 3;
  all[13].do_sample = false, all[13].repetition_penalty = 0.5;
  all[14] = {
      .min_new_tokens = 9, .temperature = 0.8, .top_k = 50, .top_p = 0.9, .min_p = 0.01, .repetition_penalty = 1.1};
  all[15] = all[14];
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].seed = 5, all[i].sequence = i;
    all[i].eos_token_ids = {1, 100'000};
  }
  return all;
}

struct Chosen {
  std::vector<int> tokens;
  std::vector<float> logits;  // afterwards
};

Chosen choose_on_gpu(std::vector<float> logits, int width, std::span<const TokenChoice> choices) {
  cuda::Backend b;
  const int n = int(choices.size());
  const int stride = int(logits.size()) / n;
  const cuda::DeviceArray<float> there(std::int64_t(logits.size()));
  cuda::copy(b.stream(), there.data(), static_cast<const float*>(logits.data()), there.size());
  Chosen chosen{std::vector<int>(std::size_t(n)), std::move(logits)};
  std::vector<int> rows(choices.size());
  std::iota(rows.rbegin(), rows.rend(), 0);  // the last row by the first choice
  choose_tokens(b, chosen.tokens, Rows<float>(there.data(), n, width, stride), rows, choices);
  cuda::copy(b.stream(), chosen.logits.data(), static_cast<const float*>(there.data()), there.size());
  b.synchronize();
  return chosen;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(
      a, b, {}, [](float x) { return std::bit_cast<std::uint32_t>(x); },
      [](float x) { return std::bit_cast<std::uint32_t>(x); });
}

}  // namespace

TEST_CASE("tokens chosen on the GPU, and the remaining logits, equal those of the sampler") {
  std::vector<GenerationOptions> settings = sampling_settings();
  if (few_cases) settings.erase(settings.begin() + 5, settings.end() - 1);
  struct Spread {
    double deviation;
    bool ties;
  };
  for (const int width : few_cases ? std::vector{40} : std::vector{2, 3, 33, 300, 2100})
    for (const Spread& spread :
         few_cases ? std::vector<Spread>{{3, true}} : std::vector<Spread>{{0.5, false}, {3, true}, {20, false}}) {
      CAPTURE(width);
      CAPTURE(spread.deviation);
      CAPTURE(spread.ties);
      const int stride = width + 1;
      std::vector<float> logits(settings.size() * std::size_t(stride));
      fill_random(logits.data(), std::int64_t(logits.size()), std::uint64_t(width), spread.deviation);
      if (spread.ties)
        for (float& x : logits) x = std::round(x);  // some of the zeros negative
      std::vector<int> text;
      for (int i = 0; i < 12; ++i) text.push_back((i % 5 * 7 + i / 5) % width);
      text.insert(text.end(), text.begin(), text.begin() + 6);

      Chosen want{{}, logits};
      std::vector<TokenChoice> choices;
      std::vector<std::unique_ptr<Sampler<float>>> samplers;
      for (std::size_t i = 0; i < settings.size(); ++i) {
        samplers.push_back(std::make_unique<Sampler<float>>(settings[i], width));
        const std::size_t row = settings.size() - 1 - i;
        const std::span<float> here(want.logits.data() + row * std::size_t(stride), std::size_t(width));
        want.tokens.push_back(samplers.back()->choose(here, text, 3));
        choices.push_back(samplers.back()->describe(text, 3));
      }
      for (const std::uint64_t schedule : test::schedules) {
        test::use_schedule(schedule);
        const Chosen got = choose_on_gpu(logits, width, choices);
        CHECK(got.tokens == want.tokens);
        CHECK(same_bits(got.logits, want.logits));
      }
    }
}

TEST_CASE("distribution of draws on the GPU equals that of the sampler") {
  if (few_cases) return;
  const int width = 30, n = 400;
  std::vector<float> row(width), logits, changed(width);
  fill_random(row.data(), width, 3, 2.0);
  std::vector<int> want;
  std::vector<TokenChoice> choices;
  for (int i = 0; i < n; ++i) {
    logits.insert(logits.end(), row.begin(), row.end());
    changed = row;
    Sampler<float> sampler({.top_k = 20, .top_p = 0.9, .seed = 1, .sequence = std::uint64_t(i)}, width);
    want.push_back(sampler.choose(changed, {}, 0));
    choices.push_back(sampler.describe({}, 0));
  }
  CHECK(choose_on_gpu(logits, width, choices).tokens == want);
}

TEST_CASE("codes for NaN logits and for no permitted token") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const std::vector<int> both{0, 1};
  const TokenChoice plain{.uniform = 0.5}, greedy{.do_sample = false}, none{.uniform = 0.5, .removed = both};
  const auto choose = [](float a, float b, const TokenChoice& c) {
    return choose_on_gpu({a, b}, 2, {&c, 1}).tokens[0];
  };
  for (const TokenChoice& c : {plain, greedy, none}) {
    CHECK(choose(1, std::nanf(""), c) == not_finite_token);
    CHECK(choose(infinity, 1, c) == not_finite_token);
  }
  CHECK(choose(1, 2, none) == no_token);
  CHECK(choose(-infinity, -infinity, greedy) == no_token);
  CHECK(choose(-infinity, 1, plain) == 1);
  CHECK(choose(1e38f, -1e38f, plain) == 0);
}
