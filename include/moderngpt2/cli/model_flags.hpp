#pragma once

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/run/model_settings.hpp"

namespace moderngpt2 {

/// Adds the fields of config.json as flags, which outrank config file and size.
inline void add_model_flags(Options& options, ModelFields& fields) {
  options.section("Model fields, which outrank --config_file and --model_size_name");
  options.add("n_positions", fields.n_positions, "longest sequence").at_least(1);
  options.add("n_embd", fields.n_embd, "width of the model").at_least(1);
  options.add("n_layer", fields.n_layer, "number of blocks").at_least(1);
  options.add("n_head", fields.n_head, "query heads").at_least(1);
  options.add("num_key_value_heads", fields.num_key_value_heads, "key and value heads")
      .at_least(1)
      .default_text("n_head");
  options.add("head_dim", fields.head_dim, "width of a head").at_least(2).default_text("n_embd / n_head");
  options.add("intermediate_size", fields.intermediate_size, "width of the MLP").at_least(1).default_text("4 n_embd");
  options.add("activation_function", fields.activation_function, "of the gated MLP").default_text("gelu_pytorch_tanh");
  options.add("attention_bias", fields.attention_bias, "biases in q, k, v and o").negatable();
  options.add("tie_word_embeddings", fields.tie_word_embeddings, "the head is the embedding").negatable();
  options.add("attn_logit_softcapping", fields.attn_logit_softcapping, "cap of the attention scores; 0: none")
      .at_least(0);
  options.add("final_logit_softcapping", fields.final_logit_softcapping, "cap of the logits; 0: none").at_least(0);
  options.add("query_pre_attn_scalar", fields.query_pre_attn_scalar, "multiplier of the queries")
      .default_text("head_dim^-0.5");
  options.add("rms_norm_eps", fields.rms_norm_eps, "added to the mean square");
  options.add("rope_theta", fields.rope_theta, "base of the rotary angles");
  options.add("rope_scaling_factor", fields.rope_scaling_factor, "positions are divided by it");
  options.add("initializer_range", fields.initializer_range, "deviation of new weights");
  options.add("resid_pdrop", fields.resid_pdrop, "dropout of the half blocks' outputs");
  options.add("embd_pdrop", fields.embd_pdrop, "dropout of the embedding");
  options.add("attn_pdrop", fields.attn_pdrop, "dropout of the attention probabilities");
}

}  // namespace moderngpt2
