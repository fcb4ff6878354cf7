#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gguf/metadata.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/json.hpp"

// The config of a model as metadata of a GGUF file of the architecture gemma2, whose graph in llama.cpp computes this
// model. Source: src/models/gemma2.cpp of llama.cpp.
namespace moderngpt2 {

namespace detail {

/// Keys of this library, which other programs ignore.
inline constexpr std::string_view gguf_config_key = "moderngpt2.config";         ///< config.json
inline constexpr std::string_view gguf_norms_key = "moderngpt2.norm_weights";    ///< norm weights w, before w + 1
inline constexpr std::string_view gguf_query_key = "moderngpt2.query_rounding";  ///< see tensors.hpp
inline constexpr std::string_view gguf_query_index_key = "moderngpt2.query_exact_index";
inline constexpr std::string_view gguf_query_value_key = "moderngpt2.query_exact_value";

/// Cap that stands for none, as llama.cpp's graph always applies one: c tanh(s/c) is s in float for any score that
/// occurs.
inline constexpr float gguf_no_cap = 1e5f;

/// Multiplier of the queries in llama.cpp's graph: head_dim^-0.5, except for 46 layers, which it takes for Gemma 2 27B.
inline double gguf_query_scale(const Config& c) {
  return 1.0 / std::sqrt(double(c.n_layer == 46 ? c.n_embd / c.n_head : c.head_dim));
}

/// Factor by which q_proj is multiplied in the file; exactly 1 where the scales are equal within rounding.
inline double gguf_query_factor(const Config& c) {
  const double factor = c.query_scale() / gguf_query_scale(c);
  return std::abs(factor - 1) < 1e-7 ? 1.0 : factor;
}

/// Layers whose attention has a sliding window, by the keys of the file.
std::vector<bool> gguf_sliding_layers(const GgufMetadata& metadata, int n_layer);

/// Ids of the tokens that end a text, as llama.cpp finds them: eos_token_id, eot_token_id and usual names.
std::vector<int> gguf_eos_ids(const GgufMetadata& metadata);

}  // namespace detail

/// Metadata of a model's config. Throws Error that begins with `where` and names the field that the architecture gemma2
/// cannot express. The keys of the tokenizer are not among them.
GgufMetadata gguf_from_config(const ConfigFile& file, const std::string& where);

/// Config of a GGUF file. Fields that GGUF does not have are those of the model that was converted by this library,
/// otherwise the defaults of Gemma 2 (no dropout). Throws Error for another architecture, which it names, and for
/// values that are out of range or not supported.
ConfigFile config_from_gguf(const GgufFile& file);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::vector<bool> gguf_sliding_layers(const GgufMetadata& metadata, int n_layer) {
  constexpr std::string_view key = "gemma2.attention.sliding_window_pattern";
  std::vector<bool> layers(static_cast<std::size_t>(n_layer));
  const GgufValue* value = metadata.find(key);
  if (value && value->is_array) {
    const std::vector<int> given = metadata.get_numbers<int>(key);
    if (given.size() != layers.size())
      throw Error("{}: {} lists {} layers, the model has {}", metadata.where(), key, given.size(), n_layer);
    for (std::size_t i = 0; i < layers.size(); ++i) layers[i] = given[i] != 0;
    return layers;
  }
  const auto period = metadata.get<std::uint32_t>(key).value_or(2);
  for (std::size_t i = 0; i < layers.size(); ++i) layers[i] = period == 0 || i % period < period - 1;
  return layers;
}

MODERNGPT2_INLINE std::vector<int> gguf_eos_ids(const GgufMetadata& metadata) {
  std::vector<int> ids;
  const std::vector<std::string>* tokens = metadata.get_texts("tokenizer.ggml.tokens");
  if (!tokens) return ids;
  const auto add = [&](std::uint64_t id) {
    const int given = static_cast<int>(std::min<std::uint64_t>(id, std::numeric_limits<int>::max()));
    if (id < tokens->size() && std::find(ids.begin(), ids.end(), given) == ids.end()) ids.push_back(given);
  };
  if (const auto eos = metadata.get<std::uint32_t>("tokenizer.ggml.eos_token_id"))
    add(*eos);
  else if (metadata.get<std::string>("tokenizer.ggml.model") == "llama")
    add(2);  // llama.cpp's default
  const auto end_of_turn = metadata.get<std::uint32_t>("tokenizer.ggml.eot_token_id");
  if (end_of_turn) add(*end_of_turn);
  const std::vector<int> types = metadata.get_numbers<int>("tokenizer.ggml.token_type");
  for (std::size_t id = 0; !end_of_turn && id < std::min(tokens->size(), types.size()); ++id) {
    const std::string& token = (*tokens)[id];
    constexpr int control = 3;
    if (types[id] == control && (token == "<end_of_turn>" || token == "<|im_end|>" || token == "<|eot_id|>")) add(id);
  }
  return ids;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE GgufMetadata gguf_from_config(const ConfigFile& file, const std::string& where) {
  const Config& c = file.config;
  const auto refuse = [&](std::string_view field, const std::string& value, std::string_view what) {
    throw Error("{}: {} is {}; {}", where, field, value, what);
  };
  if (file.architecture != architectures[0])
    refuse("architectures", file.architecture,
           "llama.cpp's gemma2 has no such head. Convert a ModernGPT2LMHeadModel, or choose another format.");
  if (!c.blocks.is_standard())
    refuse("blocks", "given", "GGUF cannot express a model with layers of its own. Choose the format moderngpt2.");
  if (!c.tied_head)
    refuse("tie_word_embeddings", "false",
           "llama.cpp's gemma2 uses the embedding as output head. Train with tied embeddings, or choose another "
           "format.");
  if (c.activation != Activation::gelu_tanh)
    refuse("activation_function", std::string(activation_name(c.activation)),
           "llama.cpp's gemma2 computes gelu_pytorch_tanh only. Choose another format.");
  GgufMetadata out(where);
  const auto integer = [&](const char* key, int value) {
    out.add(key, GgufValue::number(static_cast<std::uint32_t>(value)));
  };
  const auto real = [&](const char* key, double value) { out.add(key, GgufValue::number(static_cast<float>(value))); };
  out.add("general.architecture", GgufValue::text("gemma2"));
  integer("gemma2.context_length", c.n_positions);
  integer("gemma2.embedding_length", c.n_embd);
  integer("gemma2.block_count", c.n_layer);
  integer("gemma2.feed_forward_length", c.n_inner);
  integer("gemma2.attention.head_count", c.n_head);
  integer("gemma2.attention.head_count_kv", c.n_kv_head);
  real("gemma2.attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  integer("gemma2.attention.key_length", c.head_dim);
  integer("gemma2.attention.value_length", c.head_dim);
  integer("gemma2.attention.sliding_window", c.n_positions);
  real("gemma2.attn_logit_softcapping", c.attn_logit_softcapping.value_or(detail::gguf_no_cap));
  real("gemma2.final_logit_softcapping", c.final_logit_softcapping.value_or(detail::gguf_no_cap));
  real("gemma2.rope.freq_base", c.rope_theta);
  integer("gemma2.rope.dimension_count", c.head_dim);
  if (c.rope_scaling_factor != 1.0) {
    out.add("gemma2.rope.scaling.type", GgufValue::text("linear"));
    real("gemma2.rope.scaling.factor", c.rope_scaling_factor);
  }
  integer("gemma2.vocab_size", c.vocab_size);
  out.add(std::string(detail::gguf_config_key), GgufValue::text(json_text(config_to_json(file), where)));
  return out;
}

MODERNGPT2_INLINE ConfigFile config_from_gguf(const GgufFile& file) {
  const GgufMetadata& m = file.metadata();
  const std::string& where = m.where();
  const auto architecture = m.require<std::string>("general.architecture");
  if (architecture != "gemma2")
    throw Error("{}: the architecture {} is not read: gemma2 is, which is Gemma 2 and this library's own models", where,
                excerpt(architecture, 80));
  ConfigFile result;
  Config& c = result.config;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  const auto stored = m.get<std::string>(detail::gguf_config_key);
  if (stored) {
    const std::string here = where + ": " + std::string(detail::gguf_config_key);
    result = parse_config(parse_json(*stored, here), here);
    if (result.model_type != "moderngpt2" || result.architecture != architectures[0] || !c.blocks.is_standard())
      throw Error("{}: it is the config of another kind of model", here);
  }
  const auto integer = [&](int& member, const std::string& key, std::optional<int> otherwise = std::nullopt) {
    member = m.get<int>("gemma2." + key).value_or(otherwise.value_or(0));
    if (member <= 0 && !otherwise && !m.find("gemma2." + key))
      throw Error("{}: the key gemma2.{} is missing", where, key);
  };
  // A value of the config that was rounded to the one in the file keeps its digits.
  const auto real = [&](double& member, const std::string& key, std::optional<double> otherwise = std::nullopt) {
    const auto value = m.get<double>("gemma2." + key);
    if (!value && !otherwise) throw Error("{}: the key gemma2.{} is missing", where, key);
    if (!value ? !stored : static_cast<float>(member) != static_cast<float>(*value))
      member = value.value_or(otherwise.value_or(0));
  };
  integer(c.n_positions, "context_length");
  integer(c.n_embd, "embedding_length");
  integer(c.n_layer, "block_count");
  integer(c.n_inner, "feed_forward_length");
  integer(c.n_head, "attention.head_count");
  integer(c.n_kv_head, "attention.head_count_kv", c.n_head);
  integer(c.head_dim, "attention.key_length", c.n_head > 0 ? c.n_embd / c.n_head : 0);
  int value_length = 0, rotated = 0;
  integer(value_length, "attention.value_length", c.head_dim);
  integer(rotated, "rope.dimension_count", c.head_dim);
  if (value_length != c.head_dim || rotated != c.head_dim)
    throw Error("{}: gemma2.attention.key_length {}, value_length {} and rope.dimension_count {} must be equal", where,
                c.head_dim, value_length, rotated);
  real(c.rms_norm_eps, "attention.layer_norm_rms_epsilon");
  real(c.rope_theta, "rope.freq_base", 10000.0);
  const auto scaling = m.get<std::string>("gemma2.rope.scaling.type").value_or("linear");
  if (scaling != "linear" && scaling != "none")
    throw Error("{}: gemma2.rope.scaling.type is {}, linear and none are supported", where, excerpt(scaling, 40));
  double factor = c.rope_scaling_factor;
  real(factor, "rope.scaling.factor", 1.0);
  if (!m.find("gemma2.rope.scaling.factor")) factor = m.get<double>("gemma2.rope.scale_linear").value_or(1.0);
  c.rope_scaling_factor = factor == 0 ? 1.0 : factor;
  const auto cap = [&](std::optional<double>& member, const std::string& key, double otherwise) {
    double value = member.value_or(detail::gguf_no_cap);
    real(value, key, otherwise);
    member = value >= double(detail::gguf_no_cap) ? std::nullopt : std::optional(value);
  };
  cap(c.attn_logit_softcapping, "attn_logit_softcapping", 50.0);
  cap(c.final_logit_softcapping, "final_logit_softcapping", 30.0);

  c.attention_bias = false;
  c.vocab_size = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name.starts_with("blk.0.attn_") && tensor.name.ends_with(".bias")) c.attention_bias = true;
    if (tensor.name == "token_embd.weight" && tensor.dims.size() == 2 && tensor.dims[1] <= (1 << 27))
      c.vocab_size = static_cast<int>(tensor.dims[1]);
  }
  if (c.vocab_size == 0) throw Error("{}: there is no matrix token_embd.weight", where);
  c.tied_head = true;
  c.activation = Activation::gelu_tanh;
  if (const std::vector<int> eos = detail::gguf_eos_ids(m);
      !eos.empty() && (!stored || c.eos_token_id != eos.front())) {
    result.eos_token_ids = eos;
    c.eos_token_id = eos.front();
  }
  const auto token = [&](std::optional<int>& id, const char* key) {
    const auto given = m.get<std::uint32_t>(key);
    if (given && *given < static_cast<std::uint32_t>(c.vocab_size)) id = static_cast<int>(*given);
  };
  token(c.bos_token_id, "tokenizer.ggml.bos_token_id");
  token(c.pad_token_id, "tokenizer.ggml.padding_token_id");
  const auto check = [&] {
    try {
      validate(c);
    } catch (const Error& error) {
      std::string_view what = error.what();
      if (what.starts_with("config: ")) what.remove_prefix(8);
      throw Error("{}: {}", where, what);
    }
  };
  check();
  // Gemma 2 27B: 46 layers, whose scale is not head_dim^-0.5.
  if (!stored && detail::gguf_query_scale(c) != c.query_scale()) {
    c.query_pre_attn_scalar = detail::gguf_query_scale(c);
    check();
  }
  const std::vector<bool> sliding = detail::gguf_sliding_layers(m, c.n_layer);
  const int window = m.get<int>("gemma2.attention.sliding_window").value_or(4096);
  if (window < c.n_positions && std::find(sliding.begin(), sliding.end(), true) != sliding.end())
    throw Error("{}: gemma2.attention.sliding_window {} is narrower than context_length {}, which is not supported",
                where, window, c.n_positions);
  result.json = config_to_json(result);
  return result;
}

MODERNGPT2_INLINE ConfigFile read_gguf_config(const std::filesystem::path& path) {
  return config_from_gguf(GgufFile(path));
}

}  // namespace moderngpt2

#endif
