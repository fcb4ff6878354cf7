#pragma once

#include "moderngpt2/core/extent.hpp"

namespace moderngpt2 {

/// Activation of the gated MLP: the lines of config/activations.def. Formulas: backend/activation.hpp.
enum class Activation : signed char {
  dynamic = -1,
#define MODERNGPT2_ACTIVATION(value, ...) value,
#include "moderngpt2/config/activations.def"
};

/// A switch that is part of the type, or a run-time value.
enum class Toggle : signed char { dynamic = -1, off, on };

/// Template argument of models: their sizes and kinds. A field that is given is a compile-time constant; a field left
/// `dynamic` is read from config.json. Flat and structural, so that it works as a template argument.
struct ModelShape {
  int n_layer = dynamic;
  int n_embd = dynamic;
  int n_head = dynamic;
  int n_kv_head = dynamic;
  int head_dim = dynamic;
  int n_inner = dynamic;
  Activation activation = Activation::dynamic;
  Toggle attention_bias = Toggle::dynamic;
  Toggle tied_head = Toggle::dynamic;
};

/// Runs any checkpoint.
inline constexpr ModelShape any_shape{};

/// Grouped-query attention: each key/value head serves n_head / n_kv_head query heads.
template <int Heads, int KvHeads>
concept KvHeadsDivideHeads = Heads == dynamic || KvHeads == dynamic ||
                             (Heads > 0 && KvHeads > 0 && Heads % KvHeads == 0);

/// Rotary positions turn pairs of channels.
template <int HeadDim>
concept RotaryNeedsEvenHeadDim = HeadDim == dynamic || (HeadDim > 0 && HeadDim % 2 == 0);

}  // namespace moderngpt2
