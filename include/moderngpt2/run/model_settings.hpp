#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
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
#include "moderngpt2/io/layer_windows.hpp"
#include "moderngpt2/run/tokenizer_choice.hpp"
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
  std::optional<int> vocab_size{};                   ///< overrides the config's
  int vocab_multiple = 1;                            ///< vocab_size is rounded up to a multiple
};

/// Vocabulary size, in ids, rounded up to a multiple of `multiple`. Throws Error if the result does not fit an int.
inline int round_up_vocabulary(int size, int multiple) {
  const std::int64_t padded = (std::int64_t{size} + multiple - 1) / multiple * multiple;
  if (padded > std::numeric_limits<int>::max())
    throw Error("{} {} is too large: the vocabulary of {} ids, rounded up, must be below 2^31",
                Setting{"pad_vocab_multiple"}, multiple, size);
  return static_cast<int>(padded);
}

/// Returns the config of a run. Without a config file, vocab_size is the vocabulary's, rounded up to vocab_multiple,
/// and n_positions is max(1024, block_size). The special tokens are the vocabulary's. `vocabulary` null: not known.
/// `block_size` 0: not known yet. Throws an Error that names the field if vocabulary, blocks and config do not fit
/// together.
ConfigFile resolve_config(const ModelSource& source, const Vocabulary* vocabulary, int block_size);

/// Returns the config of a run with the vocabulary of `tokenizer`; null: not known.
inline ConfigFile resolve_config(const ModelSource& source, const Tokenizer* tokenizer, int block_size) {
  if (!tokenizer) return resolve_config(source, static_cast<const Vocabulary*>(nullptr), block_size);
  const Vocabulary vocabulary = vocabulary_of(*tokenizer, {});
  return resolve_config(source, &vocabulary, block_size);
}
inline ConfigFile resolve_config(const ModelSource& source, std::nullptr_t, int block_size) {
  return resolve_config(source, static_cast<const Vocabulary*>(nullptr), block_size);
}

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
  if (const bool given = values_.contains("sliding_window"); given && json["sliding_window"].is_null()) {
    if (!values_.contains("layer_types")) json.erase("layer_types");
  } else if (const auto types = json.find("layer_types"); given && types != json.end() && types->is_array()) {
    const LayerTypes pattern = detail::read_layer_types(*types, "model fields");
    if (pattern.sliding(pattern.period()) == 0)
      throw Error("model fields: no layer slides, so that sliding_window has no effect. Set layer_types.");
  }
  if (values_.contains("layer_types") || values_.contains("n_layer")) detail::repeat_layer_types(json, "model fields");
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

MODERNGPT2_INLINE ConfigFile resolve_config(const ModelSource& source, const Vocabulary* vocabulary, int block_size) {
  Json json = Json::object();
  std::string where = "model " + source.size, model_type = "moderngpt2";
  if (source.config) {
    where = (std::filesystem::is_directory(*source.config) ? *source.config / "config.json" : *source.config).string();
    ConfigFile read = read_config(*source.config);
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
  if (source.vocab_size) json["vocab_size"] = *source.vocab_size;
  if (vocabulary && vocabulary->size > 0 && !json.contains("vocab_size")) json["vocab_size"] = vocabulary->size;
  const bool names_eos = json.contains("eos_token_id");
  if (!json.contains("bos_token_id")) json["bos_token_id"] = nullptr;
  ConfigFile file = parse_config(json, where);
  require_library_layers(file.config, where);
  file.model_type = model_type;
  if (source.architecture == architectures[0] && file.architecture != architectures[0])
    throw Error("{}: the model is a {}, set --task: the default task trains a {}", where, file.architecture,
                architectures[0]);
  file.architecture = source.architecture;
  Config& c = file.config;
  if (vocabulary) {
    const char* const owner = vocabulary->has_tokenizer ? "the tokenizer" : "the tokenizer of the shards";
    if (c.vocab_size < vocabulary->size)
      throw Error("{}: vocab_size is {}, {} has {} ids", where, c.vocab_size, owner, vocabulary->size);
    const bool sets_eos = vocabulary->has_tokenizer || vocabulary->eos_id || !names_eos;
    if (sets_eos) c.eos_token_id = vocabulary->eos_id, file.eos_token_ids.clear();
    if (vocabulary->has_tokenizer || vocabulary->pad_id) c.pad_token_id = vocabulary->pad_id;
    const auto check = [&](const char* name, std::optional<int> id) {
      if (id && *id >= c.vocab_size)
        throw Error("{}: {} is {}, outside the vocabulary of {}", where, name, *id, c.vocab_size);
    };
    check("eos_token_id", c.eos_token_id);
    check("pad_token_id", c.pad_token_id);
  }
  c.vocab_size = round_up_vocabulary(c.vocab_size, source.vocab_multiple);
  if (block_size > c.n_positions)
    throw Error("{}: n_positions is {}, shorter than the data's blocks of {} tokens", where, c.n_positions, block_size);
  return file;
}

}  // namespace moderngpt2

#endif
