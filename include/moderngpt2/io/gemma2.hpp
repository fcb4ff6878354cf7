#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Translates this library's name of a tensor to Gemma 2's, such as "model.layers.0.self_attn.q_proj.weight". Heads
/// have equal names, except the token classifier, which Gemma 2 names score.
inline std::string gemma2_name(std::string_view name) {
  constexpr std::string_view block = "transformer.h.";
  if (name == "transformer.wte.weight") return "model.embed_tokens.weight";
  if (name == "transformer.ln_f.weight") return "model.norm.weight";
  if (name.starts_with("classifier."))
    return "score." + std::string(name.substr(std::string_view("classifier.").size()));
  if (!name.starts_with(block)) return std::string(name);
  std::string out = "model.layers." + std::string(name.substr(block.size()));
  if (const std::size_t attention = out.find(".attn."); attention != out.npos) out.replace(attention, 6, ".self_attn.");
  return out;
}

/// Translates a gemma2 config.json to this library's fields. Missing fields take Gemma 2's defaults, which differ from
/// ours. Throws Error for features that this model does not compute, such as bidirectional attention.
/// Source: configuration_gemma2.py of Transformers.
inline Json config_from_gemma2(const Json& gemma, const std::string& where) {
  const detail::ConfigFields fields(gemma, where);
  auto field = [&](std::string_view name, Json otherwise) {
    const Json* value = fields.find(name);
    return value ? *value : otherwise;
  };

  if (const Json both = field("use_bidirectional_attention", nullptr); !both.is_null() && both != false)
    throw Error("{}: use_bidirectional_attention is not supported", where);

  // Transformers reads hidden_activation only and ignores hidden_act.
  if (!fields.find("hidden_activation") && fields.find("hidden_act") && fields.activation() != Activation::gelu_tanh)
    throw Error("{}: hidden_act without hidden_activation has no effect in a gemma2 file, use hidden_activation",
                where);

  Json out = gemma;
  out["model_type"] = "moderngpt2";
  out.erase("moderngpt2");  // config of an exported model, see gemma2_restore.hpp
  const Json architectures = field("architectures", nullptr);
  if (architectures.is_array() && !architectures.empty()) {
    const auto name = json_as<std::string>(architectures[0], "architectures", where);
    if (name == "Gemma2ForCausalLM")
      out["architectures"] = {"ModernGPT2LMHeadModel"};
    else if (name == "Gemma2ForSequenceClassification")
      out["architectures"] = {"ModernGPT2ForSequenceClassification"};
    else if (name == "Gemma2ForTokenClassification")
      out["architectures"] = {"ModernGPT2ForTokenClassification"};
    else
      throw Error("{}: architecture {} is not supported", where, excerpt(name));
  }
  auto set_default = [&](const char* name, const char* alias, Json value) {
    if (!out.contains(name) && !out.contains(alias)) out[name] = std::move(value);
  };
  set_default("vocab_size", "", 256000);
  set_default("n_embd", "hidden_size", 2304);
  set_default("n_layer", "num_hidden_layers", 26);
  set_default("n_head", "num_attention_heads", 8);
  set_default("num_key_value_heads", "", 4);
  set_default("head_dim", "", 256);
  set_default("intermediate_size", "n_inner", 9216);
  set_default("n_positions", "max_position_embeddings", 8192);
  set_default("final_logit_softcapping", "", 30.0);
  set_default("attn_logit_softcapping", "", 50.0);
  set_default("sliding_window", "", 4096);  // without layer_types, layers 0, 2, 4, ... slide, as in our files
  set_default("pad_token_id", "", 0);
  set_default("eos_token_id", "", 1);
  set_default("bos_token_id", "", 2);
  out["attn_pdrop"] = field("attention_dropout", 0.0);
  out["resid_pdrop"] = 0.0;
  out["embd_pdrop"] = 0.0;

  // Gemma 2 multiplies scores by query_pre_attn_scalar^-0.5 and ours by query_pre_attn_scalar; the default is
  // head_dim^-0.5.
  const double scalar = fields.number("query_pre_attn_scalar", 256.0);
  if (!(scalar > 0)) throw Error("{}: query_pre_attn_scalar is {}, it must be positive", where, scalar);
  const int head_dim = detail::ConfigFields(out, where).size("head_dim", 256);
  out["query_pre_attn_scalar"] = scalar == head_dim ? Json(nullptr) : Json(1.0 / std::sqrt(scalar));
  for (const char* name :
       {"sliding_window_size", "attention_dropout", "use_bidirectional_attention", "cache_implementation"})
    out.erase(name);
  return out;
}

}  // namespace moderngpt2
