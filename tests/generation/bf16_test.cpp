#include <cmath>
#include <span>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/generation/cached_model.hpp"
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
