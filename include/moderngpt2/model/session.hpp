#pragma once

#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/uses.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/model/activations.hpp"

namespace moderngpt2 {

/// Memory with which one thread runs forward passes of a model that other threads use too: a context of the backend
/// (threads or stream, scratch) and activations. Sessions with equal settings compute equal bits, alone or at once.
///
/// Threads: any number of sessions may run passes of one model at once. A session is for one thread at a time. The
/// weights must not change during a pass: the call that finds a conflict throws an Error. On a GPU a pass ends with a
/// download or backend().synchronize(), not when its call returns.
template <class M>
class Session {
 public:
  using T = typename M::T;
  using R = typename M::R;

  /// For passes over up to (batch,time) tokens. The model must outlive the session. `context`: the session's own, such
  /// as cpu::Backend(1); default: a new one with the settings of the model's, such as its number of threads. A session
  /// of a sharded model (ZeRO stage 3) uses the model's own context, in whose order weights are gathered.
  Session(const M& model, int batch, int time, std::optional<typename M::Backend>&& context = {})
      : model_(&model),
        own_(model.is_sharded() ? nullptr
             : context          ? std::make_unique<typename M::Backend>(std::move(*context))
                                : std::make_unique<typename M::Backend>(new_context(model.backend()))),
        context_(own_ ? *own_ : model.backend_),
        work_((select_device(context_), model.workspace(batch, time, Mode::infer))) {}

  /// The session refers to the model: a temporary would be gone before the first pass.
  Session(const M&& model, int batch, int time, std::optional<typename M::Backend>&& context = {}) = delete;

  const M& model() const { return *model_; }
  typename M::Backend& backend() { return context_; }
  typename M::Work& work() { return work_; }

  /// See Model::forward().
  Rows<T> forward(const int* ids, const Pass<R>& pass, std::span<const KvView<T>> caches = {}) {
    const auto use = begin();
    return model_->forward(context_, work_, ids, pass, caches);
  }
  /// See Model::logits().
  void logits(Rows<typename M::Score> out, Rows<const T> hidden) {
    const auto use = begin();
    model_->logits(context_, out, hidden);
  }
  /// See Model::loss(). Classifier heads leave their logits in work().views.head.
  template <class Labels = typename M::Head::Labels>
  typename M::Loss loss(const int* ids, const Labels& labels, const Pass<R>& pass) {
    const auto use = begin();
    return model_->loss(context_, work_, ids, labels, pass);
  }

 private:
  /// Uses of this session and of the model's weights.
  struct BothUses {
    Uses::Use session, weights;
  };
  /// Begins a call. Operations that the model's own context has queued, such as an update of the weights, come first.
  BothUses begin() {
    BothUses use{uses_.exclusive(), model_->shared_use()};
    select_device(context_);
    order_after(context_, model_->backend());
    return use;
  }

  const M* model_;
  std::unique_ptr<typename M::Backend> own_;
  typename M::Backend& context_;
  typename M::Work work_;
  Uses uses_{"session"};
};

}  // namespace moderngpt2
