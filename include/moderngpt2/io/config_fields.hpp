#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/json.hpp"

namespace moderngpt2::detail {

/// Calls f(alias, name) for each alias of each field of config.json.
template <class F>
constexpr void for_each_alias(F&& f) {
  constexpr Config config;
  describe(config, [&](const auto&, const Field& field, const InConfig&) {
    for (const char* alias : field.aliases)
      if (alias) f(alias, field.name);
  });
}

inline constexpr std::size_t config_alias_count = [] {
  std::size_t count = 0;
  for_each_alias([&](const char*, const char*) { ++count; });
  return count;
}();

/// Aliases of fields, which are read, and the names under which the fields are written: {alias, name}.
inline constexpr auto config_aliases = [] {
  std::array<std::pair<std::string_view, std::string_view>, config_alias_count> aliases;
  std::size_t row = 0;
  for_each_alias([&](const char* alias, const char* name) { aliases[row++] = {alias, name}; });
  return aliases;
}();

/// Maximum of a size, so that products of two sizes stay far from overflow; validate() has the same limit.
inline constexpr int max_config_size = 1 << 27;

/// Reads the fields of one config.json with their aliases, ranges and defaults; each Error names file and field.
class ConfigFields {
 public:
  ConfigFields(const Json& json, const std::string& where) : json_(json), where_(where) {
    if (!json.is_object()) throw Error("{}: an object is needed, found {}", where, json_excerpt(json));
  }

  /// Value of a field under its own name; a null pointer if absent.
  const Json* find(std::string_view name) const { return find_field(json_, name, where_); }

  /// Value under the name or an alias, and the key used. Throws Error if several keys have different values; a null
  /// value counts as absent if another key is present.
  std::pair<const Json*, std::string_view> find_aliased(std::string_view name) const;

  /// Integer from 1 to max_config_size under the name or an alias; `otherwise` if absent.
  int size(std::string_view name, int otherwise) const;
  /// Integer from 1 to max_config_size under the name or an alias; empty if absent or null.
  std::optional<int> optional_size(std::string_view name) const;
  double number(std::string_view name, double otherwise) const {
    return get_field_or<double>(json_, name, otherwise, where_);
  }
  std::optional<double> optional_number(std::string_view name) const {
    return get_optional_field<double>(json_, name, where_);
  }
  bool flag(std::string_view name, bool otherwise) const { return get_field_or<bool>(json_, name, otherwise, where_); }
  std::optional<std::string> optional_text(std::string_view name) const {
    return get_optional_field<std::string>(json_, name, where_);
  }

  /// Reads a row of describe(Config), unless it has a format of its own.
  template <class T>
  void read(T& member, const Field& row, const InConfig& rules) const {
    if (rules.own_format) return;
    if constexpr (std::is_same_v<T, int>)
      member = rules.null_is_default ? optional_size(row.name).value_or(member) : size(row.name, member);
    else if constexpr (std::is_same_v<T, double>)
      member = rules.null_is_default ? optional_number(row.name).value_or(member) : number(row.name, member);
    else if constexpr (std::is_same_v<T, std::optional<double>>)
      member = optional_number(row.name);
    else if constexpr (std::is_same_v<T, bool>)
      member = flag(row.name, member);
    else if constexpr (std::is_same_v<T, Activation>)
      member = activation();
    else if constexpr (std::is_same_v<T, std::optional<Activation>>)
      member = optional_activation(row.name);
    else if constexpr (std::is_enum_v<T>)
      member = choice(row.name, words_of(member), member);
  }

  /// Token ids from a number or, if `list_allowed`, a list of numbers. null: none; absent: `otherwise`.
  std::vector<int> token_ids(std::string_view name, std::vector<int> otherwise, bool list_allowed) const;

  Activation activation() const;
  std::optional<Activation> optional_activation(std::string_view name) const;

  /// Value whose name the field has; `otherwise` if absent or null. Throws Error for a name that is not in `choices`.
  template <class Value, std::size_t N>
  Value choice(std::string_view name, const std::array<std::pair<std::string_view, Value>, N>& choices,
               Value otherwise) const {
    const std::optional<std::string> text = optional_text(name);
    if (!text) return otherwise;
    std::string known;
    for (const auto& [choice, value] : choices) {
      if (choice == *text) return value;
      known += (known.empty() ? "" : ", ") + std::string(choice);
    }
    throw Error("{}: {} is {}, known are {}", where_, name, excerpt(*text), known);
  }

  /// Factor of linear RoPE scaling from rope_scaling, rope_parameters or rope_scaling_factor; 1 without any.
  double rope_scaling_factor() const;

  /// rope_theta, which newer files keep in rope_parameters.
  double rope_theta() const;

  /// Number of labels from num_labels, id2label and label2id, which must agree; `otherwise` without any.
  int num_labels(int otherwise) const;

  /// The object `blocks`: {"attention": {"type": name, field: number, ...}, "mlp": ..., "norm": ...}.
  BlocksConfig blocks() const;

 private:
  int size_value(const Json& value, std::string_view name) const;
  Activation activation_value(const Json& value, std::string_view name) const;
  bool same(std::string_view name, const Json& a, const Json& b) const;
  std::optional<double> scaling_value(const Json& scaling, std::string_view name) const;
  const Json* rope_parameters() const;

  const Json& json_;
  const std::string& where_;
};

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE std::pair<const Json*, std::string_view> ConfigFields::find_aliased(std::string_view name) const {
  std::pair<const Json*, std::string_view> result{find(name), name};
  for (const auto& [alias, canonical] : config_aliases) {
    if (canonical != name) continue;
    const Json* other = find(alias);
    if (!other || (other->is_null() && result.first)) continue;
    if (result.first && !result.first->is_null() && !same(name, *result.first, *other))
      throw Error("{}: {} is {} but {} is {}", where_, result.second, json_excerpt(*result.first), alias,
                  json_excerpt(*other));
    result = {other, alias};
  }
  return result;
}

MODERNGPT2_INLINE int ConfigFields::size(std::string_view name, int otherwise) const {
  const auto [value, spelling] = find_aliased(name);
  return value ? size_value(*value, spelling) : otherwise;
}

MODERNGPT2_INLINE std::optional<int> ConfigFields::optional_size(std::string_view name) const {
  const auto [value, spelling] = find_aliased(name);
  if (!value || value->is_null()) return std::nullopt;
  return size_value(*value, spelling);
}

MODERNGPT2_INLINE std::vector<int> ConfigFields::token_ids(std::string_view name, std::vector<int> otherwise,
                                                           bool list_allowed) const {
  const Json* value = find(name);
  if (!value) return otherwise;
  if (value->is_null()) return {};
  std::vector<int> ids;
  if (value->is_array() && list_allowed)
    for (const Json& id : *value) ids.push_back(json_as<int>(id, name, where_));
  else
    ids.push_back(json_as<int>(*value, name, where_));
  for (int id : ids)
    if (id < 0) throw Error("{}: {} is {}, token ids are not negative", where_, name, id);
  return ids;
}

MODERNGPT2_INLINE Activation ConfigFields::activation() const {
  const auto [value, spelling] = find_aliased("activation_function");
  return value ? activation_value(*value, spelling) : Activation::gelu_tanh;
}

MODERNGPT2_INLINE std::optional<Activation> ConfigFields::optional_activation(std::string_view name) const {
  const Json* value = find(name);
  if (!value || value->is_null()) return std::nullopt;
  return activation_value(*value, name);
}

MODERNGPT2_INLINE double ConfigFields::rope_scaling_factor() const {
  std::optional<double> factor;
  std::string_view source;
  auto agree = [&](std::string_view name, double value) {
    if (factor && *factor != value)
      throw Error("{}: {} means a factor of {} but {} one of {}", where_, source, *factor, name, value);
    factor = value, source = name;
  };
  for (const auto& [name, scaling] : {std::pair(std::string_view("rope_scaling"), find("rope_scaling")),
                                      std::pair(std::string_view("rope_parameters"), rope_parameters())})
    if (scaling && !scaling->is_null())
      if (const std::optional<double> value = scaling_value(*scaling, name)) agree(name, *value);
  if (const auto direct = optional_number("rope_scaling_factor")) agree("rope_scaling_factor", *direct);
  return factor.value_or(1.0);
}

MODERNGPT2_INLINE double ConfigFields::rope_theta() const {
  const Json* parameters = rope_parameters();
  std::optional<double> theta;
  if (parameters && parameters->is_object())
    theta = get_optional_field<double>(*parameters, "rope_theta", where_ + ": rope_parameters");
  if (!theta) return number("rope_theta", 10000.0);
  if (const double direct = number("rope_theta", *theta); direct != *theta)
    throw Error("{}: rope_theta is {} but rope_parameters has {}", where_, direct, *theta);
  return *theta;
}

MODERNGPT2_INLINE int ConfigFields::num_labels(int otherwise) const {
  std::optional<int> count = optional_size("num_labels");
  std::string_view source = "num_labels";
  for (std::string_view name : {std::string_view("id2label"), std::string_view("label2id")}) {
    const Json* labels = find(name);
    if (!labels || labels->is_null()) continue;
    if (!labels->is_object()) throw Error("{}: {} must be an object, found {}", where_, name, json_excerpt(*labels));
    if (labels->empty() || labels->size() > static_cast<std::size_t>(max_config_size))
      throw Error("{}: {} has {} labels", where_, name, labels->size());
    const int n = static_cast<int>(labels->size());
    if (count && *count != n) throw Error("{}: {} gives {} labels but {} gives {}", where_, source, *count, name, n);
    count = n, source = name;
  }
  return count.value_or(otherwise);
}

MODERNGPT2_INLINE BlocksConfig ConfigFields::blocks() const {
  BlocksConfig blocks;
  const auto is_name = [](const std::string& text) { return is_layer_word(text, LayerConfig::max_name); };
  const Json* object = find("blocks");
  if (!object || object->is_null()) return blocks;
  if (!object->is_object()) throw Error("{}: blocks must be an object, found {}", where_, json_excerpt(*object));
  for (const auto& [part, layer] : object->items()) {
    const std::string here = where_ + ": blocks." + part;
    LayerConfig* const config = part == "attention" ? &blocks.attention
                                : part == "mlp"     ? &blocks.mlp
                                : part == "norm"    ? &blocks.norm
                                                    : nullptr;
    if (!config) throw Error("{}: blocks has {}, known are attention, mlp and norm", where_, excerpt(part));
    const auto type = get_field<std::string>(layer, "type", here);
    if (!is_name(type)) throw Error("{}: type {} is not the name of a layer", here, excerpt(type));
    config->set_type(type);
    for (const auto& [key, value] : layer.items()) {
      if (key == "type") continue;
      if (!is_name(key)) throw Error("{}: {} is not the name of a field", here, excerpt(key));
      if (config->size() == LayerConfig::max_fields)
        throw Error("{}: more than {} fields", here, LayerConfig::max_fields);
      config->set(key, json_as<double>(value, key, here));
    }
  }
  return blocks;
}

MODERNGPT2_INLINE int ConfigFields::size_value(const Json& value, std::string_view name) const {
  const auto n = json_as<std::int64_t>(value, name, where_);
  if (n < 1 || n > max_config_size)
    throw Error("{}: {} is {}, it must be from 1 to {}", where_, name, n, max_config_size);
  return static_cast<int>(n);
}

MODERNGPT2_INLINE Activation ConfigFields::activation_value(const Json& value, std::string_view name) const {
  const auto text = json_as<std::string>(value, name, where_);
  if (const auto activation = activation_from_name(text)) return *activation;
  throw Error("{}: {} {} is unknown. Known are {}; a program may add one with register_activation().", where_, name,
              excerpt(text), activation_names());
}

MODERNGPT2_INLINE bool ConfigFields::same(std::string_view name, const Json& a, const Json& b) const {
  if (name == "activation_function" && a.is_string() && b.is_string())
    return activation_value(a, name) == activation_value(b, name);
  return a == b;
}

/// Returns rope_parameters; if it has one set for each kind of layer, that set. Throws Error if these differ.
MODERNGPT2_INLINE const Json* ConfigFields::rope_parameters() const {
  const Json* const parameters = find("rope_parameters");
  if (!parameters || !parameters->is_object()) return parameters;
  const Json* of_layers = nullptr;
  std::size_t kinds = 0;
  const auto is_object = [](const Json& value) { return value.is_object(); };
  const bool nested = std::any_of(parameters->begin(), parameters->end(), is_object);
  for (const auto& [kind, value] : parameters->items()) {
    if (nested && value.is_null())
      throw Error("{}: rope_parameters: {} is null: layers without rotary positions are not supported", where_,
                  excerpt(kind));
    if (!value.is_object()) continue;
    ++kinds;
    if (of_layers && *of_layers != value)
      throw Error("{}: rope_parameters differ between kinds of layers, which is not supported", where_);
    of_layers = &value;
  }
  if (of_layers && kinds != parameters->size())
    throw Error("{}: rope_parameters has both values and sets of values for kinds of layers", where_);
  return of_layers ? of_layers : parameters;
}

/// Returns the factor of an object, nothing if it names no type of scaling.
MODERNGPT2_INLINE std::optional<double> ConfigFields::scaling_value(const Json& scaling, std::string_view name) const {
  const std::string here = where_ + ": " + std::string(name);
  const auto kind = get_optional_field<std::string>(scaling, "rope_type", here);
  const auto old_kind = get_optional_field<std::string>(scaling, "type", here);
  if (kind && old_kind && *kind != *old_kind)
    throw Error("{}: rope_type is {} but type is {}", here, excerpt(*kind), excerpt(*old_kind));
  if (const auto part = get_optional_field<double>(scaling, "partial_rotary_factor", here); part && *part != 1)
    throw Error("{}: partial_rotary_factor {} is not supported, all channels of a head are rotated", here, *part);
  if (!kind && !old_kind) {
    if (scaling.empty() || (name == "rope_parameters" && !scaling.contains("factor"))) return std::nullopt;
    throw Error("{}: rope_type is missing", here);
  }
  const std::string& type = kind ? *kind : *old_kind;
  if (type == "default") return 1.0;
  if (type != "linear")
    throw Error("{}: rope_type {} is not supported, only \"default\" and \"linear\" are", here, excerpt(type));
  return get_field<double>(scaling, "factor", here);
}

}  // namespace moderngpt2::detail

#endif
