#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "consumers/foreign_layers/layers.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/model/heads.hpp"

using namespace moderngpt2;

namespace {

/// Attention whose keys are wider than those of the config: every query head has a key head of its own.
struct WideAttention : foreign::SlidingWindowAttention {
  static constexpr const char* name = "wide";
  static constexpr std::array fields{LayerField{"window", 5}};

  constexpr explicit WideAttention(const Config& c) : SlidingWindowAttention(without_groups(c)) {}

 private:
  static constexpr Config without_groups(Config c) {
    const double window = c.blocks.attention.get<WideAttention>("window");
    c.n_kv_head = c.n_head;
    c.blocks.attention = {};
    c.blocks.attention.set("window", window);
    return c;
  }
};

}  // namespace

TEST_CASE("the KV cache has the width of the user's attention") {
  Config c = size_config(3, 16, 4, 31);
  c.n_kv_head = 1, c.n_positions = 40;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  CausalLM<any_shape, cpu::Backend, Fp32, Blocks<WideAttention>> model(c);
  model.initialize(3);
  CHECK(model.layers().cache_width() == 16);
  CHECK(model.config().kv_width() == 4);
  std::vector<int> ids{1, 2, 3, 4, 5, 6, 7};
  const std::vector<int> got =
      generate(model, ids, {.max_new_tokens = 20, .do_sample = false, .prefill_chunk = 3}).tokens;
  REQUIRE(got.size() == 20);
  auto work = model.workspace(1, c.n_positions, Mode::infer);
  std::vector<float> logits(std::size_t(c.vocab_size));
  for (const int token : got) {
    const int n = int(ids.size());
    const Rows<float> hidden = model.forward(work, ids.data(), {.batch = 1, .time = n});
    model.logits(Rows<float>(logits.data(), 1, c.vocab_size), Rows<const float>(hidden.slice(n - 1, 1)));
    CHECK(std::max_element(logits.begin(), logits.end()) - logits.begin() == token);
    ids.push_back(token);
  }
}
