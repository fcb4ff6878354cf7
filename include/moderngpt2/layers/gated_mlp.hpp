#pragma once

#include <array>
#include <concepts>
#include <string_view>
#include <type_traits>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/joint_linear.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

namespace detail {

/// Throws Error if the config of a model that is built with an activation functor names another activation.
constexpr void match_activation(std::string_view built, const Config& c) {
  if (built != activation_name(c.activation))
    throw Error(
        "this model is built for activation_function {}, the config says {}. Set Config::activation to the "
        "value of register_activation() for this functor.",
        built, activation_name(c.activation));
}

}  // namespace detail

/// Gated MLP without biases (GLU variants, Shazeer 2020): down(act(gate(x)) * up(x)), C -> F -> C. A: an Activation, or
/// a functor (ActivationFor, backend/activation.hpp) as in GatedMlp<C, F, StarRelu{}>. With a functor, a config must
/// name it, so that config.json says what the model computes.
template <int C, int F, auto A = Activation::dynamic>
struct GatedMlp {
  static constexpr const char* name = "";  ///< one of the library's own layers; config.json names its activation
  static constexpr bool has_functor = !std::same_as<std::remove_const_t<decltype(A)>, Activation>;

  [[no_unique_address]] Extent<C> n_embd;
  [[no_unique_address]] Extent<F> n_inner;
  Activation run_time_activation;

  constexpr explicit GatedMlp(const Config& c)
      : n_embd(c.n_embd), n_inner(c.n_inner), run_time_activation(c.activation) {
    if constexpr (has_functor) {
      static_assert(detail::require_activation_functor<std::remove_const_t<decltype(A)>>());
      detail::match_activation(decltype(A)::name, c);
    }
  }

  /// Activation of the operations: a value of Activation, or the functor.
  constexpr auto activation() const {
    if constexpr (has_functor)
      return A;
    else
      return A == Activation::dynamic ? run_time_activation : A;
  }
  constexpr Linear<C, F> up_proj() const { return {n_embd, n_inner}; }
  constexpr Linear<F, C> down_proj() const { return {n_inner, n_embd, false, Init::scaled_normal}; }

  template <class E>
  struct Params {
    typename Linear<C, F>::template Params<E> gate_proj, up_proj;
    typename Linear<F, C>::template Params<E> down_proj;

    auto gate_up_weights() const { return std::array{gate_proj.weight, up_proj.weight}; }
    auto gate_up_biases() const { return std::array{gate_proj.bias, up_proj.bias}; }
  };

  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("gate_proj", up_proj(), p.gate_proj);
    visitor.nested("up_proj", up_proj(), p.up_proj);
    visitor.nested("down_proj", down_proj(), p.down_proj);
  }

  /// Activations kept from forward to backward.
  template <class T>
  struct Saved {
    Rows<T> gate_up;  // (BT,2F) gate and up side by side
    Rows<T> h;        // (BT,F) act(gate) * up
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int n = batch * time;
    return {{arena.take<T>(std::int64_t(n) * 2 * n_inner), n, 2 * n_inner},
            {arena.take<T>(std::int64_t(n) * n_inner), n, n_inner}};
  }
  /// Memory of the backward pass only.
  template <class T>
  struct Scratch {
    Rows<T> dh;  // (BT,F)
  };
  template <class T>
  constexpr Scratch<T> scratch(Arena& arena, int batch, int time) const {
    return {{arena.take<T>(std::int64_t(batch) * time * n_inner), batch * time, n_inner}};
  }

  /// Computes y (BT,C) from u (BT,C). Keeps gate, up and h in `s` for the backward pass.
  template <class B, class T, class E>
  void forward(B& b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>&, int,
               KvView<T> = {}) const {
    joint_forward(b, s.gate_up, u, p.gate_up_weights(), p.gate_up_biases());
    gated_activation(b, s.h, s.gate_up, activation());
    down_proj().forward(b, y, Rows<const T>(s.h), p.down_proj);
  }

  /// Sets du (BT,C) to the gradient of u, and adds the gradients of the weights to `g`. Overwrites the saved gate_up
  /// with its gradient.
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
                const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>&, int) const {
    down_proj().backward(b, scratch.dh, dy, Rows<const T>(s.h), p.down_proj, g.down_proj);
    gated_activation_backward(b, s.gate_up, scratch.dh, s.gate_up, activation());
    joint_backward(b, du, Rows<const T>(s.gate_up), u, p.gate_up_weights(), g.gate_up_weights(), g.gate_up_biases());
  }
};

/// Gated MLP with the activation functor A and sizes from the config: the blocks of a model as
/// Blocks<Standard, GatedMlpWith<StarRelu>> (model/blocks.hpp).
template <class A>
using GatedMlpWith = GatedMlp<dynamic, dynamic, A{}>;

}  // namespace moderngpt2
