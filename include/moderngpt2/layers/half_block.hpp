#pragma once

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/extent.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/gated_mlp.hpp"

namespace moderngpt2 {

/// Names of the parts of a half block in files.
struct HalfBlockNames {
  const char* pre_norm;
  const char* mixer;
  const char* post_norm;
};
inline constexpr HalfBlockNames attention_names{"input_layernorm", "attn", "post_attention_layernorm"};
inline constexpr HalfBlockNames mlp_names{"pre_feedforward_layernorm", "mlp", "post_feedforward_layernorm"};

/// The gain of an RMSNorm: stored as an offset from 1.
template <int C>
struct Norm {
  [[no_unique_address]] Extent<C> width;

  template <class E>
  struct Params {
    Vector<typename E::VectorType> weight;  // (C)
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.vector("weight", p.weight, width);
  }
};

/// x + post_norm(dropout(mixer(pre_norm(x)))): a mixer between two norms. The norms at the border of two half blocks
/// are computed by one operation (`add_norm`), so a half block owns their parameters and the chain applies them.
template <int C, class Mixer>
struct HalfBlock {
  Norm<C> norm;
  Mixer mixer;
  HalfBlockNames names;

  constexpr HalfBlock(const Config& c, HalfBlockNames n) : norm{c.n_embd}, mixer(c), names(n) {}

  template <class E>
  struct Params {
    typename Norm<C>::template Params<E> pre_norm, post_norm;
    typename Mixer::template Params<E> mixer;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested(names.pre_norm, norm, p.pre_norm);
    visitor.nested(names.mixer, mixer, p.mixer);
    visitor.nested(names.post_norm, norm, p.post_norm);
  }
};

}  // namespace moderngpt2
