#pragma once

#include <type_traits>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/layer_config.hpp"
#include "moderngpt2/layers/attention.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/gated_mlp.hpp"
#include "moderngpt2/layers/norm.hpp"

namespace moderngpt2 {

/// In Blocks: the library's own layer, with the dimensions of the model's shape.
struct Standard {};

/// Layers of the blocks of a model. A layer that is not Standard is a type with a constructor from a Config; see
/// layers/concepts.hpp for its members.
///
///   using MyModel = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<SlidingWindowAttention, Standard>>;
///
/// AttentionLayer: first half of a block, which may mix tokens. MlpLayer: second half, which computes each token by
/// itself. NormLayer: the norms before and after each half, and the final norm.
template <class AttentionLayer = Standard, class MlpLayer = Standard, class NormLayer = Standard>
struct Blocks {
  template <class L>
  static constexpr bool has_name = std::is_same_v<L, Standard> || detail::HasName<L>;
  static_assert(has_name<AttentionLayer>, "the attention layer has no name: static constexpr const char* name = ...");
  static_assert(has_name<MlpLayer>, "the MLP layer has no name: static constexpr const char* name = ...");
  static_assert(has_name<NormLayer>, "the norm layer has no name: static constexpr const char* name = ...");

  template <ModelShape S>
  using Attention =
      std::conditional_t<std::is_same_v<AttentionLayer, Standard>,
                         GroupedQueryAttention<S.n_embd, S.n_head, S.n_kv_head, S.head_dim, S.attention_bias>,
                         AttentionLayer>;
  template <ModelShape S>
  using Mlp =
      std::conditional_t<std::is_same_v<MlpLayer, Standard>, GatedMlp<S.n_embd, S.n_inner, S.activation>, MlpLayer>;
  template <ModelShape S>
  using Norm = std::conditional_t<std::is_same_v<NormLayer, Standard>, RmsNorm<S.n_embd>, NormLayer>;

  /// Does not compile if a layer lacks a member; the message names it.
  template <ModelShape S, class Backend, class Precision>
  static constexpr bool check_layers() {
    return detail::check_attention<Attention<S>, Backend, Precision>() &&
           detail::check_mixer<Mlp<S>, Backend, Precision>() && detail::check_norm<Norm<S>, Backend, Precision>();
  }

  /// Returns `c` with the types of these layers and the defaults of their fields. Throws an Error if the config is of
  /// other layers.
  static constexpr Config complete(Config c) {
    complete_layer_config<AttentionLayer>(c.blocks.attention, "blocks.attention");
    complete_layer_config<MlpLayer>(c.blocks.mlp, "blocks.mlp");
    complete_layer_config<NormLayer>(c.blocks.norm, "blocks.norm");
    return c;
  }
  /// Throws an Error if a config is of other layers.
  static constexpr void check(const Config& c) {
    if (!std::is_same_v<Blocks, Blocks<>> || !c.blocks.is_standard()) complete(c);
  }
};

}  // namespace moderngpt2
