#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Text of at most N bytes as a plain value, for constant expressions.
template <std::size_t N>
class FixedText {
 public:
  constexpr FixedText() = default;
  /// Throws an Error for a longer text.
  constexpr FixedText(std::string_view text) : size_(text.size()) {
    if (text.size() > N) throw Error("the name \"{}\" is longer than {} bytes", text, N);
    std::copy(text.begin(), text.end(), bytes_.begin());
  }
  constexpr std::string_view view() const { return {bytes_.data(), size_}; }
  constexpr bool empty() const { return size_ == 0; }
  friend constexpr bool operator==(const FixedText&, const FixedText&) = default;

 private:
  std::array<char, N> bytes_{};
  std::size_t size_ = 0;
};

/// Config field of a layer: name in config.json and value. Integers and switches (0, 1) are numbers too.
struct LayerField {
  std::string_view name;
  double value = 0;
};

namespace detail {

/// Whether a text may be the type or a field of a layer: 1 to `most` letters, digits, "_", "-" and ".".
constexpr bool is_layer_word(std::string_view text, std::size_t most) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  return !text.empty() && text.size() <= most && std::all_of(text.begin(), text.end(), fits);
}

}  // namespace detail

/// Type and fields of a layer in a config, as a plain value. What it accepts, config.json can keep. A layer that is not
/// the library's declares
///
///   static constexpr const char* name = "sliding_window";             // its type in config.json
///   static constexpr std::array fields{LayerField{"window", 64}};     // optional: its fields with their defaults
///
/// and reads them in its constructor: `window(int(c.blocks.attention.get<SlidingWindow>("window")))`.
class LayerConfig {
 public:
  static constexpr int max_fields = 8;
  static constexpr std::size_t max_name = 64;  ///< bytes of a type or a field's name

  /// Type of the layer; empty: the library's own layer.
  constexpr std::string_view type() const { return type_.view(); }
  constexpr bool is_standard() const { return type_.empty() && size_ == 0; }
  /// Throws an Error unless the type has 1 to max_name letters, digits, "_", "-" and ".".
  constexpr void set_type(std::string_view type) {
    if (!detail::is_layer_word(type, max_name))
      throw Error("config: \"{}\" cannot be the type of a layer: use 1 to {} letters, digits, _, - and .", type,
                  max_name);
    type_ = FixedText<max_name>(type);
  }
  constexpr int size() const { return size_; }
  constexpr LayerField field(int i) const { return {names_[std::size_t(i)].view(), values_[std::size_t(i)]}; }
  constexpr bool contains(std::string_view name) const { return find(name) < size_; }

  /// Sets a field. Throws an Error for more than max_fields, a name that set_type() would refuse, the name "type", and
  /// a value that is not finite.
  constexpr void set(std::string_view name, double value) {
    if (!detail::is_layer_word(name, max_name) || name == "type")
      throw Error("config: \"{}\" cannot be a field of a layer: use 1 to {} letters, digits, _, - and ., not type",
                  name, max_name);
    if (!(value - value == 0)) throw Error("config: field {} of a layer is {}, it must be finite", name, value);
    const int at = find(name);
    if (at == max_fields) throw Error("config: layer {} has more than {} fields", type(), max_fields);
    names_[std::size_t(at)] = FixedText<max_name>(name);
    values_[std::size_t(at)] = value;
    size_ = std::max(size_, at + 1);
  }

  /// Value of a field that Layer declares; its default unless set.
  template <class Layer>
  constexpr double get(std::string_view name) const {
    if (const int at = find(name); at < size_) return values_[std::size_t(at)];
    for (const LayerField& declared : Layer::fields)
      if (declared.name == name) return declared.value;
    throw Error("internal: layer {} declares no field {}", Layer::name, name);
  }

  friend constexpr bool operator==(const LayerConfig&, const LayerConfig&) = default;

 private:
  constexpr int find(std::string_view name) const {
    int at = 0;
    while (at < size_ && names_[std::size_t(at)].view() != name) ++at;
    return at;
  }

  FixedText<max_name> type_;
  std::array<FixedText<max_name>, max_fields> names_{};
  std::array<double, max_fields> values_{};
  int size_ = 0;
};

/// Layers of the blocks of a model; empty: the library's own.
struct BlocksConfig {
  LayerConfig attention, mlp, norm;

  constexpr bool is_standard() const { return attention.is_standard() && mlp.is_standard() && norm.is_standard(); }
  friend constexpr bool operator==(const BlocksConfig&, const BlocksConfig&) = default;
};

/// Completes the config of one layer, `where` in config.json (such as "blocks.attention"): sets the type of a new
/// config and the defaults of fields that it lacks. Throws an Error if the config names another type or a field that
/// Layer does not declare.
template <class Layer>
constexpr void complete_layer_config(LayerConfig& config, std::string_view where) {
  std::string_view name;
  if constexpr (requires { Layer::name; }) name = Layer::name;  // empty: a layer of the library
  if (!config.type().empty() && config.type() != name)
    throw Error("config: {} is {}, this program's model has {}", where, config.type(),
                name.empty() ? "the library's own layer" : name);
  if (constexpr bool has_fields = requires { Layer::fields; }; has_fields || !name.empty()) config.set_type(name);
  int known = 0;
  if constexpr (requires { Layer::fields; })
    for (const LayerField& field : Layer::fields) {
      if (!config.contains(field.name)) config.set(field.name, field.value);
      ++known;
    }
  if (config.size() == known) return;
  for (int i = 0; i < config.size(); ++i) {
    bool declared = false;
    if constexpr (requires { Layer::fields; })
      for (const LayerField& field : Layer::fields) declared |= field.name == config.field(i).name;
    if (!declared)
      throw Error("config: {} has a field {}, which {} does not have", where, config.field(i).name,
                  name.empty() ? "the library's own layer" : name);
  }
}

}  // namespace moderngpt2
