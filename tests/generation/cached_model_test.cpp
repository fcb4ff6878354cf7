#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/cached_model.hpp"
#include "moderngpt2/generation/kv_cache.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"
#include "tiny_model.hpp"

using namespace moderngpt2;
using namespace moderngpt2::test;

TEST_CASE("keys and values in bf16: logits are those without a cache, by any chunks, and close to fp32's") {
  const std::vector<int> ids{5, 60, 0, 17, 17, 33, 2, 8, 41, 3};
  for (const Config& config : variants()) {
    CausalLMInBf16 model(config);
    CpuModel full(config);
    model.initialize(7);
    full.initialize(7);
    const std::vector<float> exact = logits_after(full, ids), whole = logits_after(model, ids);
    const auto n = std::int64_t(whole.size());
    CHECK(compare_values(whole.data(), exact.data(), n).relative_max < 3e-2);
    for (const int chunk : {1, 3, 10}) {
      CachedModel<CausalLMInBf16> cached(model, 2, 20, chunk);
      CHECK(cached.cache().bytes() <=
            std::size_t(2 * 2 * 20 * config.n_layer * config.kv_width()) * sizeof(bf16) + 512);
      cached.prefill(0, std::span(ids).first(8), 0);
      cached.copy(0, 1, 0, 8, true);
      cached.step(std::vector<int>{ids[8], ids[8]}, 8);
      cached.step(std::vector<int>{ids[9], ids[9]}, 9);
      for (const int row : {0, 1})
        CHECK(compare_values(cached.logits(row).data(), whole.data(), n).relative_max < 2e-2);
    }
  }
}

TEST_CASE_TEMPLATE("rows of unequal lengths have the logits that each has alone", M, CpuModel, ReferenceModel,
                   CausalLMInBf16) {
  constexpr double tolerance = std::is_same_v<typename M::T, bf16> ? 2e-2 : 1e-5;
  const std::vector<std::vector<int>> texts{{5, 60, 0, 17}, {9, 1}, {17, 33, 2, 8, 41, 3, 3, 3, 12}, {7, 7, 6}};
  for (const Config& config : variants()) {
    M model = random_model<M>(config);
    CachedModel<M> cached(model, int(texts.size()), 20, 4);
    std::vector<int> next, pasts;
    for (std::size_t row = 0; row < texts.size(); ++row) {
      cached.prefill(int(row), std::span(texts[row]).first(texts[row].size() - 1), 0, 0, false);
      next.push_back(texts[row].back()), pasts.push_back(int(texts[row].size()) - 1);
    }
    cached.step(next, pasts);
    for (std::size_t row = 0; row < texts.size(); ++row) {
      const auto alone = logits_after(model, texts[row]);
      CHECK(compare_values(cached.logits(int(row)).data(), alone.data(), std::int64_t(alone.size())).relative_max <
            tolerance);
    }
    // Equal lengths: the bits of a pass with one length for all.
    CachedModel<M> same(model, 2, 20, 4), each(model, 2, 20, 4);
    for (auto* rows : {&same, &each})
      for (const int row : {0, 1}) rows->prefill(row, std::span(texts[2]).subspan(std::size_t(row), 3), 0);
    same.step(std::vector<int>{4, 5}, 3);
    each.step(std::vector<int>{4, 5}, std::vector<int>{3, 3});
    for (const int row : {0, 1}) CHECK(std::ranges::equal(same.logits(row), each.logits(row)));
    CHECK_THROWS_AS(each.step(std::vector<int>{4, 5}, std::vector<int>{3, -1}), Error);
  }
}

TEST_CASE("lengths of each sequence are for decoding passes with a cache") {
  CpuModel model = random_model<CpuModel>(tiny_config());
  const std::vector<int> ids{1, 2, 3, 4}, pasts{1, 0};
  auto work = model.workspace(2, 2, Mode::infer);
  KvCache<float> cache(model.config().n_layer, 2, 8, model.layers().cache_width());
  Pass<float> pass{.batch = 2, .time = 2, .past = 1, .pasts = pasts.data()};
  CHECK_THROWS_WITH_AS(model.forward(work, ids.data(), pass, cache.views()),
                       "internal: Pass::pasts is for decoding: one token a sequence (here 2), no key mask (here "
                       "false), no training (here false)",
                       Error);
  pass.time = 1;
  CHECK_THROWS_WITH_AS(model.forward(work, ids.data(), pass), "internal: Pass::pasts without a KV cache", Error);
  pass.past = 0;
  CHECK_THROWS_WITH_AS(model.forward(work, ids.data(), pass, cache.views()),
                       "internal: sequence 0 has 1 tokens in the cache, expected 0 to Pass::past 0", Error);
}
