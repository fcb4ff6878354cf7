#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Maximum of n_layer.
inline constexpr int max_layers = 100'000;

/// Keys that the attention of a layer sees. full: all up to the query's own. sliding: the last sliding_window of these.
enum class AttentionType : unsigned char { full, sliding };

/// Words of the values in config.json.
constexpr auto words_of(AttentionType) {
  using Word = std::pair<std::string_view, AttentionType>;
  return std::array{Word("full_attention", AttentionType::full), Word("sliding_attention", AttentionType::sliding)};
}

/// The words alone, as choices of a flag.
inline constexpr std::array<std::string_view, 2> layer_type_words{words_of(AttentionType{})[0].first,
                                                                  words_of(AttentionType{})[1].first};

/// Attention type of each layer: a pattern that repeats. A plain value, for constant expressions. Default: Gemma 2's
/// pattern, in which layers 0, 2, 4, ... slide.
class LayerTypes {
 public:
  static constexpr int max_period = 512;

  constexpr LayerTypes() = default;
  /// Shortest pattern that begins with `types`. Throws an Error if `types` is empty, or has no period of at most
  /// max_period layers.
  constexpr explicit LayerTypes(std::span<const AttentionType> types) {
    if (types.empty()) throw Error("config: layer_types is empty");
    std::size_t period = 1;
    for (std::size_t i = 1; i < types.size(); ++i)
      while (period <= max_period && types[i] != types[i % period]) i = period++;  // start again after this period
    if (period > max_period)
      throw Error("config: layer_types has {} layers and does not repeat within {}, which is not supported",
                  types.size(), max_period);
    period_ = int(period);
    bits_ = {};
    for (std::size_t i = 0; i < period; ++i)
      if (types[i] == AttentionType::sliding) bits_[i / 64] |= std::uint64_t(1) << (i % 64);
  }

  constexpr int period() const { return period_; }
  /// Type of a layer, counted from 0.
  constexpr AttentionType operator[](int layer) const {
    const auto at = std::size_t(layer % period_);
    return AttentionType((bits_[at / 64] >> (at % 64)) & 1);
  }
  /// Number of sliding layers among the first `n_layer`.
  constexpr int sliding(int n_layer) const {
    int n = 0;
    for (int i = 0; i < n_layer; ++i) n += (*this)[i] == AttentionType::sliding;
    return n;
  }

  friend constexpr bool operator==(const LayerTypes&, const LayerTypes&) = default;

 private:
  std::array<std::uint64_t, max_period / 64> bits_{1};
  int period_ = 2;
};

/// Sliding windows of the layers of a model, as its attention reads them.
struct LayerWindows {
  int width = 0;  ///< keys that a sliding layer sees, the query's own included; 0: no layer slides
  int n_layer = 1;
  LayerTypes types{};

  /// Keys that a query of `layer` sees at most; 0: all earlier ones.
  constexpr int operator[](int layer) const { return width > 0 && types[layer] == AttentionType::sliding ? width : 0; }
  /// Keys that a query sees in sequences of `time` tokens: mean over queries and layers.
  constexpr double mean_keys(int time) const {
    const double all = (time + 1) / 2.0;
    if (width == 0 || width >= time) return all;
    const double cut = time - width;  // queries that see `width` keys; the others see 1 to `width`
    const double windowed = (width * (width + 1.0) / 2 + cut * width) / time;
    return all + (windowed - all) * types.sliding(n_layer) / n_layer;
  }
};

}  // namespace moderngpt2
