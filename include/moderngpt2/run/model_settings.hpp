#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/tokenizer/tokenizer.hpp"

namespace moderngpt2 {

/// Values for fields of config.json. They override the config file and the size.
///
///   fields["n_layer"] = 12;
///
/// Names are those of the model flags: the rows of describe(Config) with a section. 0 for a soft cap means none.
class ModelFields {
 public:
  Json& operator[](std::string_view name) { return values_[std::string(name)]; }

  /// Writes the values into the JSON of a config. Throws an Error for an unknown name.
  void apply(Json& json) const;

 private:
  Json values_ = Json::object();
};

/// Sources of the model config of a run.
struct ModelSource {
  std::optional<std::filesystem::path> config{};  ///< a config.json or its folder; empty: the size
  std::string size = "small";
  ModelFields fields{};
  std::string_view architecture = architectures[0];  ///< class of the model to train; the pretrained one may differ
};

/// Returns the config of a run. Without a config file, vocab_size is the tokenizer's and n_positions is max(1024,
/// block_size). The special tokens are the tokenizer's. `block_size` 0: not known yet. Throws an Error that names the
/// field if tokenizer, blocks and config do not fit together.
ConfigFile resolve_config(const ModelSource& source, const Tokenizer* tokenizer, int block_size);

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_RUNS

namespace moderngpt2 {

MODERNGPT2_INLINE void ModelFields::apply(Json& json) const {
  std::size_t known = 0;
  constexpr Config config;
  describe(config, [&](const auto&, const Field& field, const InConfig& rules) {
    const auto given = values_.find(field.name);
    if (!*field.section || given == values_.end()) return;
    ++known;
    for (const char* alias : field.aliases)
      if (alias) json.erase(alias);
    json[field.name] = rules.zero_is_none && *given == 0 ? Json(nullptr) : *given;
  });
  if (known != values_.size()) throw Error("model fields {}: not all of them are model flags", values_.dump());
  // Newer files keep these fields in objects.
  if (values_.contains("rope_scaling_factor")) json.erase("rope_scaling");
  const auto parameters = json.find("rope_parameters");
  if (parameters == json.end() || !parameters->is_object()) return;
  const auto erase = [&](Json& from) {
    if (values_.contains("rope_theta")) from.erase("rope_theta");
    if (values_.contains("rope_scaling_factor"))
      for (const char* key : {"type", "rope_type", "factor"}) from.erase(key);
  };
  erase(*parameters);
  for (Json& of_layers : *parameters)
    if (of_layers.is_object()) erase(of_layers);
}

MODERNGPT2_INLINE ConfigFile resolve_config(const ModelSource& source, const Tokenizer* tokenizer, int block_size) {
  Json json = Json::object();
  std::string where = "model " + source.size, model_type = "moderngpt2";
  if (source.config) {
    const std::filesystem::path file =
        std::filesystem::is_directory(*source.config) ? *source.config / "config.json" : *source.config;
    where = file.string();
    ConfigFile read = parse_config(read_json_file(file), where);
    model_type = read.model_type;
    json = std::move(read.json);
  } else {
    const std::optional<Config> preset = preset_config(source.size);
    if (!preset) throw Error("model size {} is unknown, known are small, medium, large and xl", source.size);
    json["model_type"] = "moderngpt2";
    json["n_layer"] = preset->n_layer;
    json["n_embd"] = preset->n_embd;
    json["n_head"] = preset->n_head;
    json["n_positions"] = std::max(1024, block_size);
  }
  json["model_type"] = "moderngpt2";
  source.fields.apply(json);
  if (tokenizer && !json.contains("vocab_size")) json["vocab_size"] = tokenizer->vocab_size();
  if (!json.contains("bos_token_id")) json["bos_token_id"] = nullptr;
  ConfigFile file = parse_config(json, where);
  require_library_layers(file.config, where);
  file.model_type = model_type;
  if (source.architecture == architectures[0] && file.architecture != architectures[0])
    throw Error("{}: the model is a {}, set --task: the default task trains a {}", where, file.architecture,
                architectures[0]);
  file.architecture = source.architecture;
  Config& c = file.config;
  if (tokenizer) {
    if (c.vocab_size < tokenizer->vocab_size())
      throw Error("{}: vocab_size is {}, the tokenizer has {} ids", where, c.vocab_size, tokenizer->vocab_size());
    c.eos_token_id = tokenizer->eos_id();
    c.pad_token_id = tokenizer->pad_id();
    file.eos_token_ids.clear();
  }
  if (block_size > c.n_positions)
    throw Error("{}: n_positions is {}, shorter than the data's blocks of {} tokens", where, c.n_positions, block_size);
  return file;
}

}  // namespace moderngpt2

#endif
