#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/logits_processors.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/model/heads.hpp"

namespace moderngpt2::test {

using CpuModel = CausalLM<any_shape>;
using ReferenceModel = CausalLM<any_shape, reference::Backend, Exact<double>>;

inline Config tiny_config() {
  Config c;
  c.vocab_size = 61;
  c.n_positions = 40;
  c.n_embd = 16;
  c.n_layer = 2;
  c.n_head = 4;
  c.n_kv_head = 4;
  c.head_dim = 6;
  c.n_inner = 24;
  c.initializer_range = 0.5;  // clear choices
  return c;
}

/// The tiny model with each feature of the attention that the cache could get wrong.
inline std::vector<Config> variants() {
  std::vector<Config> all(7, tiny_config());
  all[1].attn_logit_softcapping = 2.0, all[1].final_logit_softcapping = 3.0;
  all[2].n_kv_head = 2;
  all[3].n_kv_head = 1, all[3].attention_bias = true;
  all[4].rope_scaling_factor = 2.5, all[4].tied_head = false, all[4].query_pre_attn_scalar = 0.7;
  all[5].sliding_window = 5, all[5].n_kv_head = 2;
  all[6].sliding_window = 3, all[6].attn_logit_softcapping = 2.0;
  all[6].layer_types = LayerTypes(std::array{AttentionType::sliding});
  return all;
}

inline GenerationOptions greedy(int max_new_tokens) {
  GenerationOptions o;
  o.do_sample = false;
  o.max_new_tokens = max_new_tokens;
  return o;
}

/// Weights by a seed, biases and norms too.
template <class M>
M random_model(const Config& config, std::uint64_t seed = 7) {
  M model(config);
  model.initialize(seed);
  for (std::int64_t i = 0; i < model.weights().vectors.size(); ++i)
    model.weights().vectors[i] = typename M::T(0.3 * normal_at(seed, std::uint64_t(i)));
  return model;
}

/// Logits after `ids`, without a cache.
template <class M>
std::vector<typename M::Score> logits_after(M& model, const std::vector<int>& ids) {
  using T = typename M::T;
  using Score = typename M::Score;
  auto work = model.workspace(1, int(ids.size()), Mode::infer);
  Pass<typename M::R> pass{.batch = 1, .time = int(ids.size())};
  const Rows<T> hidden = model.forward(work, ids.data(), pass);
  std::vector<Score> logits(std::size_t(model.config().vocab_size));
  model.logits(Rows<Score>(logits.data(), 1, int(logits.size())), hidden.slice(hidden.count - 1, 1));
  return logits;
}

/// Greedy tokens, without a cache.
template <class M>
std::vector<int> greedy_without_cache(M& model, std::vector<int> ids, int count) {
  std::vector<int> tokens;
  for (int i = 0; i < count; ++i) {
    tokens.push_back(argmax<typename M::T>(logits_after(model, ids)));
    ids.push_back(tokens.back());
  }
  return tokens;
}

}  // namespace moderngpt2::test
