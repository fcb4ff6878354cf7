#pragma once

#include <string_view>

#include "moderngpt2/config/presets.hpp"

namespace moderngpt2::bench {

/// Sizes of the benchmarked models, with a vocabulary of 32000 and no dropout: `tiny`, and `small` of GPT-2.
constexpr Config without_dropout(Config c) {
  c.vocab_size = 32000;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = 0;
  return c;
}
inline constexpr Config tiny_config = without_dropout(size_config(4, 256, 4));
inline constexpr Config small_config = without_dropout(moderngpt2::small_config);
/// Config of `tiny` or of a preset, by name.
inline Config config_of(std::string_view size) {
  return size == "tiny" ? tiny_config : without_dropout(preset_config(size).value());
}
inline constexpr ModelShape tiny_shape = shape_of(tiny_config);

}  // namespace moderngpt2::bench
