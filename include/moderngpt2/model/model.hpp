#pragma once

#ifdef __CUDACC__
#error "model/ headers are compiled by g++ or clang; nvcc compiles kernels only"
#endif

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "moderngpt2/backend/backend.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/model/decoder.hpp"
#include "moderngpt2/model/init.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/weight_source.hpp"

namespace moderngpt2 {

/// Memory and views for passes over up to (batch,time) tokens.
template <ModelShape S, class Head, class T, class Memory = AlignedBuffer>
class Workspace {
 public:
  Workspace(const Decoder<S, Head>& layers, int batch, int time, Mode mode)
      : layers_(layers),
        memory_(Activations<S, Head, T>::bytes(layers, batch, time, mode)),
        arena_(memory_.data(), memory_.size()),
        mode_(mode) {
    reshape(batch, time);
  }

  /// Places the views for a smaller pass in the same memory.
  void reshape(int batch, int time) {
    if (batch == batch_ && time == time_) return;
    batch_ = time_ = 0;  // nothing is placed when this batch turns out too large
    views.place(arena_, layers_, batch, time, mode_);
    batch_ = batch, time_ = time;
  }
  int batch() const { return batch_; }
  int time() const { return time_; }
  Mode mode() const { return mode_; }
  std::size_t bytes() const { return memory_.size(); }

  Activations<S, Head, T> views;

 private:
  Decoder<S, Head> layers_;
  Memory memory_;
  Arena arena_;
  Mode mode_;
  int batch_ = 0;
  int time_ = 0;
};

/// A ModernGPT2 with a head: embedding, a chain of 2 n_layer half blocks joined by `add_norm`, ln_f, head.
/// S: what is known at compile time; Backend: who computes; Precision: element types.
template <ModelShape S, class HeadType, class BackendType, class Precision>
requires BackendFor<BackendType, typename Precision::Activation>
class Model {
 public:
  using Head = HeadType;
  using Backend = BackendType;
  using T = typename Precision::Activation;
  using R = real_t<T>;
  using Loss = loss_of<Backend, T>;   ///< a number, or what can be made a double once
  using Score = compute_t<T>;         ///< of logits
  using Memory = memory_of<Backend>;  ///< of weights, gradients and activations
  using Weights = ParameterBuffers<typename Precision::Weights, Memory>;
  using Gradients = ParameterBuffers<typename Precision::Gradients, Memory>;
  /// Elements of weights that are not rounded, as training keeps them; gradients and moments have the same.
  using FullElements = typename Precision::Gradients;
  static constexpr bool rounds_weights = !std::is_same_v<typename Precision::Weights, FullElements>;
  using Work = Workspace<S, Head, T, Memory>;
  static constexpr ModelShape shape = S;

  /// Weights are zero until `initialize` or a checkpoint fills them. Throws an Error for a config that is out of
  /// range or contradicts S. `granule`: what the sizes of the flat buffers are multiples of, zeros at their ends, for
  /// processes that share them. `pages`: of the matrices.
  explicit Model(const Config& config, Backend backend = Backend(), std::int64_t granule = 1,
                 Pages pages = Pages::at_once)
      : config_((validate(config), config)),
        layers_(config),
        backend_(std::move(backend)),
        table_(layers_.list()),
        rotary_(backend_, RotaryPositions<R>(config)) {
    const CountParameters n = layers_.count();
    weights_ = Weights(round_up(n.matrices, granule), round_up(n.vectors, granule), pages);
  }

  static constexpr std::int64_t parameter_count(const Config& config) {
    return Decoder<S, Head>(config).count().elements;
  }

  const Config& config() const { return config_; }
  const Decoder<S, Head>& layers() const { return layers_; }
  Backend& backend() { return backend_; }
  const Backend& backend() const { return backend_; }
  Weights& weights() { return weights_; }
  const Weights& weights() const { return weights_; }
  /// Every parameter's name, shape and place.
  const std::vector<ParameterInfo>& parameters() const { return table_; }
  std::int64_t parameter_count() const { return layers_.count().elements; }

  void initialize(std::uint64_t seed) {
    moderngpt2::initialize(backend_, ParameterPlaces(weights_), table_, config_, seed);
  }
  Gradients make_gradients(Pages pages = Pages::at_once) const {
    return Gradients(weights_.matrices.size(), weights_.vectors.size(), pages);
  }
  Work workspace(int batch, int time, Mode mode) const { return Work(layers_, batch, time, mode); }

  /// Who brings weights before passes use them; null: they are in memory all the time. It must outlive its passes.
  void set_weight_source(WeightSource* source) { source_ = source; }
  /// Whether this process has a part of the matrices only, outside of passes.
  bool is_sharded() const { return source_ && source_->is_sharded(); }

  /// ids (B,T) -> final hidden states (BT,C), which stay in the workspace. `caches` holds one view a layer, or none.
  /// Ids and what the pass points to are of the host, whatever the backend.
  Rows<T> forward(Work& work, const int* ids, Pass<R> pass, std::span<const KvView<T>> caches = {}) {
    ids = prepare(work, ids, pass);
    return run_forward(work, ids, pass, caches);
  }

  /// Logits (N,V) of some final hidden states (N,C); language model heads.
  void logits(Rows<Score> out, Rows<const T> hidden) {
    need(head_unit(), WeightSource::nothing);
    layers_.head.predict(backend_, out, hidden, layers_.bind_final(weights_).head, layers_.bind_embedding(weights_));
  }

  /// Loss of a batch, no gradients; the head's logits are left in work.views.head.
  template <class Labels = typename Head::Labels>
  Loss loss(Work& work, const int* ids, const Labels& labels, Pass<R> pass) {
    const Rows<T> hidden = forward(work, ids, pass);
    const auto p = layers_.bind_final(weights_).head;
    const auto wte = layers_.bind_embedding(weights_);
    const typename Head::template Params<FullElements> no_gradients{};
    const typename Embedding<S.n_embd>::template Params<FullElements> no_wte_gradient{};
    need(head_unit(), WeightSource::nothing);
    const Loss loss = layers_.head.loss(backend_, Rows<const T>(hidden), Rows<T>{}, p, no_gradients, wte,
                                        no_wte_gradient, work.views.head, ids, labels, pass);
    if (source_) source_->rest();
    return loss;
  }

  /// Loss of a batch; its gradients are added to `gradients`, and `on_ready` is told when which are.
  template <class Labels = typename Head::Labels, class OnReady = NoGradientHook>
  Loss loss_and_gradients(Work& work, const int* ids, const Labels& labels, Gradients& gradients, Pass<R> pass,
                          OnReady&& on_ready = {}) {
    if (work.mode() == Mode::infer) throw Error("internal: a workspace for inference holds no gradients");
    auto& v = work.views;
    const int* const there = prepare(work, ids, pass);
    const Rows<T> hidden = run_forward(work, there, pass, {});
    const auto d_final = layers_.bind_final(gradients);
    const auto d_wte = layers_.bind_embedding(gradients);
    need(head_unit(), head_unit() - 1);
    const Loss loss =
        layers_.head.loss(backend_, Rows<const T>(hidden), v.du, layers_.bind_final(weights_).head, d_final.head,
                          layers_.bind_embedding(weights_), d_wte, v.head, ids, labels, pass);
    fill(backend_, v.dx.data, v.dx.size(), T(0));
    on_ready(head_unit());
    for (int k = layers_.half_blocks() - 1; k >= 0; --k) {
      need(1 + k, k > 0 ? k : WeightSource::nothing);
      backward_half(work, k, gradients, pass);
      on_ready(1 + k);
    }
    rms_norm_backward(backend_, v.dx, layers_.bind_pre_norm(gradients, 0), v.du, v.x[0],
                      layers_.bind_pre_norm(weights_, 0), R(config_.rms_norm_eps), true);
    layers_.wte.backward(backend_, Rows<const T>(v.dx), there, d_wte, pass);
    if (source_) source_->rest();
    return loss;
  }

  /// Takes part in a pass of other processes that have the weights together with this one, by loss() or
  /// loss_and_gradients(), with nothing to compute in it.
  void participate_without_batch() {
    if (source_) sit_out_forward(WeightSource::nothing), source_->rest();
  }
  template <class OnReady>
  void participate_without_batch(OnReady&& on_ready) {
    if (!source_) return;
    sit_out_forward(head_unit() - 1);
    for (int unit = head_unit(); unit > 0; --unit) {
      if (unit < head_unit()) need(unit, unit > 1 ? unit - 1 : WeightSource::nothing);
      on_ready(unit);
    }
    source_->rest();
  }

 private:
  int head_unit() const { return 1 + layers_.half_blocks(); }
  void need(int unit, int next) {
    if (source_) source_->need(unit, next);
  }
  void sit_out_forward(int next) {
    for (int unit = 0; unit < head_unit(); ++unit) need(unit, unit + 1);
    need(head_unit(), next);
  }

  /// ids and what the pass points to are where the backend reads them.
  Rows<T> run_forward(Work& work, const int* ids, const Pass<R>& pass, std::span<const KvView<T>> caches) {
    auto& v = work.views;
    const R eps = R(config_.rms_norm_eps);
    need(0, 1);
    layers_.wte.forward(backend_, v.x[0], ids, layers_.bind_embedding(weights_), pass);
    rms_norm(backend_, v.u[0], v.x[0], layers_.bind_pre_norm(weights_, 0), eps);
    for (int k = 0; k < layers_.half_blocks(); ++k) {
      need(1 + k, 2 + k);
      with_half(work, k, [&](const auto& half, auto&& bind, const auto& saved, const auto&, int layer) {
        const auto p = bind(weights_);
        const KvView<T> cache = caches.empty() ? KvView<T>{} : caches[std::size_t(layer)];
        half.mixer.forward(backend_, v.y[k], Rows<const T>(v.u[k]), p.mixer, saved, pass, layer, cache);
        add_norm(backend_, v.x[k + 1], v.u[k + 1], v.x[k], v.y[k], p.post_norm.weight,
                 layers_.bind_pre_norm(weights_, k + 1), eps, pass.time, residual_dropout(pass, k));
      });
    }
    return v.u.back();
  }

  /// In: v.du, gradient of u[k+1]; v.dx, gradient of x[k+1] by the residual path. Out: the same one half block down.
  void backward_half(Work& work, int k, Gradients& gradients, const Pass<R>& pass) {
    auto& v = work.views;
    const R eps = R(config_.rms_norm_eps);
    const Dropout residual = residual_dropout(pass, k);
    with_half(work, k, [&](const auto& half, auto&& bind, const auto& saved, const auto& scratch, int layer) {
      const auto p = bind(weights_);
      const auto g = bind(gradients);
      const Rows<const T> u = v.u[k];
      if (work.mode() == Mode::train_recompute) {
        rms_norm(backend_, v.u[k], v.x[k], p.pre_norm.weight, eps);
        half.mixer.forward(backend_, v.y[k], u, p.mixer, saved, pass, layer);
        dropout(backend_, v.y[k], pass.time, residual);
      }
      add_norm_backward(backend_, v.dx, v.dy, g.post_norm.weight, layers_.bind_pre_norm(gradients, k + 1), v.du,
                        v.x[k + 1], v.y[k], p.post_norm.weight, layers_.bind_pre_norm(weights_, k + 1), eps, pass.time,
                        residual);
      half.mixer.backward(backend_, v.du, Rows<const T>(v.dy), u, p.mixer, g.mixer, saved, scratch, pass, layer);
    });
  }

  /// Calls f(half block, function that binds its parameters in given buffers, saved, scratch, layer).
  template <class F>
  void with_half(Work& work, int k, F&& f) {
    const int layer = k / 2;
    auto& v = work.views;
    if (k % 2 == 0)
      f(
          layers_.attention_half, [&](const auto& buffers) { return layers_.bind_attention(buffers, layer); },
          v.attention[std::size_t(layer)], v.attention_scratch, layer);
    else
      f(
          layers_.mlp_half, [&](const auto& buffers) { return layers_.bind_mlp(buffers, layer); },
          v.mlp[std::size_t(layer)], v.mlp_scratch, layer);
  }

  Dropout residual_dropout(const Pass<R>& pass, int k) const {
    return pass.dropout(RandomUse::residual_dropout, config_.resid_pdrop, k);
  }

  /// Checks a pass before it touches memory, and shapes the workspace for it. Returns the ids, and gives the pass what
  /// it points to, where the backend reads them.
  const int* prepare(Work& work, const int* ids, Pass<R>& pass) {
    if (pass.past + pass.time > config_.n_positions)
      throw Error("a sequence of {} tokens is longer than the model's n_positions {}", pass.past + pass.time,
                  config_.n_positions);
    for (int i = 0; i < pass.rows(); ++i)
      if (ids[i] < 0 || ids[i] >= config_.vocab_size)
        throw Error("token id {} at row {}, column {} is outside the vocabulary of {}", ids[i], i / pass.time,
                    i % pass.time, config_.vocab_size);
    work.reshape(pass.batch, pass.time);
    begin_pass(backend_);
    pass.rotary = rotary_.table();
    pass.key_mask = upload(backend_, pass.key_mask, std::int64_t(pass.batch) * (pass.past + pass.time));
    pass.first_key = upload(backend_, pass.first_key, pass.rows());
    return upload(backend_, ids, pass.rows());
  }

  Config config_;
  Decoder<S, Head> layers_;
  Backend backend_;
  std::vector<ParameterInfo> table_;
  RotaryPositions<R, Memory> rotary_;
  Weights weights_;
  WeightSource* source_ = nullptr;
};

}  // namespace moderngpt2
