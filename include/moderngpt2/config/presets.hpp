#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "moderngpt2/config/config.hpp"

namespace moderngpt2 {

/// Config with GPT-2's defaults: head_dim is n_embd / n_head, the MLP's width 4 n_embd.
constexpr Config size_config(int n_layer, int n_embd, int n_head, int vocab_size = 50257) {
  Config c;
  c.vocab_size = vocab_size;
  c.n_layer = n_layer;
  c.n_embd = n_embd;
  c.n_head = c.n_kv_head = n_head;
  c.head_dim = n_embd / n_head;
  c.n_inner = 4 * n_embd;
  return c;
}

/// Shape with every field of a config as a constant.
constexpr ModelShape shape_of(const Config& c) {
  return {.n_layer = c.n_layer,
          .n_embd = c.n_embd,
          .n_head = c.n_head,
          .n_kv_head = c.n_kv_head,
          .head_dim = c.head_dim,
          .n_inner = c.n_inner,
          .activation = c.activation,
          .attention_bias = c.attention_bias ? Toggle::on : Toggle::off,
          .tied_head = c.tied_head ? Toggle::on : Toggle::off};
}

inline constexpr Config small_config = size_config(12, 768, 12);
inline constexpr Config medium_config = size_config(24, 1024, 16);
inline constexpr Config large_config = size_config(36, 1280, 20);
inline constexpr Config xl_config = size_config(48, 1600, 25);

inline constexpr ModelShape small_shape = shape_of(small_config);
inline constexpr ModelShape medium_shape = shape_of(medium_config);
inline constexpr ModelShape large_shape = shape_of(large_config);
inline constexpr ModelShape xl_shape = shape_of(xl_config);

/// Named model size, as of --model_size_name.
struct Preset {
  std::string_view name;
  Config config;
};

inline constexpr std::array<Preset, 4> presets{
    {{"small", small_config}, {"medium", medium_config}, {"large", large_config}, {"xl", xl_config}}};

/// Config of a size by its name; empty for an unknown name.
constexpr std::optional<Config> preset_config(std::string_view name) {
  for (const Preset& p : presets)
    if (p.name == name) return p.config;
  return std::nullopt;
}

}  // namespace moderngpt2
