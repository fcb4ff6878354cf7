#pragma once

#include "moderngpt2/config/model_shape.hpp"

namespace moderngpt2 {

/// Calls f.template operator()<A>() with the activation as a compile-time constant. Kernels call it too: that is what
/// constexpr is for.
template <class F>
constexpr void with_activation(Activation a, const F& f) {
  switch (a) {
    case Activation::gelu_tanh:
      return f.template operator()<Activation::gelu_tanh>();
    case Activation::gelu:
      return f.template operator()<Activation::gelu>();
    case Activation::quick_gelu:
      return f.template operator()<Activation::quick_gelu>();
    case Activation::silu:
      return f.template operator()<Activation::silu>();
    case Activation::relu:
      return f.template operator()<Activation::relu>();
    case Activation::relu2:
      return f.template operator()<Activation::relu2>();
    case Activation::mish:
      return f.template operator()<Activation::mish>();
    case Activation::tanh:
      return f.template operator()<Activation::tanh>();
    case Activation::sigmoid:
      return f.template operator()<Activation::sigmoid>();
    case Activation::dynamic:
      break;
  }
}

}  // namespace moderngpt2
