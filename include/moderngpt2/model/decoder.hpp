#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/half_block.hpp"
#include "moderngpt2/layers/parameter.hpp"
#include "moderngpt2/model/blocks.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/unit.hpp"

namespace moderngpt2 {

/// Layers of a model and the offsets of their parameters in the flat buffers. Units in order: the embedding, 2 n_layer
/// half blocks (attention, MLP, attention, ...), the final norm with the head.
template <ModelShape S, class HeadType, class BlocksType = Blocks<>>
struct Decoder {
  using Head = HeadType;
  using Norm = typename BlocksType::template Norm<S>;
  using Attention = typename BlocksType::template Attention<S>;
  using Mlp = typename BlocksType::template Mlp<S>;
  using AttentionHalf = HalfBlock<Norm, Attention>;
  using MlpHalf = HalfBlock<Norm, Mlp>;

  [[no_unique_address]] Extent<S.n_layer> n_layer;
  [[no_unique_address]] Extent<S.n_embd> n_embd;
  Embedding<S.n_embd> wte;
  AttentionHalf attention_half;
  MlpHalf mlp_half;
  Norm ln_f;
  Head head;

  constexpr explicit Decoder(const Config& c)
      : n_layer((require_match<S>(c), BlocksType::check(c), c.n_layer)),
        n_embd(c.n_embd),
        wte(c),
        attention_half(c, attention_names),
        mlp_half(c, mlp_names),
        ln_f(c),
        head(c) {}

  constexpr int half_blocks() const { return 2 * n_layer; }
  constexpr Unit head_unit() const { return Unit::head(half_blocks()); }

  template <class E>
  struct FinalParams {
    typename Norm::template Params<E> ln_f;
    typename Head::template Params<E> head;
  };

  /// Number of parameters, and number of elements of both flat buffers, padding included.
  constexpr CountParameters count() const {
    const CountParameters first = count_of(wte), a = count_of(attention_half), m = count_of(mlp_half);
    CountParameters last = count_of(ln_f);
    typename Head::template Params<Elements<float>> p{};
    head.describe(p, last);
    return {first.elements + n_layer * (a.elements + m.elements) + last.elements,
            first.matrices + n_layer * (a.matrices + m.matrices) + last.matrices,
            first.vectors + n_layer * (a.vectors + m.vectors) + last.vectors,
            first.matrix_elements + n_layer * (a.matrix_elements + m.matrix_elements) + last.matrix_elements};
  }

  /// Elements of all matrices that multiply a token's activations: those of the half blocks and, if the head predicts
  /// tokens, of its logits (tied or not). The embedding is a look-up and does not count.
  constexpr std::int64_t matmul_parameters() const {
    return n_layer * (count_of(attention_half).matrix_elements + count_of(mlp_half).matrix_elements) +
           (head.size(1, 1).predicts_tokens ? count_of(wte).matrix_elements : 0);
  }
  /// Floating-point operations per token for training on sequences of `time` tokens: 6 for each parameter of a matrix
  /// product (2 forward, 4 backward), and 3 times the extra_flops_per_token() of the layers. Recomputation is not
  /// counted (as for model FLOPs utilisation: Chowdhery et al., PaLM, 2022, appendix B).
  constexpr double training_flops_per_token(int time) const {
    double extra = 0;
    if constexpr (requires { attention_half.mixer.extra_flops_per_token(time); })
      extra += attention_half.mixer.extra_flops_per_token(time);
    if constexpr (requires { mlp_half.mixer.extra_flops_per_token(time); })
      extra += mlp_half.mixer.extra_flops_per_token(time);
    return 6.0 * double(matmul_parameters()) + 3.0 * n_layer * extra;
  }

  /// All parameters in the order of the flat buffers, with their names in checkpoints.
  std::vector<ParameterInfo> list() const {
    using E = Elements<float>;
    ListParameters visitor;
    typename Embedding<S.n_embd>::template Params<E> w;
    typename AttentionHalf::template Params<E> a;
    typename MlpHalf::template Params<E> m;
    FinalParams<E> last;
    visitor.nested("transformer.wte", wte, w);
    for (int i = 0; i < n_layer; ++i) {
      visitor.nested("transformer.h." + std::to_string(i), attention_half, a);
      visitor.nested("transformer.h." + std::to_string(i), mlp_half, m);
    }
    visitor.nested("transformer.ln_f", ln_f, last.ln_f);
    head.describe(last.head, visitor);
    return std::move(visitor.table);
  }

  /// Offsets of the embedding, of each block (at its attention half) and of the head in the flat buffer of matrices, in
  /// elements.
  std::vector<UnitBegin> unit_begins() const {
    const std::int64_t first = count_of(wte).matrices;
    const std::int64_t block = count_of(attention_half).matrices + count_of(mlp_half).matrices;
    std::vector<UnitBegin> begins{{Unit::embedding(), 0}};
    for (int i = 0; i < n_layer; ++i) begins.push_back({Unit::half_block(2 * i), first + i * block});
    begins.push_back({head_unit(), first + n_layer * block});
    return begins;
  }

  /// Offsets of all units: unit_begins() and the MLP half of each block.
  std::vector<UnitBegin> all_unit_begins() const {
    std::vector<UnitBegin> begins;
    for (const auto& [unit, begin] : unit_begins()) {
      begins.push_back({unit, begin});
      if (unit > Unit::embedding() && unit < head_unit())
        begins.push_back({unit.next(), begin + count_of(attention_half).matrices});
    }
    return begins;
  }
  /// Whether the head reads the embedding's matrix (tied weights).
  constexpr bool head_reads_embedding() const {
    if constexpr (requires { head.tied(); })
      return head.tied();
    else
      return false;
  }

  /// Channels of the keys, and of the values, that attention caches for each token.
  constexpr int cache_width() const { return attention_half.mixer.cache_width(); }

  /// Size of passes over (batch,time) tokens, for a backend to reserve memory.
  constexpr PassSize pass_size(int batch, int time) const {
    PassSize size{batch, time, head.size(batch, time)};
    include_sizes(size.operations, attention_half.mixer);
    include_sizes(size.operations, mlp_half.mixer);
    include_sizes(size.operations, ln_f);
    return size;
  }

  /// Views of one unit's weights or gradients in flat buffers; no view outlives a pass.
  template <class E, class Memory>
  auto bind_embedding(const ParameterBuffers<E, Memory>& buffers) const {
    typename Embedding<S.n_embd>::template Params<E> p;
    BindParameters<typename E::MatrixType, typename E::VectorType> binder{buffers.matrices.data(),
                                                                          buffers.vectors.data()};
    binder.nested("", wte, p);
    return p;
  }
  template <class E, class Memory>
  auto bind_attention(const ParameterBuffers<E, Memory>& buffers, int layer) const {
    typename AttentionHalf::template Params<E> p;
    bind(buffers, layer, 0).nested("", attention_half, p);
    return p;
  }
  template <class E, class Memory>
  auto bind_mlp(const ParameterBuffers<E, Memory>& buffers, int layer) const {
    typename MlpHalf::template Params<E> p;
    bind(buffers, layer, 1).nested("", mlp_half, p);
    return p;
  }
  template <class E, class Memory>
  FinalParams<E> bind_final(const ParameterBuffers<E, Memory>& buffers) const {
    FinalParams<E> p;
    auto binder = bind(buffers, n_layer, 0);
    binder.nested("", ln_f, p.ln_f);
    head.describe(p.head, binder);
    return p;
  }
  /// Parameters of the norm before half block k; for k = half_blocks(), of ln_f.
  template <class E, class Memory>
  auto bind_pre_norm(const ParameterBuffers<E, Memory>& buffers, int k) const {
    if (k == half_blocks()) return bind_final(buffers).ln_f;
    return k % 2 == 0 ? bind_attention(buffers, k / 2).pre_norm : bind_mlp(buffers, k / 2).pre_norm;
  }

 private:
  static constexpr CountParameters count_of(const auto& layer) {
    typename std::remove_cvref_t<decltype(layer)>::template Params<Elements<float>> p{};
    CountParameters n;
    layer.describe(p, n);
    return n;
  }
  /// Includes the sizes that a layer states, and its longest vector. The library's own layers keep to the config.
  static constexpr void include_sizes(OperationSizes& sizes, const auto& layer) {
    using Layer = std::remove_cvref_t<decltype(layer)>;
    if constexpr (detail::HasName<Layer>)
      if (!std::string_view(Layer::name).empty()) sizes.include({.width = count_of(layer).longest_vector});
    if constexpr (requires { layer.operation_sizes(); }) sizes.include(layer.operation_sizes());
  }
  /// Binder at half 0 or 1 of `layer`; layer n_layer is the head's unit.
  template <class E, class Memory>
  auto bind(const ParameterBuffers<E, Memory>& buffers, int layer, int half) const {
    const CountParameters a = count_of(attention_half), m = count_of(mlp_half);
    BindParameters<typename E::MatrixType, typename E::VectorType> binder{buffers.matrices.data(),
                                                                          buffers.vectors.data()};
    binder.matrices += count_of(wte).matrices + layer * (a.matrices + m.matrices) + half * a.matrices;
    binder.vectors += layer * (a.vectors + m.vectors) + half * a.vectors;
    return binder;
  }
};

}  // namespace moderngpt2
