#pragma once

#include <type_traits>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/norm.hpp"

namespace moderngpt2 {

/// Names of the norms and the mixer of a half block in checkpoints.
struct HalfBlockNames {
  const char* pre_norm;
  const char* mixer;
  const char* post_norm;
};
inline constexpr HalfBlockNames attention_names{"input_layernorm", "attn", "post_attention_layernorm"};
inline constexpr HalfBlockNames mlp_names{"pre_feedforward_layernorm", "mlp", "post_feedforward_layernorm"};

/// Half of a transformer block: x + post_norm(dropout(mixer(pre_norm(x)))), where the mixer is attention or the MLP. It
/// owns the parameters of both norms; Model applies them, because one operation (`add_norm`) computes the post-norm of
/// a half block together with the pre-norm of the next.
template <class Norm, class Mixer>
struct HalfBlock {
  Norm norm;
  Mixer mixer;
  HalfBlockNames names;

  constexpr HalfBlock(const Config& c, HalfBlockNames n) : norm(c), mixer(c), names(n) {}

  template <class E>
  struct Params {
    typename Norm::template Params<E> pre_norm, post_norm;
    typename Mixer::template Params<E> mixer;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested(names.pre_norm, norm, p.pre_norm);
    visitor.nested(names.mixer, mixer, p.mixer);
    visitor.nested(names.post_norm, norm, p.post_norm);
  }

  /// Computes the mixer's output y (BT,C) from u (BT,C). The mixer's parameter for the cache is optional.
  template <class Backend, class T, class P, class Saved, class Pass, class Cache>
  void mix(Backend& b, Rows<T> y, std::type_identity_t<Rows<const T>> u, const P& p, const Saved& saved,
           const Pass& pass, int layer, const Cache& cache) const {
    if constexpr (requires { mixer.forward(b, y, u, p, saved, pass, layer, cache); })
      mixer.forward(b, y, u, p, saved, pass, layer, cache);
    else
      mixer.forward(b, y, u, p, saved, pass, layer);
  }
};

}  // namespace moderngpt2
