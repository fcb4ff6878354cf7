#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/foreign_config.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/gguf/config.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/layer_windows.hpp"

namespace moderngpt2 {

/// Model classes that config.json may name under `architectures`.
inline constexpr std::array<std::string_view, 5> architectures{
    "ModernGPT2LMHeadModel", "ModernGPT2DoubleHeadsModel", "ModernGPT2ForSequenceClassification",
    "ModernGPT2ForTokenClassification", "ModernGPT2ForQuestionAnswering"};

/// Content of a config.json: the fields that the model uses, and the whole file, so that unknown fields are preserved.
struct ConfigFile {
  Config config;
  std::string architecture{architectures[0]};
  std::string model_type = "moderngpt2";  ///< value in the file; "gemma2" has its tensors under `gemma2_name`
  std::vector<int> eos_token_ids;         ///< all end-of-text tokens; config.eos_token_id is the first
  std::vector<std::string> notes{};       ///< lines for the user about fields of other programs without effect
  Json json = Json::object();
};

namespace detail {

/// The object `blocks` of config.json; null for the library's own layers.
Json blocks_json(const BlocksConfig& blocks);

/// Value of a field in config.json: enumerations by name, an empty optional as null.
template <class T>
Json field_json(const T& value) {
  if constexpr (std::is_same_v<T, BlocksConfig>) {
    return blocks_json(value);
  } else if constexpr (std::is_same_v<T, LayerTypes>) {
    return layer_types_json(value, value.period());
  } else if constexpr (requires { value.has_value(); }) {
    return value ? field_json(*value) : Json(nullptr);
  } else if constexpr (std::is_enum_v<T>) {
    for (const auto& [word, known] : words_of(value))
      if (known == value) return word;
    return nullptr;
  } else {
    return value;
  }
}

std::string read_architecture(const ConfigFields& fields, const std::string& where, std::string_view own);

/// Computes the sizes that a file leaves out (0 in `c`) from the others.
void derive_sizes(const std::string& where, Config& c);

/// Writes a field that needs code of its own, because it has several keys or depends on other values.
void write_own_format(Json& out, const ConfigFile& file, std::string_view name);

/// Writes problem_type, id2label and label2id, for classifiers only.
void write_labels(Json& out, const ConfigFile& file);

std::optional<int> first(const std::vector<int>& ids);

}  // namespace detail

/// Reads the fields of a config.json, with defaults and aliases, and validates them; a gemma2 config is translated.
/// `where`, usually the file's name, begins each Error. `own_architecture`: class of a head that is not the library's.
ConfigFile parse_config(const Json& json, const std::string& where, std::string_view own_architecture = {});

/// Reads a config.json, the one in a folder, or the config of a GGUF file.
ConfigFile read_config(const std::filesystem::path& file_or_folder, std::string_view own_architecture = {});

/// Throws an Error if the blocks of a config have layers that are not the library's, for programs that know no others.
void require_library_layers(const Config& config, const std::string& where);

/// Returns the config.json to write: the fields of `file.config` under their own names, after the other keys of
/// `file.json`.
Json config_to_json(const ConfigFile& file);

/// Writes a config.json atomically.
FileRecord write_config(const std::filesystem::path& path, const ConfigFile& file);

/// Throws an Error that names the first field in which two configs differ, among those that change the weights or what
/// they compute.
void require_same_model(const Config& checkpoint, const Config& wanted, const std::string& where);

/// Throws an Error also if the classes of the models differ: their heads, and so their tensors, are not the same.
void require_same_model(const ConfigFile& checkpoint, const ConfigFile& wanted, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::string read_architecture(const ConfigFields& fields, const std::string& where,
                                                std::string_view own) {
  const Json* names = fields.find("architectures");
  if (!names || names->is_null()) return std::string(architectures[0]);
  if (!names->is_array() || names->empty())
    throw Error("{}: architectures must be a list with one name, found {}", where, json_excerpt(*names));
  const auto name = json_as<std::string>((*names)[0], "architectures", where);
  for (std::string_view known : architectures)
    if (name == known) return name;
  for (std::string_view headless : headless_architectures)
    if (name == headless) return std::string(architectures[0]);
  if (!own.empty() && name == own) return name;
  throw Error("{}: architecture {} is unknown; a language model is {}", where, excerpt(name), architectures[0]);
}

MODERNGPT2_INLINE void derive_sizes(const std::string& where, Config& c) {
  if (c.n_kv_head == 0) c.n_kv_head = c.n_head;
  if (c.n_inner == 0) c.n_inner = 4 * c.n_embd;
  if (c.head_dim == 0 && c.n_embd % c.n_head != 0)
    throw Error("{}: n_embd {} is not a multiple of n_head {}; without that head_dim must be given", where, c.n_embd,
                c.n_head);
  if (c.head_dim == 0) c.head_dim = c.n_embd / c.n_head;
}

MODERNGPT2_INLINE void write_own_format(Json& out, const ConfigFile& file, std::string_view name) {
  const Config& c = file.config;
  if (name == "rope_theta") {
    out["rope_theta"] = c.rope_theta;
  } else if (name == "rope_scaling_factor") {
    const bool scaled = c.rope_scaling_factor != 1.0;
    out["rope_scaling"] = scaled ? Json{{"rope_type", "linear"}, {"factor", c.rope_scaling_factor}} : Json(nullptr);
    if (scaled)
      out[std::string(name)] = c.rope_scaling_factor;  // the only key that the Python original applies
    else
      out.erase(std::string(name));
  } else if (name == "sliding_window") {
    write_layer_windows(out, c);  // with layer_types
  } else if (name == "bos_token_id") {
    out["bos_token_id"] = field_json(c.bos_token_id);
  } else if (name == "eos_token_id") {
    const bool several = file.eos_token_ids.size() > 1 && first(file.eos_token_ids) == c.eos_token_id;
    out["eos_token_id"] = several ? Json(file.eos_token_ids) : field_json(c.eos_token_id);
  } else if (name == "pad_token_id") {
    out["pad_token_id"] = field_json(c.pad_token_id);
  } else if (name == "blocks") {
    out.erase("blocks");
    if (!c.blocks.is_standard()) out["blocks"] = blocks_json(c.blocks);
  }
}

MODERNGPT2_INLINE Json blocks_json(const BlocksConfig& blocks) {
  Json out = nullptr;
  for (const auto& [part, layer] :
       {std::pair("attention", &blocks.attention), std::pair("mlp", &blocks.mlp), std::pair("norm", &blocks.norm)}) {
    if (layer->type().empty()) continue;
    out[part]["type"] = layer->type();
    for (int i = 0; i < layer->size(); ++i) {
      const auto [name, value] = layer->field(i);
      const bool whole = std::abs(value) < 0x1p53 && value == std::floor(value);
      out[part][std::string(name)] = whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
    }
  }
  return out;
}

MODERNGPT2_INLINE void write_labels(Json& out, const ConfigFile& file) {
  const Config& c = file.config;
  const bool is_classifier = c.num_labels != 2 || file.json.contains("id2label") ||
                             file.architecture.find("Classification") != file.architecture.npos;
  if (!is_classifier) return;
  out["problem_type"] = field_json(c.problem_type);
  if (out.contains("id2label") && out["id2label"].size() == static_cast<std::size_t>(c.num_labels)) return;
  Json names = Json::object(), ids = Json::object();
  for (int i = 0; i < c.num_labels; ++i) {  // push_back, as in config_to_json()
    names.get_ref<Json::object_t&>().emplace_back(std::to_string(i), "LABEL_" + std::to_string(i));
    ids.get_ref<Json::object_t&>().emplace_back("LABEL_" + std::to_string(i), i);
  }
  out["id2label"] = std::move(names);
  out["label2id"] = std::move(ids);
}

MODERNGPT2_INLINE std::optional<int> first(const std::vector<int>& ids) {
  return ids.empty() ? std::nullopt : std::optional(ids.front());
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE ConfigFile parse_config(const Json& json, const std::string& where,
                                          std::string_view own_architecture) {
  ConfigFile file;
  detail::refuse_foreign_config(json, where);
  file.model_type = get_field<std::string>(json, "model_type", where);
  file.notes = detail::foreign_config_notes(json, where);
  if (file.model_type == "gemma2")
    file.json = config_from_gemma2(json, where);
  else if (file.model_type == "moderngpt2")
    file.json = json;
  else
    throw Error("{}: model_type {} is not supported, moderngpt2 and gemma2 are", where, excerpt(file.model_type));

  const detail::ConfigFields fields(file.json, where);
  file.architecture = detail::read_architecture(fields, where, own_architecture);
  Config& c = file.config;
  describe(c, [&](auto& member, const Field& field, const InConfig& rules) {
    if constexpr (std::is_same_v<decltype(member), int&>)
      if (rules.derived) member = 0;
    fields.read(member, field, rules);
  });
  detail::derive_sizes(where, c);
  c.rope_theta = fields.rope_theta();
  c.rope_scaling_factor = fields.rope_scaling_factor();
  detail::read_layer_windows(fields, where, c);
  c.bos_token_id = detail::first(fields.token_ids("bos_token_id", {50256}, false));
  file.eos_token_ids = fields.token_ids("eos_token_id", {50256}, true);
  c.eos_token_id = detail::first(file.eos_token_ids);
  c.pad_token_id = detail::first(fields.token_ids("pad_token_id", {}, false));
  c.num_labels = fields.num_labels(c.num_labels);
  c.problem_type = fields.choice("problem_type", words_of(c.problem_type), ProblemType::automatic);
  c.blocks = fields.blocks();
  try {
    validate(c);
  } catch (const Error& error) {
    std::string_view what = error.what();
    if (what.starts_with("config: ")) what.remove_prefix(8);
    throw Error("{}: {}", where, what);
  }
  return file;
}

MODERNGPT2_INLINE ConfigFile read_config(const std::filesystem::path& file_or_folder,
                                         std::string_view own_architecture) {
  if (is_gguf(file_or_folder))
    return parse_config(config_from_gguf(GgufFile(file_or_folder)), file_or_folder.string(), own_architecture);
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(file_or_folder, ignored);
  const std::filesystem::path path = folder ? file_or_folder / "config.json" : file_or_folder;
  if (path.extension() == ".safetensors")
    throw Error("{}: has weights only: give its folder, which must have a config.json", path.string());
  return parse_config(read_json_file(path), path.string(), own_architecture);
}

MODERNGPT2_INLINE void require_library_layers(const Config& config, const std::string& where) {
  const BlocksConfig& blocks = config.blocks;
  for (const auto& [part, layer] :
       {std::pair("attention", &blocks.attention), std::pair("mlp", &blocks.mlp), std::pair("norm", &blocks.norm)})
    if (!layer->type().empty())
      throw Error(
          "{}: blocks.{} is {}, a layer that this program does not have: use the program that trained the model", where,
          part, excerpt(layer->type()));
}

MODERNGPT2_INLINE Json config_to_json(const ConfigFile& file) {
  Json out = Json::object();
  out["architectures"] = {file.architecture};
  out["model_type"] = "moderngpt2";
  if (!file.json.empty()) out = Json::object();  // keep the order of the file
  // push_back on the underlying vector: the map's insertion would compare all keys.
  auto& fields = out.get_ref<Json::object_t&>();
  std::unordered_set<std::string> written;
  for (const auto& [name, value] : fields) written.insert(name);
  for (const auto& [key, value] : file.json.items()) {
    std::string_view name = key;
    for (const auto& [alias, canonical] : detail::config_aliases)
      if (alias == key) name = canonical;
    const bool replaced = key == "rope_parameters" || key == "num_labels";
    if (!replaced && written.insert(std::string(name)).second) fields.emplace_back(std::string(name), value);
  }
  out["architectures"] = {file.architecture};
  out["model_type"] = "moderngpt2";
  describe(file.config, [&](const auto& member, const Field& field, const InConfig& rules) {
    if (rules.own_format)
      detail::write_own_format(out, file, field.name);
    else
      out[field.name] = detail::field_json(member);
  });
  detail::write_labels(out, file);
  return out;
}

MODERNGPT2_INLINE FileRecord write_config(const std::filesystem::path& path, const ConfigFile& file) {
  return write_json_file(path, config_to_json(file));
}

MODERNGPT2_INLINE void require_same_model(const Config& checkpoint, const Config& wanted, const std::string& where) {
  const int n_positions = std::max(checkpoint.n_positions, wanted.n_positions);
  const auto values_of = [n_positions](Config c) {
    c.query_pre_attn_scalar = c.query_scale();  // given or not, the same multiplier
    c.n_positions = n_positions;
    detail::normalize_windows(c);
    std::vector<Json> values;
    describe(c,
             [&](const auto& member, const Field&, const InConfig&) { values.push_back(detail::field_json(member)); });
    return values;
  };
  const auto equal = [](const Json& a, const Json& b) {  // the query scale may be rounded otherwise
    if (!a.is_number_float() || !b.is_number_float()) return a == b;
    return std::abs(a.get<double>() - b.get<double>()) <= 1e-12 * std::abs(a.get<double>());
  };
  const std::vector<Json> there = values_of(checkpoint), here = values_of(wanted);
  std::size_t row = 0;
  describe(wanted, [&](const auto&, const Field& field, const InConfig& rules) {
    if (rules.same_model && !equal(there[row], here[row]))
      throw Error("{}: {} differs from this run's ({} in the checkpoint, {} here): use the flags of the first run",
                  where, field.name, there[row].dump(), here[row].dump());
    ++row;
  });
}

MODERNGPT2_INLINE void require_same_model(const ConfigFile& checkpoint, const ConfigFile& wanted,
                                          const std::string& where) {
  if (checkpoint.architecture != wanted.architecture)
    throw Error(
        "{}: the checkpoint is a {}, and this run trains a {}: use the flags of the first run, or {} to start a new "
        "run from its weights",
        where, checkpoint.architecture, wanted.architecture, Setting{"model_path"});
  require_same_model(checkpoint.config, wanted.config, where);
}

}  // namespace moderngpt2

#endif
