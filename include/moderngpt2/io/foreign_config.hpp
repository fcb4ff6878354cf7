#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/activation.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"

// Fields of a config.json that other programs write and that say nothing about this library's model.
namespace moderngpt2::detail {

/// Classes of models without a head. Their files fit a language model with a tied head.
inline constexpr std::array<std::string_view, 2> headless_architectures{"ModernGPT2Model", "Gemma2Model"};

/// Throws an Error if a config.json describes weights or models that cannot be read: quantized weights, or a language
/// model nested in a model of several parts (text_config).
void refuse_foreign_config(const Json& json, const std::string& where);

/// Lines for the user about fields without effect: Python code of the checkpoint (auto_map), a class without a head,
/// and the activation that a gemma2 config names in hidden_act only.
std::vector<std::string> foreign_config_notes(const Json& json, const std::string& where);

/// Whether a gemma2 config names its activation in hidden_act alone. Transformers then computes gelu_pytorch_tanh,
/// whatever the name.
bool has_only_hidden_act(const Json& gemma, const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void refuse_foreign_config(const Json& json, const std::string& where) {
  for (const char* name : {"quantization_config", "compression_config"}) {
    const Json* const quantized = find_field(json, name, where);
    if (!quantized || quantized->is_null()) continue;
    const Json* const method = quantized->is_object() ? find_field(*quantized, "quant_method", where) : nullptr;
    throw Error(
        "{}: {}: the weights are quantized{}, which is not supported. Save them in float32, float16 or bfloat16.",
        where, name, method ? " by " + json_excerpt(*method) : "");
  }
  const Json* const text = find_field(json, "text_config", where);
  if (!text || !text->is_object()) return;
  const Json* const type = find_field(*text, "model_type", where);
  throw Error(
      "{}: text_config: the language model{} is a part of another model, which is not supported. Save it alone, with "
      "save_pretrained() of the language model.",
      where, type ? " (" + json_excerpt(*type) + ")" : "");
}

MODERNGPT2_INLINE bool has_only_hidden_act(const Json& gemma, const std::string& where) {
  const Json* const used = find_field(gemma, "hidden_activation", where);
  const Json* const other = find_field(gemma, "activation_function", where);
  const Json* const act = find_field(gemma, "hidden_act", where);
  const auto is_absent = [](const Json* value) { return !value || value->is_null(); };
  return is_absent(used) && is_absent(other) && !is_absent(act);
}

MODERNGPT2_INLINE std::vector<std::string> foreign_config_notes(const Json& json, const std::string& where) {
  std::vector<std::string> notes;
  if (const Json* const code = find_field(json, "auto_map", where); code && !code->is_null() && !code->empty())
    notes.push_back(where + ": auto_map is ignored: Python code of a checkpoint is not run");
  const Json* const type = find_field(json, "model_type", where);
  if (type && *type == "gemma2" && has_only_hidden_act(json, where) && json["hidden_act"].is_string() &&
      activation_from_name(json["hidden_act"].get_ref<const std::string&>()) != Activation::gelu_tanh)
    notes.push_back(
        fmt::format("{}: hidden_act {} is ignored: without hidden_activation, a gemma2 model computes "
                    "gelu_pytorch_tanh",
                    where, json_excerpt(json["hidden_act"])));
  const Json* const names = find_field(json, "architectures", where);
  if (names && names->is_array() && !names->empty() && (*names)[0].is_string())
    for (const std::string_view headless : headless_architectures)
      if ((*names)[0] == headless)
        notes.push_back(
            fmt::format("{}: {} has no head: it is read as a language model with a tied head", where, headless));
  return notes;
}

}  // namespace moderngpt2::detail

#endif
