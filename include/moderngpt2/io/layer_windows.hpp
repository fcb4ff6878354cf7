#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_types.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/config_fields.hpp"
#include "moderngpt2/io/json.hpp"

// Sliding windows in config.json, under the keys of Transformers: sliding_window is the number of keys that a sliding
// layer sees, layer_types lists the attention of each layer.
namespace moderngpt2::detail {

/// Words of the first `n_layer` layers.
Json layer_types_json(const LayerTypes& types, int n_layer);

/// Reads a list of words. Throws Error for another word, an empty list and what LayerTypes refuses.
LayerTypes read_layer_types(const Json& list, const std::string& where);

/// Sets sliding_window and layer_types of `c`, whose n_layer is read already. sliding_window null: no layer slides;
/// without layer_types, layers 0, 2, 4, ... slide. Throws Error if layer_types does not have n_layer words, or if a
/// layer slides and sliding_window is missing.
void read_layer_windows(const ConfigFields& fields, const std::string& where, Config& c);

/// Writes both keys if a layer slides, else removes them.
void write_layer_windows(Json& out, const Config& c);

/// Gives configs of equal windows equal fields: those of a config without windows if no layer has one, and the shortest
/// pattern of the n_layer layers.
void normalize_windows(Config& c);

/// Makes layer_types of a config as long as its n_layer by repeating its pattern.
void repeat_layer_types(Json& config, const std::string& where);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Json layer_types_json(const LayerTypes& types, int n_layer) {
  Json list = Json::array();
  for (int i = 0; i < n_layer; ++i) list.push_back(layer_type_words[std::size_t(types[i])]);
  return list;
}

MODERNGPT2_INLINE LayerTypes read_layer_types(const Json& list, const std::string& where) {
  if (!list.is_array() || list.size() > std::size_t(max_layers))
    throw Error("{}: layer_types must list the attention of each layer, found {}", where, json_excerpt(list));
  std::vector<AttentionType> types;
  for (const Json& word : list) {
    const auto text = json_as<std::string>(word, "layer_types", where);
    bool known = false;
    for (const auto& [name, type] : words_of(AttentionType{}))
      if (name == text) types.push_back(type), known = true;
    if (!known)
      throw Error("{}: layer_types has {}, which is not supported; known are {} and {}", where, excerpt(text),
                  layer_type_words[0], layer_type_words[1]);
  }
  try {
    return LayerTypes(types);
  } catch (const Error& error) {
    std::string_view what = error.what();
    if (what.starts_with("config: ")) what.remove_prefix(8);
    throw Error("{}: {}", where, what);
  }
}

MODERNGPT2_INLINE void read_layer_windows(const ConfigFields& fields, const std::string& where, Config& c) {
  const Json* const window = fields.find("sliding_window");
  const Json* const list = fields.find("layer_types");
  c.sliding_window = fields.optional_size("sliding_window").value_or(0);
  c.layer_types = {};
  if (!list || list->is_null() || c.n_layer > max_layers) return;  // validate() refuses such an n_layer
  const LayerTypes types = read_layer_types(*list, where);
  if (list->size() != std::size_t(c.n_layer))
    throw Error("{}: layer_types has {} words for {} layers", where, list->size(), c.n_layer);
  if (types.sliding(c.n_layer) == 0) c.sliding_window = 0;
  if (c.sliding_window > 0)
    c.layer_types = types;
  else if (!window && types.sliding(c.n_layer) > 0)
    throw Error("{}: layer_types has sliding_attention, but sliding_window is missing. Set sliding_window.", where);
}

MODERNGPT2_INLINE void write_layer_windows(Json& out, const Config& c) {
  for (const char* key : {"sliding_window", "layer_types"}) out.erase(key);
  if (c.sliding_window == 0 || c.layer_types.sliding(c.n_layer) == 0) return;
  out["sliding_window"] = c.sliding_window;
  out["layer_types"] = layer_types_json(c.layer_types, c.n_layer);
}

MODERNGPT2_INLINE void normalize_windows(Config& c) {
  const LayerWindows windows = c.windows();
  const bool none = windows.width == 0 || windows.types.sliding(c.n_layer) == 0;
  if (none) c.sliding_window = 0, c.layer_types = {};
  if (none) return;
  std::vector<AttentionType> types;
  for (int i = 0; i < c.n_layer; ++i) types.push_back(windows.types[i]);
  c.layer_types = LayerTypes(types);
}

MODERNGPT2_INLINE void repeat_layer_types(Json& config, const std::string& where) {
  const auto list = config.find("layer_types");
  if (list == config.end() || !list->is_array()) return;
  const int n_layer = ConfigFields(config, where).size("n_layer", Config{}.n_layer);
  if (n_layer <= max_layers) *list = layer_types_json(read_layer_types(*list, where), n_layer);
}

}  // namespace moderngpt2::detail

#endif
