#pragma once

#include "moderngpt2/config/model_shape.hpp"

namespace moderngpt2 {

/// Calls f.template operator()<A>() with a built-in activation as a compile-time constant; no call for other values.
/// Kernels call it too: that is what constexpr is for.
template <class F>
constexpr void with_activation(Activation a, const F& f) {
  switch (a) {
#define MODERNGPT2_ACTIVATION(value, ...) \
  case Activation::value:                 \
    return f.template operator()<Activation::value>();
#include "moderngpt2/config/activations.def"
    case Activation::dynamic:
      break;
  }
}

}  // namespace moderngpt2
