#pragma once

#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/generation/options.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2 {

/// Fields of a generation_config.json: defaults for generation. A field that is missing or null in the file is nullopt
/// and is not written. `json` keeps the file, so that unknown fields survive a rewrite.
struct GenerationConfigFile {
  std::optional<int> max_length;      ///< prompt included
  std::optional<int> max_new_tokens;  ///< overrides max_length
  std::optional<int> min_new_tokens;
  std::optional<bool> do_sample;
  std::optional<double> temperature;
  std::optional<int> top_k;  ///< 0: off
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<double> repetition_penalty;
  std::optional<int> no_repeat_ngram_size;  ///< 0: off
  std::optional<int> num_beams;
  std::optional<double> length_penalty;
  std::optional<EarlyStopping> early_stopping;  ///< in the file true, false or "never"
  std::optional<int> num_return_sequences;
  std::optional<int> bos_token_id;
  std::vector<int> eos_token_ids;  ///< each of them ends a sequence
  std::optional<int> pad_token_id;
  bool from_model_config = false;  ///< `_from_model_config`: made from config.json, not by hand
  Json json = Json::object();
};

namespace detail {

/// Reads an optional number and checks its range.
std::optional<double> ranged_number(const ConfigFields& fields, std::string_view name, double low, double high,
                                    bool low_included, const std::string& where);

/// Reads an optional integer >= 0.
std::optional<int> optional_count(const Json& json, std::string_view name, const std::string& where);

std::optional<EarlyStopping> optional_early_stopping(const Json& json, const std::string& where);

}  // namespace detail

/// Parses a generation_config.json. Throws Error that names the field.
GenerationConfigFile parse_generation_config(const Json& json, const std::string& where);

/// Reads a generation_config.json; `file_or_folder` is the file or its folder.
GenerationConfigFile read_generation_config(const std::filesystem::path& file_or_folder);

/// Contents of generation_config.json for a new checkpoint: the special token ids of its config.
GenerationConfigFile generation_config_from(const ConfigFile& file);

/// JSON of a generation_config.json: known fields after unknown ones.
Json generation_config_to_json(const GenerationConfigFile& g);

/// Writes a generation_config.json atomically.
FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::optional<double> ranged_number(const ConfigFields& fields, std::string_view name, double low,
                                                      double high, bool low_included, const std::string& where) {
  const std::optional<double> value = fields.optional_number(name);
  if (value && !(low_included ? *value >= low && *value <= high : *value > low && *value <= high))
    throw Error("{}: {} is {}, it must be {} {} and at most {}", where, name, *value,
                low_included ? "at least" : "above", low, high);
  return value;
}

MODERNGPT2_INLINE std::optional<int> optional_count(const Json& json, std::string_view name, const std::string& where) {
  const auto value = get_optional_field<int>(json, name, where);
  if (value && *value < 0) throw Error("{}: {} is {}, it must not be negative", where, name, *value);
  return value;
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
  g.min_new_tokens = detail::optional_count(json, "min_new_tokens", where);
  g.do_sample = get_optional_field<bool>(json, "do_sample", where);
  constexpr double huge = 1e30;
  g.temperature = detail::ranged_number(fields, "temperature", 0, huge, true, where);
  g.top_k = detail::optional_count(json, "top_k", where);
  g.top_p = detail::ranged_number(fields, "top_p", 0, 1, true, where);
  g.min_p = detail::ranged_number(fields, "min_p", 0, 1, true, where);
  g.repetition_penalty = detail::ranged_number(fields, "repetition_penalty", 0, huge, false, where);
  g.no_repeat_ngram_size = detail::optional_count(json, "no_repeat_ngram_size", where);
  g.num_beams = fields.optional_size("num_beams");
  g.length_penalty = fields.optional_number("length_penalty");
  g.early_stopping = detail::optional_early_stopping(json, where);
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
  set("min_new_tokens", g.min_new_tokens);
  set("do_sample", g.do_sample);
  set("temperature", g.temperature);
  set("top_k", g.top_k);
  set("top_p", g.top_p);
  set("min_p", g.min_p);
  set("repetition_penalty", g.repetition_penalty);
  set("no_repeat_ngram_size", g.no_repeat_ngram_size);
  set("num_beams", g.num_beams);
  set("length_penalty", g.length_penalty);
  if (g.early_stopping == EarlyStopping::never)
    out["early_stopping"] = "never";
  else
    set("early_stopping", g.early_stopping ? std::optional(*g.early_stopping == EarlyStopping::at_once) : std::nullopt);
  set("num_return_sequences", g.num_return_sequences);
  return out;
}

MODERNGPT2_INLINE FileRecord write_generation_config(const std::filesystem::path& path, const GenerationConfigFile& g) {
  return write_json_file(path, generation_config_to_json(g));
}

}  // namespace moderngpt2

#endif
