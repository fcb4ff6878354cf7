#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// The classes of model that config.json names under `architectures`.
inline constexpr std::array<std::string_view, 5> architectures{
    "ModernGPT2LMHeadModel", "ModernGPT2DoubleHeadsModel", "ModernGPT2ForSequenceClassification",
    "ModernGPT2ForTokenClassification", "ModernGPT2ForQuestionAnswering"};

/// A config.json: the fields the model needs, and the file itself, so that unknown fields survive a rewrite.
struct ConfigFile {
  Config config;
  std::string architecture{architectures[0]};
  std::string model_type = "moderngpt2";  ///< value in the file; "gemma2" has its tensors under `gemma2_name`
  std::vector<int> eos_token_ids;         ///< all of them; config.eos_token_id is the first
  Json json = Json::object();
};

namespace detail {

inline constexpr std::array<std::pair<std::string_view, ProblemType>, 3> problem_types{
    {{"regression", ProblemType::regression},
     {"single_label_classification", ProblemType::single_label},
     {"multi_label_classification", ProblemType::multi_label}}};

inline constexpr std::array<std::pair<std::string_view, SummaryType>, 4> summary_types{
    {{"cls_index", SummaryType::cls_index},
     {"last", SummaryType::last},
     {"first", SummaryType::first},
     {"mean", SummaryType::mean}}};

template <class Value, std::size_t N>
Json choice_name(const std::array<std::pair<std::string_view, Value>, N>& choices, Value value) {
  for (const auto& [name, known] : choices)
    if (known == value) return name;
  return nullptr;
}

template <class T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string read_architecture(const ConfigFields& fields, const std::string& where);

void read_sizes(const ConfigFields& fields, const std::string& where, Config& c);

std::optional<int> first(const std::vector<int>& ids);

}  // namespace detail

/// Reads the fields of a config.json, with defaults and aliases, and validates them; a gemma2 config is translated.
/// `where`, usually the file's name, begins each Error. Nothing is allocated by any size found.
ConfigFile parse_config(const Json& json, const std::string& where);

/// Reads a config.json, or the one in a folder.
ConfigFile read_config(const std::filesystem::path& file_or_folder);

/// The config.json to be written: the fields of `file.config` under our own names, after what else `file.json` holds.
Json config_to_json(const ConfigFile& file);

/// Writes a config.json, all of it or nothing.
FileRecord write_config(const std::filesystem::path& path, const ConfigFile& file);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string read_architecture(const ConfigFields& fields, const std::string& where) {
  const Json* names = fields.find("architectures");
  if (!names || names->is_null()) return std::string(architectures[0]);
  if (!names->is_array() || names->empty())
    throw Error("{}: architectures must be a list with one name, found {}", where, json_excerpt(*names));
  const auto name = json_as<std::string>((*names)[0], "architectures", where);
  for (std::string_view known : architectures)
    if (name == known) return name;
  throw Error("{}: architecture {} is unknown; a language model is {}", where, excerpt(name), architectures[0]);
}

MODERNGPT2_INLINE void read_sizes(const ConfigFields& fields, const std::string& where, Config& c) {
  c.vocab_size = fields.size("vocab_size", c.vocab_size);
  c.n_positions = fields.size("n_positions", c.n_positions);
  c.n_embd = fields.size("n_embd", c.n_embd);
  c.n_layer = fields.size("n_layer", c.n_layer);
  c.n_head = fields.size("n_head", c.n_head);
  c.n_kv_head = fields.optional_size("num_key_value_heads").value_or(c.n_head);
  c.n_inner = fields.optional_size("intermediate_size").value_or(4 * c.n_embd);
  const std::optional<int> head_dim = fields.optional_size("head_dim");
  if (!head_dim && c.n_embd % c.n_head != 0)
    throw Error("{}: n_embd {} is not a multiple of n_head {}; without that head_dim must be given", where, c.n_embd,
                c.n_head);
  c.head_dim = head_dim.value_or(c.n_embd / c.n_head);
}

MODERNGPT2_INLINE std::optional<int> first(const std::vector<int>& ids) {
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE ConfigFile parse_config(const Json& json, const std::string& where) {
  ConfigFile file;
  file.model_type = get_field<std::string>(json, "model_type", where);
  if (file.model_type == "gemma2")
    file.json = config_from_gemma2(json, where);
  else if (file.model_type == "moderngpt2")
    file.json = json;
  else
    throw Error("{}: model_type {} is not supported, moderngpt2 and gemma2 are", where, excerpt(file.model_type));

  const detail::ConfigFields fields(file.json, where);
  file.architecture = detail::read_architecture(fields, where);
  Config& c = file.config;
  detail::read_sizes(fields, where, c);
  c.activation = fields.activation();
  c.attention_bias = fields.flag("attention_bias", c.attention_bias);
  c.tied_head = fields.flag("tie_word_embeddings", c.tied_head);
  c.rms_norm_eps = fields.number("rms_norm_eps", c.rms_norm_eps);
  c.rope_theta = fields.rope_theta();
  c.rope_scaling_factor = fields.rope_scaling_factor();
  c.query_pre_attn_scalar = fields.optional_number("query_pre_attn_scalar");
  c.attn_logit_softcapping = fields.optional_number("attn_logit_softcapping");
  c.final_logit_softcapping = fields.optional_number("final_logit_softcapping");
  c.initializer_range = fields.number("initializer_range", c.initializer_range);
  c.resid_pdrop = fields.number("resid_pdrop", c.resid_pdrop);
  c.embd_pdrop = fields.number("embd_pdrop", c.embd_pdrop);
  c.attn_pdrop = fields.number("attn_pdrop", c.attn_pdrop);

  c.bos_token_id = detail::first(fields.token_ids("bos_token_id", {50256}, false));
  file.eos_token_ids = fields.token_ids("eos_token_id", {50256}, true);
  c.eos_token_id = detail::first(file.eos_token_ids);
  c.pad_token_id = detail::first(fields.token_ids("pad_token_id", {}, false));

  c.num_labels = fields.num_labels(c.num_labels);
  c.problem_type = fields.choice("problem_type", detail::problem_types, ProblemType::automatic);
  c.classifier_dropout = fields.optional_number("classifier_dropout").value_or(c.classifier_dropout);
  c.summary_type = fields.choice("summary_type", detail::summary_types, c.summary_type);
  c.summary_use_proj = fields.flag("summary_use_proj", c.summary_use_proj);
  c.summary_proj_to_labels = fields.flag("summary_proj_to_labels", c.summary_proj_to_labels);
  c.summary_activation = fields.optional_activation("summary_activation");
  c.summary_first_dropout = fields.number("summary_first_dropout", c.summary_first_dropout);
  try {
    validate(c);
  } catch (const Error& error) {
    std::string_view what = error.what();
    if (what.starts_with("config: ")) what.remove_prefix(8);
    throw Error("{}: {}", where, what);
  }
  return file;
}

MODERNGPT2_INLINE ConfigFile read_config(const std::filesystem::path& file_or_folder) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(file_or_folder, ignored);
  const std::filesystem::path path = folder ? file_or_folder / "config.json" : file_or_folder;
  return parse_config(read_json_file(path), path.string());
}

MODERNGPT2_INLINE Json config_to_json(const ConfigFile& file) {
  const Config& c = file.config;
  Json out = Json::object();
  out["architectures"] = {file.architecture};
  out["model_type"] = "moderngpt2";
  if (!file.json.empty()) out = Json::object();  // the file has an order of its own
  for (const auto& [key, value] : file.json.items()) {
    std::string_view name = key;
    for (const auto& [alias, canonical] : detail::config_aliases)
      if (alias == key) name = canonical;
    const bool replaced = key == "rope_scaling_factor" || key == "rope_parameters" || key == "num_labels";
    if (!replaced && !out.contains(name)) out[std::string(name)] = value;
  }
  const bool labels = c.num_labels != 2 || file.json.contains("id2label") ||
                      file.architecture.find("Classification") != file.architecture.npos;

  out["architectures"] = {file.architecture};
  out["model_type"] = "moderngpt2";
  out["vocab_size"] = c.vocab_size;
  out["n_positions"] = c.n_positions;
  out["n_embd"] = c.n_embd;
  out["n_layer"] = c.n_layer;
  out["n_head"] = c.n_head;
  out["num_key_value_heads"] = c.n_kv_head;
  out["head_dim"] = c.head_dim;
  out["intermediate_size"] = c.n_inner;
  out["activation_function"] = activation_name(c.activation);
  out["attention_bias"] = c.attention_bias;
  out["tie_word_embeddings"] = c.tied_head;
  out["rms_norm_eps"] = c.rms_norm_eps;
  out["rope_theta"] = c.rope_theta;
  out["rope_scaling"] =
      c.rope_scaling_factor == 1.0 ? Json(nullptr) : Json{{"rope_type", "linear"}, {"factor", c.rope_scaling_factor}};
  out["query_pre_attn_scalar"] = detail::optional_json(c.query_pre_attn_scalar);
  out["attn_logit_softcapping"] = detail::optional_json(c.attn_logit_softcapping);
  out["final_logit_softcapping"] = detail::optional_json(c.final_logit_softcapping);
  out["initializer_range"] = c.initializer_range;
  out["resid_pdrop"] = c.resid_pdrop;
  out["embd_pdrop"] = c.embd_pdrop;
  out["attn_pdrop"] = c.attn_pdrop;
  out["bos_token_id"] = detail::optional_json(c.bos_token_id);
  const bool several = file.eos_token_ids.size() > 1 && detail::first(file.eos_token_ids) == c.eos_token_id;
  out["eos_token_id"] = several ? Json(file.eos_token_ids) : detail::optional_json(c.eos_token_id);
  out["pad_token_id"] = detail::optional_json(c.pad_token_id);
  out["classifier_dropout"] = c.classifier_dropout;
  out["summary_type"] = detail::choice_name(detail::summary_types, c.summary_type);
  out["summary_use_proj"] = c.summary_use_proj;
  out["summary_proj_to_labels"] = c.summary_proj_to_labels;
  out["summary_activation"] = c.summary_activation ? Json(activation_name(*c.summary_activation)) : Json(nullptr);
  out["summary_first_dropout"] = c.summary_first_dropout;
  if (!labels) return out;
  out["problem_type"] = detail::choice_name(detail::problem_types, c.problem_type);
  const auto n = static_cast<std::size_t>(c.num_labels);
  if (!out.contains("id2label") || out["id2label"].size() != n) {
    Json names = Json::object(), ids = Json::object();
    for (int i = 0; i < c.num_labels; ++i) {
      names[std::to_string(i)] = "LABEL_" + std::to_string(i);
      ids["LABEL_" + std::to_string(i)] = i;
    }
    out["id2label"] = std::move(names);
    out["label2id"] = std::move(ids);
  }
  return out;
}

MODERNGPT2_INLINE FileRecord write_config(const std::filesystem::path& path, const ConfigFile& file) {
  return write_json_file(path, config_to_json(file));
}

}  // namespace moderngpt2

#endif
