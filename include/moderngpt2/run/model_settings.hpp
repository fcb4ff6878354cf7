#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Fields of config.json as flags: what is given outranks the config file, which outranks the size.
struct ModelFields {
  std::optional<int> n_positions, n_embd, n_layer, n_head, num_key_value_heads, head_dim, intermediate_size;
  std::optional<std::string> activation_function;
  std::optional<bool> attention_bias, tie_word_embeddings;
  std::optional<double> rms_norm_eps, rope_theta, rope_scaling_factor, query_pre_attn_scalar;
  std::optional<double> attn_logit_softcapping, final_logit_softcapping;  ///< 0: none
  std::optional<double> initializer_range, resid_pdrop, embd_pdrop, attn_pdrop;

  /// Writes the given fields into a config.json.
  void apply(Json& json) const {
    auto set = [&](const char* name, const auto& value) {
      if (!value) return;
      for (const auto& [alias, canonical] : detail::config_aliases)
        if (canonical == name) json.erase(std::string(alias));
      json[name] = *value;
    };
    set("n_positions", n_positions);
    set("n_embd", n_embd);
    set("n_layer", n_layer);
    set("n_head", n_head);
    set("num_key_value_heads", num_key_value_heads);
    set("head_dim", head_dim);
    set("intermediate_size", intermediate_size);
    set("activation_function", activation_function);
    set("attention_bias", attention_bias);
    set("tie_word_embeddings", tie_word_embeddings);
    set("rms_norm_eps", rms_norm_eps);
    set("query_pre_attn_scalar", query_pre_attn_scalar);
    set("initializer_range", initializer_range);
    set("resid_pdrop", resid_pdrop);
    set("embd_pdrop", embd_pdrop);
    set("attn_pdrop", attn_pdrop);
    for (const auto& [name, cap] : {std::pair("attn_logit_softcapping", attn_logit_softcapping),
                                    std::pair("final_logit_softcapping", final_logit_softcapping)})
      if (cap) json[name] = *cap == 0 ? Json(nullptr) : Json(*cap);
    if (rope_theta && json.contains("rope_parameters")) json["rope_parameters"].erase("rope_theta");
    set("rope_theta", rope_theta);
    if (!rope_scaling_factor) return;
    json.erase("rope_scaling");
    if (json.contains("rope_parameters"))
      for (const char* key : {"type", "rope_type", "factor"}) json["rope_parameters"].erase(key);
    json["rope_scaling_factor"] = *rope_scaling_factor;
  }
};

/// Where a run's config comes from.
struct ModelSource {
  std::optional<std::filesystem::path> config{};  ///< a config.json or a folder with one; else the size
  std::string size = "small";
  ModelFields fields{};
  std::string_view architecture = architectures[0];  ///< of the model that is trained; it may start from another one
};

/// The config of a run. A new model's vocabulary is the tokenizer's (that of a file stands where it is not smaller),
/// and its positions max(1024, block_size); block_size 0 is not known yet. Special tokens are the tokenizer's. Throws
/// an Error that names the field for whatever does not fit.
ConfigFile resolve_config(const ModelSource& source, const Tokenizer* tokenizer, int block_size);

/// Throws an Error that names the first field in which two models differ, where that makes their weights incompatible
/// or changes what they compute.
void require_same_model(const Config& checkpoint, const Config& wanted, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE ConfigFile resolve_config(const ModelSource& source, const Tokenizer* tokenizer, int block_size) {
  Json json = Json::object();
  std::string where = "model " + source.size, model_type = "moderngpt2";
  if (source.config) {
    const std::filesystem::path file =
        std::filesystem::is_directory(*source.config) ? *source.config / "config.json" : *source.config;
    where = file.string();
    ConfigFile read = parse_config(read_json_file(file), where);
    model_type = read.model_type;
    json = std::move(read.json);
  } else {
    const std::optional<Config> preset = preset_config(source.size);
    if (!preset) throw Error("there is no size {}: known are small, medium, large and xl", source.size);
    json["model_type"] = "moderngpt2";
    json["n_layer"] = preset->n_layer;
    json["n_embd"] = preset->n_embd;
    json["n_head"] = preset->n_head;
    json["n_positions"] = std::max(1024, block_size);
  }
  json["model_type"] = "moderngpt2";
  source.fields.apply(json);
  if (tokenizer && !json.contains("vocab_size")) json["vocab_size"] = tokenizer->vocab_size();
  if (!json.contains("bos_token_id")) json["bos_token_id"] = nullptr;
  ConfigFile file = parse_config(json, where);
  file.model_type = model_type;
  if (source.architecture == architectures[0] && file.architecture != architectures[0])
    throw Error("{}: a {}, which --task trains: the default makes a {}", where, file.architecture, architectures[0]);
  file.architecture = source.architecture;
  Config& c = file.config;
  if (tokenizer) {
    if (c.vocab_size < tokenizer->vocab_size())
      throw Error("{}: vocab_size is {}, the tokenizer has {} ids", where, c.vocab_size, tokenizer->vocab_size());
    c.eos_token_id = tokenizer->eos_id();
    c.pad_token_id = tokenizer->pad_id();
    file.eos_token_ids.clear();
  }
  if (block_size > c.n_positions)
    throw Error("{}: n_positions is {}, shorter than the data's blocks of {} tokens", where, c.n_positions, block_size);
  return file;
}

MODERNGPT2_INLINE void require_same_model(const Config& checkpoint, const Config& wanted, const std::string& where) {
  auto same = [&](const char* field, const auto& a, const auto& b) {
    if (a != b)
      throw Error("{}: {} differs from what this run asks for ({} there): give the run's own flags again", where, field,
                  Json(a).dump());
  };
  auto number = [](const std::optional<double>& value) { return value.value_or(0.0); };
  same("vocab_size", checkpoint.vocab_size, wanted.vocab_size);
  same("n_layer", checkpoint.n_layer, wanted.n_layer);
  same("n_embd", checkpoint.n_embd, wanted.n_embd);
  same("n_head", checkpoint.n_head, wanted.n_head);
  same("num_key_value_heads", checkpoint.n_kv_head, wanted.n_kv_head);
  same("head_dim", checkpoint.head_dim, wanted.head_dim);
  same("intermediate_size", checkpoint.n_inner, wanted.n_inner);
  same("activation_function", std::string(activation_name(checkpoint.activation)),
       std::string(activation_name(wanted.activation)));
  same("attention_bias", checkpoint.attention_bias, wanted.attention_bias);
  same("tie_word_embeddings", checkpoint.tied_head, wanted.tied_head);
  same("rms_norm_eps", checkpoint.rms_norm_eps, wanted.rms_norm_eps);
  same("rope_theta", checkpoint.rope_theta, wanted.rope_theta);
  same("rope_scaling", checkpoint.rope_scaling_factor, wanted.rope_scaling_factor);
  same("query_pre_attn_scalar", checkpoint.query_scale(), wanted.query_scale());
  same("attn_logit_softcapping", number(checkpoint.attn_logit_softcapping), number(wanted.attn_logit_softcapping));
  same("final_logit_softcapping", number(checkpoint.final_logit_softcapping), number(wanted.final_logit_softcapping));
}

}  // namespace moderngpt2

#endif
