#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "moderngpt2/config/field.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/config_file.hpp"
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
  bool from_model_config = false;  ///< `_from_model_config`: made from config.json, not by hand
  Json json = Json::object();
};

namespace detail {

/// Throws an Error if a number is out of the bounds of its field.
void check_stored_option(const Field& field, double value, const std::string& where);

std::optional<EarlyStopping> optional_early_stopping(const Json& json, const std::string& where);

}  // namespace detail

/// Parses a generation_config.json. Throws Error that names the field.
GenerationConfigFile parse_generation_config(const Json& json, const std::string& where);

/// Reads a generation_config.json; `file_or_folder` is the file or its folder.
GenerationConfigFile read_generation_config(const std::filesystem::path& file_or_folder);

/// Contents of generation_config.json for a new checkpoint: the special token ids of its config.
GenerationConfigFile generation_config_from(const ConfigFile& file);

/// Returns the generation_config.json to write.
Json generation_config_to_json(const GenerationConfigFile& g);

/// Writes a generation_config.json atomically.
FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE void check_stored_option(const Field& field, double value, const std::string& where) {
  const std::string_view name = field.name;
  if (!std::isfinite(value)) throw Error("{}: {} is {}, it must be finite", where, name, value);
  if (field.at_least && value < *field.at_least)
    throw Error("{}: {} is {}, it must be at least {}", where, name, value, *field.at_least);
  // Files of greedy models often hold a temperature of 0.
  if (name == "temperature" && value < 0) throw Error("{}: {} is {}, it must not be negative", where, name, value);
  if (field.more_than && name != "temperature" && value <= *field.more_than)
    throw Error("{}: {} is {}, it must be more than {}", where, name, value, *field.more_than);
  // Files may hold more beams than the flag accepts.
  const std::optional<double> at_most = name == "num_beams" ? double(1 << 27) : field.at_most;
  if (at_most && value > *at_most) throw Error("{}: {} is {}, it must be at most {}", where, name, value, *at_most);
}

MODERNGPT2_INLINE std::optional<EarlyStopping> optional_early_stopping(const Json& json, const std::string& where) {
  const Json* value = find_field(json, "early_stopping", where);
  if (!value || value->is_null()) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>() ? EarlyStopping::at_once : EarlyStopping::heuristic;
  if (*value == "never") return EarlyStopping::never;
  throw Error("{}: early_stopping must be true, false or \"never\", found {}", where, json_excerpt(*value));
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
                    if constexpr (std::is_same_v<T, EarlyStopping>) {
                      stored = detail::optional_early_stopping(json, where);
                    } else {
                      stored = get_optional_field<T>(json, field.name, where);
                      if (stored) detail::check_stored_option(field, double(*stored), where);
                    }
                  });
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

MODERNGPT2_INLINE GenerationConfigFile generation_config_from(const ConfigFile& file) {
  GenerationConfigFile g;
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
                    if constexpr (!std::is_same_v<T, EarlyStopping>)
                      set(field.name, stored);
                    else if (stored == EarlyStopping::never)
                      out[field.name] = "never";
                    else
                      set(field.name, stored ? std::optional(*stored == EarlyStopping::at_once) : std::nullopt);
                  });
  set("num_return_sequences", g.num_return_sequences);
  return out;
}

MODERNGPT2_INLINE FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g) {
  return write_json_file(path, generation_config_to_json(g));
}

}  // namespace moderngpt2

#endif
