#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"

// Tensors of the architecture gemma2 in GGUF files, and this library's names for them. Sources: llama.cpp's
// gguf-py/gguf/tensor_mapping.py and src/models/gemma2.cpp.
namespace moderngpt2::detail {

/// Treatment of a tensor: norm weights are stored as w + 1; the query scale is folded into q_proj and its bias.
enum class GgufRole : unsigned char { matrix, norm, bias, query, query_bias, output_bias };

/// Tensor of a model under both names. `shape`: [out, in] or [channels].
struct GgufTensorName {
  std::string name;       ///< this library's, such as transformer.h.0.attn.q_proj.weight
  std::string gguf_name;  ///< in the file, such as blk.0.attn_q.weight
  std::vector<std::int64_t> shape;
  GgufRole role = GgufRole::matrix;
  std::int64_t first = 0;  ///< norm, query, query_bias: elements of the same kind in the tensors before
};

/// All tensors of a language model with a tied head, in the order in which they are written.
inline std::vector<GgufTensorName> gguf_tensor_names(const Config& c) {
  std::vector<GgufTensorName> list;
  std::int64_t norms = 0, queries = 0;
  const auto add = [&](std::string name, std::string gguf_name, std::vector<std::int64_t> shape, GgufRole role) {
    const bool is_query = role == GgufRole::query || role == GgufRole::query_bias;
    std::int64_t& count = is_query ? queries : norms;
    const std::int64_t first = is_query || role == GgufRole::norm ? count : 0;
    if (is_query || role == GgufRole::norm) count += shape[0] * (shape.size() == 2 ? shape[1] : 1);
    list.push_back({std::move(name), std::move(gguf_name), std::move(shape), role, first});
  };
  using Role = GgufRole;
  add("transformer.wte.weight", "token_embd.weight", {c.vocab_size, c.n_embd}, Role::matrix);
  for (int i = 0; i < c.n_layer; ++i) {
    const std::string ours = "transformer.h." + std::to_string(i) + ".", theirs = "blk." + std::to_string(i) + ".";
    const auto linear = [&](const char* name, const char* gguf_name, int out, int in, Role role, Role bias) {
      add(ours + name + ".weight", theirs + gguf_name + ".weight", {out, in}, role);
      if (c.attention_bias && bias != Role::matrix)
        add(ours + name + ".bias", theirs + gguf_name + ".bias", {out}, bias);
    };
    const auto norm = [&](const char* name, const char* gguf_name) {
      add(ours + name + ".weight", theirs + gguf_name + ".weight", {c.n_embd}, Role::norm);
    };
    norm("input_layernorm", "attn_norm");
    linear("attn.q_proj", "attn_q", c.query_width(), c.n_embd, Role::query, Role::query_bias);
    linear("attn.k_proj", "attn_k", c.kv_width(), c.n_embd, Role::matrix, Role::bias);
    linear("attn.v_proj", "attn_v", c.kv_width(), c.n_embd, Role::matrix, Role::bias);
    linear("attn.o_proj", "attn_output", c.n_embd, c.query_width(), Role::matrix, Role::output_bias);
    norm("post_attention_layernorm", "post_attention_norm");
    norm("pre_feedforward_layernorm", "ffn_norm");
    linear("mlp.gate_proj", "ffn_gate", c.n_inner, c.n_embd, Role::matrix, Role::matrix);
    linear("mlp.up_proj", "ffn_up", c.n_inner, c.n_embd, Role::matrix, Role::matrix);
    linear("mlp.down_proj", "ffn_down", c.n_embd, c.n_inner, Role::matrix, Role::matrix);
    norm("post_feedforward_layernorm", "post_ffw_norm");
  }
  add("transformer.ln_f.weight", "output_norm.weight", {c.n_embd}, Role::norm);
  return list;
}

}  // namespace moderngpt2::detail
