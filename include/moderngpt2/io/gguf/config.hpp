#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
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
inline double gguf_query_scale(int n_layer, int n_embd, int n_head, int head_dim) {
  return 1.0 / std::sqrt(double(n_layer == 46 ? n_embd / n_head : head_dim));
}

/// Factor by which q_proj is multiplied in the file; exactly 1 where the scales are equal within rounding.
inline double gguf_query_factor(const Config& c) {
  const double factor = c.query_scale() / gguf_query_scale(c.n_layer, c.n_embd, c.n_head, c.head_dim);
  return std::abs(factor - 1) < 1e-7 ? 1.0 : factor;
}

/// Layers whose attention has a sliding window, by the keys of the file.
std::vector<bool> gguf_sliding_layers(const GgufMetadata& metadata, int n_layer);

/// Ids of the tokens that end a text, as llama.cpp finds them: eos_token_id, eot_token_id and usual names.
std::vector<int> gguf_eos_ids(const GgufMetadata& metadata);

}  // namespace detail

/// config.json of a GGUF file. Fields that GGUF does not have are those of the model that was converted by this
/// library, otherwise the defaults of Gemma 2 (no dropout). Throws Error for another architecture, which it names, and
/// for values that are not supported; parse_config() checks the rest.
Json config_from_gguf(const GgufFile& file);

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

MODERNGPT2_INLINE Json config_from_gguf(const GgufFile& file) {
  const GgufMetadata& m = file.metadata();
  const std::string& where = m.where();
  const auto architecture = m.require<std::string>("general.architecture");
  if (architecture != "gemma2")
    throw Error("{}: the architecture {} is not read: gemma2 is, which is Gemma 2 and this library's own models", where,
                excerpt(architecture, 80));
  Json out = Json::object();
  const auto stored = m.get<std::string>(detail::gguf_config_key);
  if (stored) {
    out = parse_json(*stored, where + ": " + std::string(detail::gguf_config_key));
    if (!out.is_object() || out.contains("blocks"))
      throw Error("{}: {} is not the config of a language model", where, detail::gguf_config_key);
  } else {
    for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) out[key] = 0.0;
    out["bos_token_id"] = nullptr;
    out["eos_token_id"] = nullptr;
  }
  out["model_type"] = "moderngpt2";
  out["architectures"] = {"ModernGPT2LMHeadModel"};
  out["activation_function"] = "gelu_pytorch_tanh";
  out["tie_word_embeddings"] = true;

  const auto integer = [&](const char* name, const std::string& key, std::optional<int> otherwise = std::nullopt) {
    const auto value = m.get<int>("gemma2." + key);
    if (!value && !otherwise) throw Error("{}: the key gemma2.{} is missing", where, key);
    out[name] = value.value_or(otherwise.value_or(0));
    return out[name].get<int>();
  };
  // Values of the stored config that were rounded to those in the file keep their digits.
  const auto keeps = [](const Json& before, double value) {
    return before.is_number() && static_cast<float>(before.get<double>()) == static_cast<float>(value);
  };
  const auto real = [&](const char* name, const std::string& key, std::optional<double> otherwise = std::nullopt) {
    const auto value = m.get<double>("gemma2." + key);
    if (!value && !otherwise) throw Error("{}: the key gemma2.{} is missing", where, key);
    const double number = value.value_or(otherwise.value_or(0));
    if (!out.contains(name) || !keeps(out[name], number)) out[name] = number;
    return number;
  };
  integer("n_positions", "context_length");
  const int width = integer("n_embd", "embedding_length"), layers = integer("n_layer", "block_count");
  const int heads = integer("n_head", "attention.head_count");
  integer("intermediate_size", "feed_forward_length");
  integer("num_key_value_heads", "attention.head_count_kv", heads);
  if (heads < 1 || width < 1 || layers < 1 || layers > 100'000)
    throw Error("{}: block_count {}, embedding_length {} and head_count {} are those of no model", where, layers, width,
                heads);
  const int head_dim = integer("head_dim", "attention.key_length", width / heads);
  for (const char* key : {"gemma2.attention.value_length", "gemma2.rope.dimension_count"})
    if (const int length = m.get<int>(key).value_or(head_dim); length != head_dim)
      throw Error("{}: {} is {}, it must equal gemma2.attention.key_length {}", where, key, length, head_dim);
  real("rms_norm_eps", "attention.layer_norm_rms_epsilon");
  real("rope_theta", "rope.freq_base", 10000.0);
  for (const auto& [name, key, otherwise] : {std::tuple("attn_logit_softcapping", "attn_logit_softcapping", 50.0),
                                             std::tuple("final_logit_softcapping", "final_logit_softcapping", 30.0)})
    if (real(name, key, otherwise) >= double(detail::gguf_no_cap)) out[name] = nullptr;

  const auto scaling = m.get<std::string>("gemma2.rope.scaling.type").value_or("linear");
  if (scaling != "linear" && scaling != "none")
    throw Error("{}: gemma2.rope.scaling.type is {}, linear and none are supported", where, excerpt(scaling, 40));
  const double factor =
      m.get<double>("gemma2.rope.scaling.factor").value_or(m.get<double>("gemma2.rope.scale_linear").value_or(0.0));
  const Json before = out.contains("rope_scaling") && out["rope_scaling"].is_object()
                          ? out["rope_scaling"].value("factor", Json(1.0))
                          : Json(1.0);
  if (factor == 0 || factor == 1 || scaling == "none")
    out["rope_scaling"] = nullptr;
  else if (!keeps(before, factor))
    out["rope_scaling"] = {{"rope_type", "linear"}, {"factor", factor}};

  bool has_bias = false;
  std::uint64_t rows = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    has_bias |= tensor.name.starts_with("blk.0.attn_") && tensor.name.ends_with(".bias");
    if (tensor.name == "token_embd.weight" && tensor.dims.size() == 2) rows = tensor.dims[1];
  }
  if (rows == 0 || rows > (1 << 27)) throw Error("{}: no matrix token_embd.weight, or one of no model", where);
  out["attention_bias"] = has_bias;
  out["vocab_size"] = rows;
  const auto token = [&](const char* name, const char* key) {
    const auto given = m.get<std::uint32_t>(key);
    if (given && *given < rows) out[name] = *given;
  };
  token("bos_token_id", "tokenizer.ggml.bos_token_id");
  token("pad_token_id", "tokenizer.ggml.padding_token_id");
  if (const std::vector<int> eos = detail::gguf_eos_ids(m); !eos.empty()) {
    const Json& now = out.contains("eos_token_id") ? out["eos_token_id"] : Json();
    const Json first = now.is_array() && !now.empty() ? now[0] : now;
    if (!stored || first != Json(eos.front())) out["eos_token_id"] = eos.size() == 1 ? Json(eos.front()) : Json(eos);
  }
  if (!stored) {  // Gemma 2 27B: 46 layers, whose scale is not head_dim^-0.5
    const double scale = detail::gguf_query_scale(layers, width, heads, head_dim);
    const bool is_default = scale == detail::gguf_query_scale(0, width, heads, head_dim);
    out["query_pre_attn_scalar"] = is_default ? Json(nullptr) : Json(scale);
  }
  const std::vector<bool> sliding = detail::gguf_sliding_layers(m, layers);
  out.erase("sliding_window");
  out.erase("layer_types");
  const int window = m.get<int>("gemma2.attention.sliding_window").value_or(4096);
  if (window < out["n_positions"].get<int>() && std::find(sliding.begin(), sliding.end(), true) != sliding.end()) {
    out["sliding_window"] = window;
    out["layer_types"] = Json::array();
    for (const bool slides : sliding)
      out["layer_types"].push_back(
          layer_type_words[std::size_t(slides ? AttentionType::sliding : AttentionType::full)]);
  }
  return out;
}

}  // namespace moderngpt2

#endif
