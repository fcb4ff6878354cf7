#pragma once

#include <concepts>
#include <string_view>
#include <type_traits>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/parameter.hpp"
#include "moderngpt2/layers/pass.hpp"

// Members of the layers that a model is composed of (Blocks, Model). A layer is a value of dimensions and
// hyperparameters: it owns no weights and no activations, and its members are const. E, G: Elements of weights and
// gradients; T: element type of activations; B: backend.
//
// clang-format off
//   Every layer (LayerFor)
//     Layer(const Config&)
//     static constexpr const char* name = "sliding_window";      its type in config.json; for layers in Blocks
//     static constexpr std::array fields{LayerField{...}};       its fields in config.json; optional
//     template <class E> struct Params                           views of its parameters; may be empty
//     describe(Params<E>& p, auto& visitor)                      lists them (layers/parameter.hpp)
//     OperationSizes operation_sizes()                           sizes beyond those of the config; optional
//
//   Attention and MLP (MixerFor): y (BT,C) of u (BT,C)
//     template <class T> struct Saved, Scratch                   views of its activations; may be empty
//     Saved<T> saved<T>(Arena&, int batch, int time)             places what backward() needs from forward()
//     Scratch<T> scratch<T>(Arena&, int batch, int time)         places memory of the backward pass only
//     forward(b, Rows<T> y, Rows<const T> u, const Params<E>& p, const Saved<T>& s, const Pass<real_t<T>>& pass,
//             int layer, KvView<T> cache = {})                   `cache` for attention only
//     backward(b, Rows<T> du, Rows<const T> dy, Rows<const T> u, const Params<E>& p, const Params<G>& g,
//              const Saved<T>& s, const Scratch<T>& scratch, const Pass<real_t<T>>& pass, int layer)
//                                                                sets du; adds the gradients of the weights to g
//     int cache_width()                                          attention: channels of the keys, and of the values,
//                                                                of a token in the KV cache
//     static constexpr bool reads_pasts = true;                  attention: reads Pass::pasts, for BatchGenerator;
//                                                                optional
//     double extra_flops_per_token(int time)                     optional: forward operations beyond 2 per element of
//                                                                a matrix, mean over the layers
//
//   Norm (NormFor): u (N,C) of x (N,C)
//     forward(b, Rows<T> u, Rows<const T> x, const Params<E>& p)
//     backward(b, Rows<T> dx, Rows<const T> du, Rows<const T> x, const Params<E>& p, const Params<G>& g,
//              bool accumulate)                                  sets dx, or adds to it; adds to g
//     add_forward(...), add_backward(...)                        fused with the residual; optional (see RmsNorm)
//
//   Head (HeadFor): loss of the final hidden states (BT,C)
//     static constexpr const char* architecture                  its class in config.json
//     struct Labels                                              what loss() compares with
//     template <class T> struct Saved; saved<T>(Arena&, int batch, int time)
//     HeadSize size(int batch, int time)                         work of a pass, for planning memory
//     loss_of<B, T> loss(b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
//                        wte, dwte, const Saved<T>& s, const int* ids, const Labels& labels,
//                        const Pass<real_t<T>>& pass)            null dhidden: no gradients; wte, dwte: Params of the
//                                                                embedding and of its gradient
//     predict(b, Rows<compute_t<T>> logits, hidden, p, wte)      heads that generate; optional
//     bool tied()                                                whether it reads wte; optional
// clang-format on
namespace moderngpt2 {

namespace detail {

template <class L>
concept HasName = requires {
  { L::name } -> std::convertible_to<std::string_view>;
};
template <class L>
concept FromConfig = std::constructible_from<L, const Config&>;
template <class L, class E>
concept HasParams = std::default_initializable<typename L::template Params<E>>;
template <class L, class E>
concept HasDescribe =
    requires(const L& l, typename L::template Params<E>& p, CountParameters& visitor) { l.describe(p, visitor); };

template <class L, class T>
concept HasSaved = requires(const L& l, Arena& arena) {
  { l.template saved<T>(arena, 1, 1) } -> std::same_as<typename L::template Saved<T>>;
};
template <class L, class T>
concept HasScratch = requires(const L& l, Arena& arena) {
  { l.template scratch<T>(arena, 1, 1) } -> std::same_as<typename L::template Scratch<T>>;
};

template <class L, class B, class P, class T = typename P::Activation>
concept MixerForward = requires(
    const L& l, B& b, Rows<T> y, Rows<const T> u, const typename L::template Params<typename P::Weights>& p,
    const typename L::template Saved<T>& s, const Pass<real_t<T>>& pass) { l.forward(b, y, u, p, s, pass, 0); };
template <class L, class B, class P, class T = typename P::Activation>
concept CachedForward =
    requires(const L& l, B& b, Rows<T> y, Rows<const T> u, const typename L::template Params<typename P::Weights>& p,
             const typename L::template Saved<T>& s, const Pass<real_t<T>>& pass,
             const KvView<T>& cache) { l.forward(b, y, u, p, s, pass, 0, cache); };
template <class L, class B, class P, class T = typename P::Activation>
concept MixerBackward = requires(const L& l, B& b, Rows<T> du, Rows<const T> dy, Rows<const T> u,
                                 const typename L::template Params<typename P::Weights>& p,
                                 const typename L::template Params<typename P::Gradients>& g,
                                 const typename L::template Saved<T>& s, const typename L::template Scratch<T>& scratch,
                                 const Pass<real_t<T>>& pass) { l.backward(b, du, dy, u, p, g, s, scratch, pass, 0); };
template <class L>
concept HasCacheWidth = requires(const L& l) {
  { l.cache_width() } -> std::convertible_to<int>;
};

template <class L, class B, class P, class T = typename P::Activation>
concept NormForward = requires(const L& l, B& b, Rows<T> u, Rows<const T> x,
                               const typename L::template Params<typename P::Weights>& p) { l.forward(b, u, x, p); };
template <class L, class B, class P, class T = typename P::Activation>
concept NormBackward =
    requires(const L& l, B& b, Rows<T> dx, Rows<const T> du, Rows<const T> x,
             const typename L::template Params<typename P::Weights>& p,
             const typename L::template Params<typename P::Gradients>& g) { l.backward(b, dx, du, x, p, g, true); };

template <class L>
concept HasArchitecture = requires {
  { L::architecture } -> std::convertible_to<std::string_view>;
};
template <class L>
concept HasLabels = std::default_initializable<typename L::Labels>;
template <class L>
concept HasSize = requires(const L& l) {
  { l.size(1, 1) } -> std::same_as<HeadSize>;
};
template <class L, class B, class P, int C, class T = typename P::Activation>
concept HasLoss = requires(
    const L& l, B& b, Rows<const T> hidden, Rows<T> dhidden, const typename L::template Params<typename P::Weights>& p,
    const typename L::template Params<typename P::Gradients>& g,
    const typename Embedding<C>::template Params<typename P::Weights>& wte,
    const typename Embedding<C>::template Params<typename P::Gradients>& dwte, const typename L::template Saved<T>& s,
    const int* ids, const typename L::Labels& labels, const Pass<real_t<T>>& pass) {
  { l.loss(b, hidden, dhidden, p, g, wte, dwte, s, ids, labels, pass) } -> std::convertible_to<loss_of<B, T>>;
};

}  // namespace detail

/// A layer with parameters for a model of a precision, such as Fp32.
template <class L, class Precision>
concept LayerFor =
    detail::FromConfig<L> && detail::HasParams<L, typename Precision::Weights> &&
    detail::HasParams<L, typename Precision::Gradients> && detail::HasDescribe<L, typename Precision::Weights>;

/// An MLP for Blocks: computes y (BT,C) of u (BT,C) on a backend. Attention must satisfy AttentionFor.
template <class L, class Backend, class Precision>
concept MixerFor = LayerFor<L, Precision> && detail::HasSaved<L, typename Precision::Activation> &&
                   detail::HasScratch<L, typename Precision::Activation> &&
                   detail::MixerForward<L, Backend, Precision> && detail::MixerBackward<L, Backend, Precision>;

/// Attention for Blocks: a mixer that can keep keys and values of earlier tokens in a cache.
template <class L, class Backend, class Precision>
concept AttentionFor =
    MixerFor<L, Backend, Precision> && detail::CachedForward<L, Backend, Precision> && detail::HasCacheWidth<L>;

/// A norm for Blocks: computes u (N,C) of x (N,C) on a backend.
template <class L, class Backend, class Precision>
concept NormFor =
    LayerFor<L, Precision> && detail::NormForward<L, Backend, Precision> && detail::NormBackward<L, Backend, Precision>;

/// A head for Model: computes a loss of hidden states (BT,C). C: n_embd of the model's shape.
template <class L, class Backend, class Precision, int C = dynamic>
concept HeadFor = LayerFor<L, Precision> && detail::HasArchitecture<L> && detail::HasLabels<L> &&
                  detail::HasSaved<L, typename Precision::Activation> && detail::HasSize<L> &&
                  detail::HasLoss<L, Backend, Precision, C>;

namespace detail {

// The checks below fail with the name of the first member that a layer lacks; otherwise it satisfies the concept above.

template <class L, class P>
constexpr bool check_layer() {
  using E = typename P::Weights;
  if constexpr (!FromConfig<L>)
    static_assert(FromConfig<L>, "this layer has no constructor from a Config: explicit Layer(const Config&)");
  else if constexpr (!HasParams<L, E> || !HasParams<L, typename P::Gradients>)
    static_assert(HasParams<L, E> && HasParams<L, typename P::Gradients>,
                  "this layer has no member template <class E> struct Params (it may be empty)");
  else if constexpr (!HasDescribe<L, E>)
    static_assert(HasDescribe<L, E>,
                  "this layer has no member describe(Params<E>& p, auto& visitor) const, which lists its parameters");
  return true;
}

template <class L, class B, class P>
constexpr bool check_mixer() {
  using T = typename P::Activation;
  if constexpr (!LayerFor<L, P>)
    return check_layer<L, P>();
  else if constexpr (!HasSaved<L, T>)
    static_assert(HasSaved<L, T>, "this layer has no struct Saved<T> with Saved<T> saved<T>(Arena&, int, int) const");
  else if constexpr (!HasScratch<L, T>)
    static_assert(HasScratch<L, T>,
                  "this layer has no struct Scratch<T> with Scratch<T> scratch<T>(Arena&, int, int) const");
  else if constexpr (!MixerForward<L, B, P>)
    static_assert(MixerForward<L, B, P>,
                  "this layer has no member forward(b, y, u, p, saved, pass, layer) const: see layers/concepts.hpp");
  else if constexpr (!MixerBackward<L, B, P>)
    static_assert(MixerBackward<L, B, P>,
                  "this layer has no member backward(b, du, dy, u, p, g, saved, scratch, pass, layer) const: see "
                  "layers/concepts.hpp");
  return true;
}

template <class L, class B, class P>
constexpr bool check_attention() {
  if constexpr (!MixerFor<L, B, P>)
    return check_mixer<L, B, P>();
  else if constexpr (!CachedForward<L, B, P>)
    static_assert(CachedForward<L, B, P>, "forward() of this attention has no last parameter KvView<T> cache");
  else if constexpr (!HasCacheWidth<L>)
    static_assert(HasCacheWidth<L>, "this attention has no member int cache_width() const: channels of its keys");
  return true;
}

template <class L, class B, class P>
constexpr bool check_norm() {
  if constexpr (!LayerFor<L, P>)
    return check_layer<L, P>();
  else if constexpr (!NormForward<L, B, P>)
    static_assert(NormForward<L, B, P>, "this norm has no member forward(b, u, x, p) const: see layers/concepts.hpp");
  else if constexpr (!NormBackward<L, B, P>)
    static_assert(NormBackward<L, B, P>,
                  "this norm has no member backward(b, dx, du, x, p, g, bool accumulate) const: see "
                  "layers/concepts.hpp");
  return true;
}

template <class L, class B, class P, int C>
constexpr bool check_head() {
  using T = typename P::Activation;
  if constexpr (!LayerFor<L, P>)
    return check_layer<L, P>();
  else if constexpr (!HasArchitecture<L>)
    static_assert(HasArchitecture<L>,
                  "this head has no member static constexpr const char* architecture: its class in config.json");
  else if constexpr (!HasLabels<L>)
    static_assert(HasLabels<L>, "this head has no member struct Labels");
  else if constexpr (!HasSaved<L, T>)
    static_assert(HasSaved<L, T>, "this head has no struct Saved<T> with Saved<T> saved<T>(Arena&, int, int) const");
  else if constexpr (!HasSize<L>)
    static_assert(HasSize<L>, "this head has no member HeadSize size(int batch, int time) const");
  else if constexpr (!HasLoss<L, B, P, C>)
    static_assert(HasLoss<L, B, P, C>,
                  "this head has no member loss(b, hidden, dhidden, p, g, wte, dwte, saved, ids, labels, pass) const "
                  "that returns a loss_of<B, T>: see layers/concepts.hpp");
  return true;
}

}  // namespace detail

}  // namespace moderngpt2
