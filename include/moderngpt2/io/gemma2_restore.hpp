#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2_export.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/query_scale.hpp"

namespace moderngpt2 {

/// This library's config of a model in a gemma2 folder.
struct RestoredConfig {
  Json json;  ///< config.json in the format moderngpt2
  /// Class that tokenizer_config.json named before the export ("": none), if that was another.
  std::optional<std::string> tokenizer_class{};
  bool is_exported = false;          ///< config_to_gemma2() made the folder and its fields are unchanged
  std::vector<std::string> notes{};  ///< differences from the exported model
};

/// Translates a gemma2 config.json. One that config_to_gemma2() wrote gives the exported config.json, every field of
/// it; if another program has changed a field since, that change is kept, and only fields that Gemma 2 lacks are
/// restored. `gemma`: parse_config() of the file; `original`: its text.
RestoredConfig restore_config(const ConfigFile& gemma, const Json& original, const std::string& where);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

/// Fields that a gemma2 config.json does not have, and that change neither the weights nor the outputs.
inline constexpr std::array<std::string_view, 7> fields_without_gemma2{
    "resid_pdrop",        "embd_pdrop",           "summary_type", "summary_use_proj", "summary_proj_to_labels",
    "summary_activation", "summary_first_dropout"};

/// Values of the fields that both formats have.
MODERNGPT2_INLINE std::vector<Json> common_fields(const ConfigFile& file) {
  std::vector<Json> values;
  describe(file.config, [&](const auto& member, const Field& field, const InConfig&) {
    for (std::string_view name : fields_without_gemma2)
      if (name == field.name) return;
    if (std::string_view(field.name) != "classifier_dropout") values.push_back(field_json(member));
  });
  values.push_back(file.architecture);
  values.push_back(file.eos_token_ids);
  for (const char* name : {"id2label", "label2id"})
    if (const Json* labels = find_field(file.json, name, "config.json");
        labels && file.architecture != architectures[0])
      values.push_back(*labels);
  return values;
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE RestoredConfig restore_config(const ConfigFile& gemma, const Json& original,
                                                const std::string& where) {
  RestoredConfig result{.json = config_to_json(gemma)};
  result.json.erase(remembered_key);
  const Json* const remembered = find_field(original, remembered_key, where);
  if (!remembered || !remembered->is_object()) return result;
  const std::string here = where + ": " + remembered_key;
  const Json* const config = find_field(*remembered, "config", here);
  if (!config || !config->is_object()) return result;
  const ConfigFile before = parse_config(*config, here);
  const Json exported = config_to_gemma2(before, {}, "float32");
  result.tokenizer_class = get_optional_field<std::string>(*remembered, "tokenizer_class", here);
  if (detail::common_fields(parse_config(exported, here)) == detail::common_fields(gemma)) {
    result.json = *config;
    result.is_exported = true;
    return result;
  }
  result.notes.push_back(where + ": fields have changed since the export: the new values are kept");
  for (std::string_view name : detail::fields_without_gemma2)
    if (const Json* value = find_field(*config, name, here)) result.json[std::string(name)] = *value;
  return result;
}

}  // namespace moderngpt2

#endif
