#pragma once

#ifdef __CUDACC__
#error "model/ headers must be compiled by g++ or clang; nvcc compiles kernels only"
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
#include "moderngpt2/core/quantized_matrix.hpp"
#include "moderngpt2/core/uses.hpp"
#include "moderngpt2/layers/concepts.hpp"
#include "moderngpt2/layers/norm.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "moderngpt2/model/activations.hpp"
#include "moderngpt2/model/blocks.hpp"
#include "moderngpt2/model/decoder.hpp"
#include "moderngpt2/model/init.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/model/unit.hpp"
#include "moderngpt2/model/weight_source.hpp"

namespace moderngpt2 {

template <class M>
class Session;

/// ModernGPT2 with a head: embedding, 2 n_layer half blocks, ln_f, head. S: dimensions fixed at compile time;
/// BackendType: backend that computes (cpu::Backend, cuda::Backend, reference::Backend); Precision: element types;
/// BlocksType: layers of the blocks.
///
/// Threads: const members may be called by several threads at once, each with its own context and workspace (Session).
/// The others, which use the model's own context or change weights, are for one thread at a time. With a weight source,
/// so are all passes. A call that finds another thread in its way throws an Error.
template <ModelShape S, class HeadType, class BackendType, class Precision, class BlocksType = Blocks<>>
requires BackendFor<BackendType, typename Precision::Activation>
class Model {
  friend class Session<Model>;
  static_assert(BlocksType::template check_layers<S, BackendType, Precision>());
  static_assert(detail::check_head<HeadType, BackendType, Precision, S.n_embd>());

 public:
  using Head = HeadType;
  using Backend = BackendType;
  using Layers = Decoder<S, Head, BlocksType>;
  using T = typename Precision::Activation;
  using R = real_t<T>;
  using Loss = loss_of<Backend, T>;   ///< a number, or a handle that a conversion to double waits for
  using Score = compute_t<T>;         ///< element type of logits
  using Memory = memory_of<Backend>;  ///< memory of weights, gradients and activations
  using Weights = ParameterBuffers<typename Precision::Weights, Memory>;
  using Gradients = ParameterBuffers<typename Precision::Gradients, Memory>;
  using MatrixElement = typename Precision::Weights::MatrixType;  ///< element type of the matrices in memory
  /// Element types of master weights, gradients and optimizer moments.
  using FullElements = typename Precision::Gradients;
  static constexpr bool rounds_weights = !std::is_same_v<typename Precision::Weights, FullElements>;
  using Work = Workspace<Layers, T, Memory>;
  static constexpr ModelShape shape = S;

  /// Allocates weights, which are zero until initialize() or a checkpoint fills them. Throws an Error for a config that
  /// is out of range or contradicts S. `granule`: the sizes of the flat buffers are padded with zeros to a multiple of
  /// it, for ranks that shard them. With quantized weights, rows must have a multiple of 32 values. `pages`: how the
  /// memory of the matrices is allocated.
  explicit Model(const Config& config, Backend backend = Backend(), std::int64_t granule = 1,
                 Pages pages = Pages::at_once)
      : config_((validate(config), BlocksType::complete(config))),
        layers_(config_),
        backend_(std::move(backend)),
        table_(layers_.list()),
        rotary_(backend_, RotaryPositions<R>(config_)) {
    const CountParameters n = layers_.count();
    if (n.elements < 0 || n.elements > 1'000'000'000'000'000)  // far from overflowing the offsets
      throw Error("config: the layers have {} parameters, which is beyond any model", n.elements);
    if constexpr (is_quantized<MatrixElement>)
      for (const ParameterInfo& p : table_)
        if (p.is_matrix()) require_quantizable<MatrixElement>(p.shape[1], p.name);
    weights_ = Weights(round_up(n.matrices, granule), round_up(n.vectors, granule), pages);
  }

  static constexpr std::int64_t parameter_count(const Config& config) { return Layers(config).count().elements; }

  const Config& config() const { return config_; }
  const Layers& layers() const { return layers_; }
  Backend& backend() { return backend_; }
  const Backend& backend() const { return backend_; }
  Weights& weights() { return weights_; }
  const Weights& weights() const { return weights_; }
  /// Name, shape and offset of all parameters.
  const std::vector<ParameterInfo>& parameters() const { return table_; }
  std::int64_t parameter_count() const { return layers_.count().elements; }

  /// Fills the weights with random initial values (Init), a function of the seed.
  void initialize(std::uint64_t seed) {
    const auto use = exclusive_use();
    moderngpt2::initialize(backend_, ParameterPlaces(weights_), table_, config_, seed);
  }
  /// Allocates gradients, all 0.
  Gradients make_gradients(Pages pages = Pages::at_once) const {
    return Gradients(weights_.matrices.size(), weights_.vectors.size(), pages);
  }
  /// Allocates activation memory for passes over up to (batch,time) tokens.
  Work workspace(int batch, int time, Mode mode) const { return Work(layers_, batch, time, mode); }

  /// Sets the source that makes weights resident before passes use them; null: all weights are always resident. The
  /// source must outlive the passes.
  void set_weight_source(WeightSource* source) { source_ = source; }
  /// Whether this process holds only a shard of the matrices outside of passes (ZeRO stage 3).
  bool is_sharded() const { return source_ && source_->is_sharded(); }
  /// Announces a change of the weights by the calling thread, until the result is destroyed. Throws an Error if another
  /// thread uses the model, or if this thread holds a shared_use().
  [[nodiscard]] Uses::Use exclusive_use() const {
    select_device(backend_);
    return uses_.exclusive();
  }
  /// Requires that the weights do not change until the result is destroyed, as while a text is generated. Other threads
  /// may do so too. Throws an Error if another thread is changing the weights.
  [[nodiscard]] Uses::Use shared_use() const { return uses_.shared(); }

  // Passes come in two forms: with a context of the backend, for any thread, and without, in the model's own context.
  // The latter also take ids and integer labels (see labels_of()) as spans or vectors, which must have the pass's size.

  /// Forward pass: ids (B,T) -> final hidden states (BT,C), in the workspace. `caches`: one view for each layer, or
  /// empty. Ids, key mask and first keys are in host memory for all backends. Throws an Error for null ids, a token id
  /// outside of the vocabulary, more than n_positions tokens, or a pass that does not fit the workspace.
  Rows<T> forward(Backend& context, Work& work, const int* ids, Pass<R> pass,
                  std::span<const KvView<T>> caches = {}) const {
    const PassUse use = begin_use(context);
    ids = prepare(context, work, ids, pass);
    return run_forward(context, work, ids, pass, caches);
  }
  Rows<T> forward(Work& work, const int* ids, Pass<R> pass, std::span<const KvView<T>> caches = {}) {
    return forward(backend_, work, ids, pass, caches);
  }
  Rows<T> forward(Work& work, std::span<const int> ids, Pass<R> pass, std::span<const KvView<T>> caches = {}) {
    return forward(backend_, work, pass.ids_of(ids), pass, caches);
  }

  /// Computes logits (N,V) of final hidden states (N,C), for heads with token logits.
  void logits(Backend& context, Rows<Score> out, Rows<const T> hidden) const {
    const PassUse use = begin_use(context);
    acquire(context, layers_.head_unit());
    layers_.head.predict(context, out, hidden, layers_.bind_final(weights_).head, layers_.bind_embedding(weights_));
  }
  void logits(Rows<Score> out, Rows<const T> hidden) { logits(backend_, out, hidden); }

  /// Loss of a batch of ids (B,T), without gradients. Classifier heads leave their logits in work.views.head. Throws an
  /// Error as forward() does, and for missing or invalid labels.
  template <class Labels = typename Head::Labels>
  Loss loss(Backend& context, Work& work, const int* ids, const Labels& labels, Pass<R> pass) const {
    const PassUse use = begin_use(context);
    const int* const uploaded = prepare(context, work, ids, pass);
    const Rows<T> hidden = run_forward(context, work, uploaded, pass, {});
    const auto p = layers_.bind_final(weights_).head;
    const auto wte = layers_.bind_embedding(weights_);
    const typename Head::template Params<FullElements> no_gradients{};
    const typename Embedding<S.n_embd>::template Params<FullElements> no_wte_gradient{};
    acquire(context, layers_.head_unit());
    const Loss loss = layers_.head.loss(context, Rows<const T>(hidden), Rows<T>{}, p, no_gradients, wte,
                                        no_wte_gradient, work.views.head, ids, labels, pass);
    release_all(context);
    return loss;
  }
  template <class Labels = typename Head::Labels>
  Loss loss(Work& work, const int* ids, const Labels& labels, Pass<R> pass) {
    return loss(backend_, work, ids, labels, pass);
  }
  template <class Labels = typename Head::Labels>
  Loss loss(Work& work, std::span<const int> ids, const Labels& labels, Pass<R> pass) {
    return loss(backend_, work, pass.ids_of(ids), labels_of<typename Head::Labels>(labels, pass), pass);
  }

  /// Loss of a batch of ids (B,T). Adds its gradients to `gradients`, and calls on_ready(unit) when those of a unit's
  /// matrices are complete (see NoGradientHook).
  template <class Labels = typename Head::Labels, class OnReady = NoGradientHook>
  Loss loss_and_gradients(Work& work, const int* ids, const Labels& labels, Gradients& gradients, Pass<R> pass,
                          OnReady&& on_ready = {}) {
    if (work.mode() == Mode::infer) throw Error("the workspace is of Mode::infer: gradients need one of Mode::train");
    if (!gradients.has_sizes_of(weights_)) throw Error("the gradients are not of this model: use make_gradients()");
    const auto use = exclusive_use();
    auto& v = work.views;
    const int* const uploaded = prepare(backend_, work, ids, pass);
    const Rows<T> hidden = run_forward(backend_, work, uploaded, pass, {});
    const auto d_wte = layers_.bind_embedding(gradients);
    acquire(backend_, layers_.head_unit(), layers_.head_unit().previous());
    const Loss loss = layers_.head.loss(backend_, Rows<const T>(hidden), v.du, layers_.bind_final(weights_).head,
                                        layers_.bind_final(gradients).head, layers_.bind_embedding(weights_), d_wte,
                                        v.head, ids, labels, pass);
    fill(backend_, v.dx.data, v.dx.size(), T(0));
    on_ready(layers_.head_unit());
    for (int k = layers_.half_blocks() - 1; k >= 0; --k) {
      acquire(backend_, Unit::half_block(k), k > 0 ? Unit::half_block(k - 1) : Unit());
      backward_half(work, k, gradients, pass);
      on_ready(Unit::half_block(k));
    }
    layers_.ln_f.backward(backend_, v.dx, Rows<const T>(v.du), Rows<const T>(v.x[0]),
                          layers_.bind_pre_norm(weights_, 0), layers_.bind_pre_norm(gradients, 0), true);
    layers_.wte.backward(backend_, Rows<const T>(v.dx), uploaded, d_wte, pass);
    release_all(backend_);
    return loss;
  }
  template <class Labels = typename Head::Labels, class OnReady = NoGradientHook>
  Loss loss_and_gradients(Work& work, std::span<const int> ids, const Labels& labels, Gradients& gradients,
                          Pass<R> pass, OnReady&& on_ready = {}) {
    return loss_and_gradients(work, pass.ids_of(ids), labels_of<typename Head::Labels>(labels, pass), gradients, pass,
                              on_ready);
  }

  /// Serves the weight gathers of a loss() that other ranks run, without a batch of its own (ZeRO stage 3).
  void participate_without_batch() {
    if (source_) acquire_forward({}), source_->release_all();
  }
  /// Serves the weight gathers of a loss_and_gradients() that other ranks run, without a batch of its own. Calls
  /// on_ready(unit) where loss_and_gradients() does.
  template <class OnReady>
  void participate_without_batch(OnReady&& on_ready) {
    if (!source_) return;
    acquire_forward(layers_.head_unit().previous());
    on_ready(layers_.head_unit());
    for (int k = layers_.half_blocks() - 1; k >= 0; --k) {
      acquire(backend_, Unit::half_block(k), k > 0 ? Unit::half_block(k - 1) : Unit());
      on_ready(Unit::half_block(k));
    }
    source_->release_all();
  }

 private:
  /// Use of the weights by a pass that only reads them, and of what such passes share.
  struct PassUse {
    Uses::Use weights, shared;
  };
  /// Begins a pass that only reads the weights. Passes in the model's own context, and all passes if a weight source
  /// serves them, exclude each other.
  PassUse begin_use(const Backend& context) const {
    return {uses_.shared(), &context == &backend_ || source_ ? context_uses_.exclusive() : Uses::Use()};
  }

  /// Makes a unit's weights resident for operations of `context`. A source works in the order of the model's own
  /// context.
  void acquire(const Backend& context, Unit unit, Unit next = {}) const {
    if (!source_) return;
    if (&context != &backend_) order_after(backend_, context);
    source_->acquire(unit, next);
    if (&context != &backend_) order_after(context, backend_);
  }
  void release_all(const Backend& context) const { acquire(context, {}); }
  /// Acquires all units in the order of a forward pass; `next` is used after the head.
  void acquire_forward(Unit next) {
    for (Unit unit = Unit::embedding(); unit < layers_.head_unit(); unit = unit.next())
      acquire(backend_, unit, unit.next());
    acquire(backend_, layers_.head_unit(), next);
  }

  /// Forward pass with ids and the pass's arrays in the backend's memory.
  Rows<T> run_forward(Backend& b, Work& work, const int* ids, const Pass<R>& pass,
                      std::span<const KvView<T>> caches) const {
    auto& v = work.views;
    acquire(b, Unit::embedding(), Unit::embedding().next());
    layers_.wte.forward(b, v.x[0], ids, layers_.bind_embedding(weights_), pass);
    layers_.ln_f.forward(b, v.u[0], Rows<const T>(v.x[0]), layers_.bind_pre_norm(weights_, 0));
    for (int k = 0; k < layers_.half_blocks(); ++k) {
      acquire(b, Unit::half_block(k), Unit::half_block(k).next());
      with_half(work, k, [&](const auto& half, auto&& bind, const auto& saved, const auto&, int layer) {
        const auto p = bind(weights_);
        const bool cached = !caches.empty() && k % 2 == 0;
        half.mix(b, v.y[k], v.u[k], p.mixer, saved, pass, layer, cached ? caches[std::size_t(layer)] : KvView<T>{});
        add_and_norm(b, half.norm, v.x[k + 1], v.u[k + 1], v.x[k], v.y[k], p.post_norm,
                     layers_.bind_pre_norm(weights_, k + 1), pass.time, residual_dropout(pass, k));
      });
    }
    return v.u.back();
  }

  /// Backward pass of half block k. Input: v.du, the gradient of u[k+1], and v.dx, the gradient of x[k+1] through the
  /// residual path. Output: v.du of u[k] and v.dx of x[k].
  void backward_half(Work& work, int k, Gradients& gradients, const Pass<R>& pass) {
    auto& v = work.views;
    const Dropout residual = residual_dropout(pass, k);
    with_half(work, k, [&](const auto& half, auto&& bind, const auto& saved, const auto& scratch, int layer) {
      const auto p = bind(weights_);
      const auto g = bind(gradients);
      const Rows<const T> u = v.u[k];
      if (work.mode() == Mode::train_recompute) {
        half.norm.forward(backend_, v.u[k], Rows<const T>(v.x[k]), p.pre_norm);
        half.mix(backend_, v.y[k], v.u[k], p.mixer, saved, pass, layer, KvView<T>{});
        dropout(backend_, v.y[k], pass.time, residual);
      }
      add_and_norm_backward(backend_, half.norm, v.dx, v.dy, g.post_norm, layers_.bind_pre_norm(gradients, k + 1),
                            Rows<const T>(v.du), Rows<const T>(v.x[k + 1]), Rows<const T>(v.y[k]), p.post_norm,
                            layers_.bind_pre_norm(weights_, k + 1), pass.time, residual);
      half.mixer.backward(backend_, v.du, Rows<const T>(v.dy), u, p.mixer, g.mixer, saved, scratch, pass, layer);
    });
  }

  /// Calls f(half block k, bind, saved, scratch, layer), where bind(buffers) returns views of its parameters in
  /// buffers.
  template <class F>
  void with_half(Work& work, int k, F&& f) const {
    const int layer = k / 2;
    auto& v = work.views;
    const auto bind_attention = [&](const auto& buffers) { return layers_.bind_attention(buffers, layer); };
    const auto bind_mlp = [&](const auto& buffers) { return layers_.bind_mlp(buffers, layer); };
    if (k % 2 == 0)
      f(layers_.attention_half, bind_attention, v.attention[std::size_t(layer)], v.attention_scratch, layer);
    else
      f(layers_.mlp_half, bind_mlp, v.mlp[std::size_t(layer)], v.mlp_scratch, layer);
  }

  Dropout residual_dropout(const Pass<R>& pass, int k) const {
    return pass.dropout(RandomUse::residual_dropout, config_.resid_pdrop, k);
  }

  /// Validates a pass, shapes the workspace for it, and uploads ids and the pass's arrays. Returns the uploaded ids.
  const int* prepare(Backend& b, Work& work, const int* ids, Pass<R>& pass) const {
    pass.check_length(config_.n_positions);
    work.reshape(pass.batch, pass.time);
    pass.check_ids(ids, config_.vocab_size);
    pass.check_pasts();
    pass.check_first_keys();
    begin_pass(b);
    pass.rotary = rotary_.table();
    pass.key_mask = upload(b, pass.key_mask, std::int64_t(pass.batch) * (pass.past + pass.time));
    pass.first_key = upload(b, pass.first_key, pass.rows());
    pass.pasts = upload(b, pass.pasts, pass.batch);
    return upload(b, ids, pass.rows());
  }

  Config config_;
  Layers layers_;
  mutable Backend backend_;  // mutable for sessions of a sharded model, which exclude each other (context_uses_)
  std::vector<ParameterInfo> table_;
  RotaryPositions<R, Memory> rotary_;
  Weights weights_;
  WeightSource* source_ = nullptr;
  Uses uses_{"model"};          // shared: passes; exclusive: changes of the weights
  Uses context_uses_{"model"};  // exclusive: passes that use backend_ or source_
};

}  // namespace moderngpt2
