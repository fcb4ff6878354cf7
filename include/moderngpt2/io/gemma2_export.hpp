#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/query_scale.hpp"
#include "moderngpt2/io/safetensors_writer.hpp"
#include "moderngpt2/io/stored_source.hpp"
#include "moderngpt2/io/tokenizer_files.hpp"

// Export of a model as a gemma2 folder, which stock Transformers (Gemma2ForCausalLM and its classifiers) and vLLM load
// without custom code. Sources: configuration_gemma2.py and modeling_gemma2.py of Transformers 5.24, gemma2.py of vLLM.
namespace moderngpt2 {

/// Field of a gemma2 config.json with what Gemma 2 has no field for. Other programs ignore it.
inline constexpr const char* remembered_key = "moderngpt2";

/// Throws an Error that names the first field of a model that Gemma 2 cannot express. `where` begins it.
void require_gemma2(const ConfigFile& file, const std::string& where);

/// Lines for the user of an exported model: settings that other programs ignore or refuse.
std::vector<std::string> gemma2_notes(const Config& config);

/// Name of the Gemma 2 class for one of this library's; empty if there is none.
std::string_view gemma2_architecture(std::string_view architecture);

/// Returns the gemma2 config.json of a model. Each field is written, since Gemma 2's defaults differ from ours.
/// query_pre_attn_scalar is head_dim: the weights must be scaled by query_factor(). `dtype`: torch_dtype_name() of the
/// weights. `remembered`: this library's config.json, stored under remembered_key.
Json config_to_gemma2(const ConfigFile& file, Json remembered, std::string_view dtype);

/// Tensors of a gemma2 folder.
struct Gemma2Weights {
  std::vector<TensorSource> tensors;    ///< names of Gemma 2, scaled queries
  std::vector<TensorSource> originals;  ///< unscaled queries, our names; empty if scaling is exact
  std::shared_ptr<TensorHashes> hashes =
      std::make_shared<TensorHashes>();  ///< hashes of the scaled queries, once written

  /// Writes the originals, if any, after the tensors have been written to the same folder.
  std::optional<FileRecord> write_originals(const std::filesystem::path& folder) const {
    if (originals.empty()) return std::nullopt;
    return write_original_queries(folder, originals, *hashes);
  }
};

/// Renames the tensors of a model, scales its queries, and converts all to `dtype` (empty: not). Types that are to be
/// widened should have `dtype` already, so that the scaling is rounded in it.
Gemma2Weights gemma2_weights(std::span<const TensorSource> tensors, const Config& config,
                             std::optional<Dtype> dtype = std::nullopt);

/// Makes AutoTokenizer of Transformers read tokenizer.json unchanged: sets tokenizer_class in tokenizer_config.json to
/// PreTrainedTokenizerFast. It would otherwise choose GemmaTokenizer for a gemma2 folder, which adds tokens. Returns
/// the class that the file named before ("": none) if that was another.
std::optional<std::string> require_plain_tokenizer(TokenizerFiles& tokenizer);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

struct ArchitecturePair {
  std::string_view ours, theirs;
};

/// Classes with an equal in Gemma 2.
inline constexpr std::array gemma2_architectures{
    ArchitecturePair{"ModernGPT2LMHeadModel", "Gemma2ForCausalLM"},
    ArchitecturePair{"ModernGPT2ForSequenceClassification", "Gemma2ForSequenceClassification"},
    ArchitecturePair{"ModernGPT2ForTokenClassification", "Gemma2ForTokenClassification"}};

/// Activations of Transformers' table ACT2FN under the same names.
inline constexpr std::array<std::string_view, 9> transformers_activations{
    "gelu_pytorch_tanh", "gelu", "quick_gelu", "silu", "relu", "relu2", "mish", "tanh", "sigmoid"};

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE std::string_view gemma2_architecture(std::string_view architecture) {
  for (const auto& [ours, theirs] : detail::gemma2_architectures)
    if (ours == architecture) return theirs;
  return {};
}

MODERNGPT2_INLINE void require_gemma2(const ConfigFile& file, const std::string& where) {
  const Config& c = file.config;
  const std::array parts{std::pair("attention", &c.blocks.attention), std::pair("mlp", &c.blocks.mlp),
                         std::pair("norm", &c.blocks.norm)};
  for (const auto& [part, layer] : parts)
    if (!layer->type().empty())
      throw Error("{}: blocks.{} is {}, Gemma 2 has no such layer. Keep the format moderngpt2.", where, part,
                  excerpt(layer->type()));
  if (gemma2_architecture(file.architecture).empty())
    throw Error(
        "{}: architectures: Gemma 2 has no class like {}. Models of ModernGPT2LMHeadModel, "
        "ModernGPT2ForSequenceClassification and ModernGPT2ForTokenClassification can be converted; keep others in the "
        "format moderngpt2.",
        where, excerpt(file.architecture));
  const std::string activation(activation_name(c.activation));
  bool known = false;
  for (std::string_view name : detail::transformers_activations) known = known || name == activation;
  if (!known)
    throw Error("{}: activation_function {} does not exist in Transformers. Train with another, such as {}.", where,
                excerpt(activation), detail::transformers_activations[0]);
  if (c.n_embd % c.n_head != 0)
    throw Error(
        "{}: n_embd {} is not a multiple of n_head {}, which Gemma 2 requires even with its own head_dim. Only a model "
        "of another width or number of heads can be converted.",
        where, c.n_embd, c.n_head);
  if (c.rms_norm_eps == 0)
    throw Error(
        "{}: rms_norm_eps is 0, Gemma 2's readers require a positive one. Set it to 1e-12 for the same results.",
        where);
}

MODERNGPT2_INLINE std::vector<std::string> gemma2_notes(const Config& c) {
  std::vector<std::string> notes;
  if (c.resid_pdrop != 0 || c.embd_pdrop != 0)
    notes.push_back(
        fmt::format("Gemma 2 has no resid_pdrop ({}) and embd_pdrop ({}): other programs train without "
                    "this dropout. A conversion back restores both fields.",
                    c.resid_pdrop, c.embd_pdrop));
  if (c.activation != Activation::gelu_tanh)
    notes.push_back(
        fmt::format("Transformers loads the model, vLLM does not: it requires activation_function "
                    "gelu_pytorch_tanh, this model has {}",
                    activation_name(c.activation)));
  if (!c.tied_head)
    notes.push_back(
        "Transformers loads the model, vLLM does not: it requires tie_word_embeddings, this model has an output head "
        "of its own");
  return notes;
}

MODERNGPT2_INLINE Json config_to_gemma2(const ConfigFile& file, Json remembered, std::string_view dtype) {
  const Config& c = file.config;
  const auto optional = [](const auto& value) { return detail::field_json(value); };
  const bool is_linear = c.rope_scaling_factor != 1.0;
  const std::string activation(activation_name(c.activation));
  Json out = Json::object();
  out["architectures"] = {std::string(gemma2_architecture(file.architecture))};
  out["model_type"] = "gemma2";
  out["vocab_size"] = c.vocab_size;
  out["max_position_embeddings"] = c.n_positions;
  out["hidden_size"] = c.n_embd;
  out["num_hidden_layers"] = c.n_layer;
  out["num_attention_heads"] = c.n_head;
  out["num_key_value_heads"] = c.n_kv_head;
  out["head_dim"] = c.head_dim;
  out["intermediate_size"] = c.n_inner;
  out["hidden_activation"] = activation;
  out["hidden_act"] = activation;  // read by llama.cpp's and other converters
  out["attention_bias"] = c.attention_bias;
  out["tie_word_embeddings"] = c.tied_head;
  out["rms_norm_eps"] = c.rms_norm_eps;
  out["query_pre_attn_scalar"] = c.head_dim;
  out["attn_logit_softcapping"] = optional(c.attn_logit_softcapping);
  out["final_logit_softcapping"] = optional(c.final_logit_softcapping);
  out["sliding_window"] = c.windows().width > 0 ? c.sliding_window : c.n_positions;
  Json layers = Json::array();
  for (int i = 0; i < c.n_layer; ++i) layers.push_back(c.window(i) > 0 ? "sliding_attention" : "full_attention");
  out["layer_types"] = std::move(layers);
  out["rope_theta"] = c.rope_theta;
  Json scaling{{"rope_type", "linear"}, {"factor", c.rope_scaling_factor}};
  out["rope_scaling"] = is_linear ? scaling : Json(nullptr);
  out["rope_parameters"] = is_linear ? scaling : Json{{"rope_type", "default"}};  // since Transformers 5
  out["rope_parameters"]["rope_theta"] = c.rope_theta;
  out["attention_dropout"] = c.attn_pdrop;
  out["initializer_range"] = c.initializer_range;
  out["bos_token_id"] = optional(c.bos_token_id);
  out["eos_token_id"] = file.eos_token_ids.size() > 1 ? Json(file.eos_token_ids) : optional(c.eos_token_id);
  out["pad_token_id"] = optional(c.pad_token_id);
  out["use_cache"] = true;
  if (file.architecture != architectures[0]) {
    Json labels = Json::object();
    if (const Json* names = find_field(file.json, "id2label", "config.json")) {
      labels["id2label"] = *names;
      if (const Json* ids = find_field(file.json, "label2id", "config.json")) labels["label2id"] = *ids;
    }
    out["problem_type"] = optional(c.problem_type);
    detail::write_labels(labels, file);
    for (const char* name : {"id2label", "label2id"})
      if (labels.contains(name)) out[name] = labels[name];
    out["classifier_dropout"] = c.classifier_dropout;
  }
  out["torch_dtype"] = dtype;
  out["dtype"] = dtype;  // since Transformers 4.56
  out[remembered_key] = std::move(remembered);
  return out;
}

MODERNGPT2_INLINE Gemma2Weights gemma2_weights(std::span<const TensorSource> tensors, const Config& config,
                                               std::optional<Dtype> dtype) {
  const double factor = query_factor(config);
  Gemma2Weights weights;
  for (const TensorSource& tensor : tensors) {
    TensorSource out = tensor;
    out.name = gemma2_name(tensor.name);
    const bool is_scaled = factor != 1 && is_query_tensor(tensor.name);
    if (is_scaled) out = scaled_source(std::move(out), factor);
    out = converted_source(std::move(out), dtype.value_or(out.dtype));
    if (is_scaled && !scales_exactly(factor)) {
      out = hashed_source(std::move(out), weights.hashes);
      weights.originals.push_back(converted_source(tensor, dtype.value_or(tensor.dtype)));
    }
    weights.tensors.push_back(std::move(out));
  }
  return weights;
}

MODERNGPT2_INLINE std::optional<std::string> require_plain_tokenizer(TokenizerFiles& tokenizer) {
  const std::string name = "tokenizer_config.json", key = "tokenizer_class", plain = "PreTrainedTokenizerFast";
  std::optional<std::string> before;
  bool has_json = false, has_config = false;
  for (auto& [file, content] : tokenizer.files) {
    has_json = has_json || file == "tokenizer.json";
    if (file != name) continue;
    has_config = true;
    Json json = parse_json(content, name);
    const auto own = get_optional_field<std::string>(json, key, name);
    if (own == plain) continue;
    before = own.value_or("");
    json[key] = plain;
    content = json_text(json, name);
  }
  if (has_json && !has_config)
    tokenizer.files.emplace_back(name, json_text(Json{{key, plain}, {"clean_up_tokenization_spaces", false}}, name));
  return before;
}

}  // namespace moderngpt2

#endif
