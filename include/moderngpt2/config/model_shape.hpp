#pragma once

#include "moderngpt2/core/extent.hpp"

namespace moderngpt2 {

// -Wshadow of g++ also warns about enumerators that only their enumeration's name reaches.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"

/// Activation of the gated MLP: the lines of config/activations.def, then values of register_activation(). Formulas:
/// backend/activation.hpp.
enum class Activation : signed char {
  dynamic = -1,
#define MODERNGPT2_ACTIVATION(value, ...) value,
#include "moderngpt2/config/activations.def"
};

/// Compile-time switch; `dynamic`: decided at run time.
enum class Toggle : signed char { dynamic = -1, off, on };

#pragma GCC diagnostic pop

/// Template argument of models: sizes, activation and switches. A field that is set is a compile-time constant; a
/// `dynamic` field is read from the Config. A structural type, as template arguments must be.
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

/// Shape without compile-time constants: a model of this shape runs any config.
inline constexpr ModelShape any_shape{};

/// Grouped-query attention: each key/value head serves n_head / n_kv_head query heads.
template <int Heads, int KvHeads>
concept KvHeadsDivideHeads = Heads == dynamic || KvHeads == dynamic ||
                             (Heads > 0 && KvHeads > 0 && Heads % KvHeads == 0);

/// Rotary positions turn pairs of channels.
template <int HeadDim>
concept RotaryNeedsEvenHeadDim = HeadDim == dynamic || (HeadDim > 0 && HeadDim % 2 == 0);

}  // namespace moderngpt2
