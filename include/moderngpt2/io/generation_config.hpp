#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/config/field_text.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/nearest_name.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/generation_values.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Content of a generation_config.json: default generation options. A field that is absent or null is empty here and is
/// not written. The whole file is kept, so that unknown fields are preserved.
struct GenerationConfigFile : StoredGenerationOptions {
  std::optional<int> max_length{};      ///< tokens, prompt included
  std::optional<int> max_new_tokens{};  ///< overrides max_length
  std::optional<int> num_return_sequences{};
  std::optional<int> bos_token_id{};
  std::vector<int> eos_token_ids{};  ///< tokens that end a text
  std::optional<int> pad_token_id{};
  bool from_model_config = false;     ///< `_from_model_config`: made from config.json, not by hand
  std::vector<std::string> unread{};  ///< fields of the file that change the text but are not supported, or unknown
  Json json = Json::object();
};

/// Parses a generation_config.json. Throws Error that names the field.
GenerationConfigFile parse_generation_config(const Json& json, const std::string& where);

/// Reads a generation_config.json; `file_or_folder` is the file or its folder.
GenerationConfigFile read_generation_config(const std::filesystem::path& file_or_folder);

/// Generation options that a config.json holds, as Transformers wrote and read them before it had
/// generation_config.json. Only for a model without that file. `where` begins each Error.
GenerationConfigFile generation_options_in(const ConfigFile& file, const std::string& where);

/// Contents of generation_config.json for a new checkpoint: the special token ids of its config, and options that the
/// config holds.
GenerationConfigFile generation_config_from(const ConfigFile& file);

/// Returns the generation_config.json to write.
Json generation_config_to_json(const GenerationConfigFile& g);

/// Writes a generation_config.json atomically.
FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Fields of generation_config.json that change neither the tokens nor what `generate` prints: metadata, memory, speed
/// and additional outputs of Transformers.
inline constexpr std::array neutral_generation_fields = {"transformers_version",
                                                         "use_cache",
                                                         "cache_implementation",
                                                         "cache_config",
                                                         "max_cache_len",
                                                         "output_attentions",
                                                         "output_hidden_states",
                                                         "output_scores",
                                                         "output_logits",
                                                         "return_dict_in_generate",
                                                         "return_dict",
                                                         "is_assistant",
                                                         "num_assistant_tokens",
                                                         "num_assistant_tokens_schedule",
                                                         "assistant_confidence_threshold",
                                                         "prompt_lookup_num_tokens",
                                                         "max_matching_ngram_size",
                                                         "assistant_early_exit",
                                                         "assistant_lookbehind",
                                                         "target_lookbehind",
                                                         "speculation_type",
                                                         "use_mtp",
                                                         "compile_config",
                                                         "disable_compile",
                                                         "prefill_chunk_size",
                                                         "low_memory",
                                                         "continuous_batching_config",
                                                         "decoder_start_token_id"};

/// Unsupported field and its value without effect; null has no effect for any field.
struct UnsupportedField {
  const char* name;
  double neutral;
};
inline constexpr std::array unsupported_generation_fields = {
    UnsupportedField{"guidance_scale", 1},  UnsupportedField{"watermarking_config", 0},
    UnsupportedField{"token_healing", 0},   UnsupportedField{"penalty_alpha", 0},
    UnsupportedField{"num_beam_groups", 1}, UnsupportedField{"diversity_penalty", 0},
    UnsupportedField{"constraints", 0},     UnsupportedField{"force_words_ids", 0},
    UnsupportedField{"dola_layers", 0},     UnsupportedField{"assistant_ensemble_weight", 0}};

/// Fields of a file that change the text but are not read, unknown ones with the nearest known name.
MODERNGPT2_INLINE std::vector<std::string> unread_generation_fields(const Json& json) {
  std::vector<std::string> known{"max_length",   "max_new_tokens", "num_return_sequences",
                                 "bos_token_id", "eos_token_id",   "pad_token_id"};
  GenerationOptions options;
  StoredGenerationOptions stored;
  describe_stored(options, stored, [&](const auto&, const auto&, const Field& field) { known.push_back(field.name); });
  std::vector<std::string> unread;
  const std::size_t read = known.size();
  known.insert(known.end(), neutral_generation_fields.begin(), neutral_generation_fields.end());
  for (const auto& item : json.items()) {
    const std::string& key = item.key();
    const Json& value = item.value();
    if (value.is_null() || key.starts_with('_') || std::ranges::find(known, key) != known.end()) continue;
    const auto field =
        std::ranges::find_if(unsupported_generation_fields, [&](const UnsupportedField& f) { return key == f.name; });
    if (field == unsupported_generation_fields.end()) {
      const std::string nearest = nearest_name(key, {known.begin(), known.begin() + std::ptrdiff_t(read)});
      unread.push_back(excerpt(key) + (nearest.empty() ? "" : " (did you mean " + nearest + "?)"));
    } else if (!(value.is_boolean() ? value.get<bool>() == (field->neutral != 0)
                                    : value.is_number() && value.get<double>() == field->neutral) &&
               !(value.is_array() && value.empty())) {
      unread.push_back(key);
    }
  }
  return unread;
}

/// Throws an Error if a number is out of the bounds of its field.
template <class T>
void check_stored_option(const T& value, Field field, const std::string& where) {
  // Files of greedy models often hold a temperature of 0.
  if (field.name == std::string_view("temperature")) field.more_than.reset(), field.at_least = 0;
  if (const std::string problem = bounds_problem(value, field); !problem.empty())
    throw Error("{}: {} {}", where, field.name, problem);
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE GenerationConfigFile parse_generation_config(const Json& json, const std::string& where) {
  const detail::ConfigFields fields(json, where);
  GenerationConfigFile g;
  g.json = json;
  g.max_length = fields.optional_size("max_length");
  g.max_new_tokens = fields.optional_size("max_new_tokens");
  GenerationOptions unused;
  describe_stored(unused, static_cast<StoredGenerationOptions&>(g),
                  [&]<class T>(const auto&, std::optional<T>& stored, const Field& field) {
                    const Json* value = fields.find(field.name);
                    if (!value || value->is_null()) return;
                    stored = detail::generation_value<T>(*value, field.name, where);
                    detail::check_stored_option(*stored, field, where);
                  });
  g.unread = detail::unread_generation_fields(json);
  g.num_return_sequences = fields.optional_size("num_return_sequences");
  g.bos_token_id = detail::first(fields.token_ids("bos_token_id", {}, false));
  g.eos_token_ids = fields.token_ids("eos_token_id", {}, true);
  g.pad_token_id = detail::first(fields.token_ids("pad_token_id", {}, false));
  g.from_model_config = get_optional_field<bool>(json, "_from_model_config", where).value_or(false);
  return g;
}

MODERNGPT2_INLINE GenerationConfigFile read_generation_config(const std::filesystem::path& file_or_folder) {
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(file_or_folder, ignored);
  const std::filesystem::path path = folder ? file_or_folder / "generation_config.json" : file_or_folder;
  return parse_generation_config(read_json_file(path), path.string());
}

MODERNGPT2_INLINE GenerationConfigFile generation_options_in(const ConfigFile& file, const std::string& where) {
  std::vector<std::string_view> names{"max_length", "max_new_tokens", "num_return_sequences"};
  GenerationOptions options;
  StoredGenerationOptions stored;
  describe_stored(options, stored, [&](const auto&, const auto&, const Field& field) { names.push_back(field.name); });
  for (const detail::UnsupportedField& field : detail::unsupported_generation_fields) names.push_back(field.name);
  Json found = Json::object();
  for (const std::string_view name : names)
    if (const Json* value = find_field(file.json, name, where); value && !value->is_null())
      found[std::string(name)] = *value;
  return parse_generation_config(found, where);
}

MODERNGPT2_INLINE GenerationConfigFile generation_config_from(const ConfigFile& file) {
  GenerationConfigFile g = generation_options_in(file, "config.json");
  g.from_model_config = true;
  g.bos_token_id = file.config.bos_token_id;
  g.pad_token_id = file.config.pad_token_id;
  const bool listed = !file.eos_token_ids.empty() && file.eos_token_ids.front() == file.config.eos_token_id;
  if (listed)
    g.eos_token_ids = file.eos_token_ids;
  else if (file.config.eos_token_id)
    g.eos_token_ids = {*file.config.eos_token_id};
  return g;
}

MODERNGPT2_INLINE Json generation_config_to_json(const GenerationConfigFile& g) {
  Json out = g.json;
  auto set = [&](const char* name, const auto& value) {
    if (value)
      out[name] = *value;
    else
      out.erase(name);
  };
  if (g.from_model_config)
    out["_from_model_config"] = true;
  else
    out.erase("_from_model_config");
  set("bos_token_id", g.bos_token_id);
  if (g.eos_token_ids.empty())
    out.erase("eos_token_id");
  else if (g.eos_token_ids.size() == 1)
    out["eos_token_id"] = g.eos_token_ids[0];
  else
    out["eos_token_id"] = g.eos_token_ids;
  set("pad_token_id", g.pad_token_id);
  set("max_length", g.max_length);
  set("max_new_tokens", g.max_new_tokens);
  const GenerationOptions unused;
  describe_stored(unused, static_cast<const StoredGenerationOptions&>(g),
                  [&]<class T>(const auto&, const std::optional<T>& stored, const Field& field) {
                    if (stored)
                      out[field.name] = detail::generation_json(*stored);
                    else
                      out.erase(field.name);
                  });
  set("num_return_sequences", g.num_return_sequences);
  return out;
}

MODERNGPT2_INLINE FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g) {
  return write_json_file(path, generation_config_to_json(g));
}

}  // namespace moderngpt2

#endif
