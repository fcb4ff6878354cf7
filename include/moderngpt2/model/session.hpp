#pragma once

#include <span>
#include <utility>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/uses.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/model/activations.hpp"

namespace moderngpt2 {

/// Memory with which one thread runs forward passes of a model that other threads use too: a context of the backend
/// (threads or stream, scratch) and activations. Many sessions may share one model; each computes the bits that it
/// computes alone. A session is for one thread at a time, and the weights must not change meanwhile.
template <class M>
class Session {
 public:
  using T = typename M::T;
  using R = typename M::R;

  /// For passes over up to (batch,time) tokens. The model must outlive the session. The context has the settings of the
  /// model's own, such as its number of threads.
  Session(const M& model, int batch, int time) : Session(model, batch, time, new_context(model.backend())) {}
  /// With a context of the caller's, such as cpu::Backend(1).
  Session(const M& model, int batch, int time, typename M::Backend context)
      : model_(&model), context_(std::move(context)), work_(model.workspace(batch, time, Mode::infer)) {
    order_after(context_, model.backend());  // the weights may have been written by queued operations
  }

  const M& model() const { return *model_; }
  typename M::Backend& backend() { return context_; }
  typename M::Work& work() { return work_; }

  /// See Model::forward().
  Rows<T> forward(const int* ids, const Pass<R>& pass, std::span<const KvView<T>> caches = {}) {
    const auto use = uses_.exclusive();
    return model_->forward(context_, work_, ids, pass, caches);
  }
  /// See Model::logits().
  void logits(Rows<typename M::Score> out, Rows<const T> hidden) {
    const auto use = uses_.exclusive();
    model_->logits(context_, out, hidden);
  }
  /// See Model::loss(). Classifier heads leave their logits in work().views.head.
  template <class Labels = typename M::Head::Labels>
  typename M::Loss loss(const int* ids, const Labels& labels, const Pass<R>& pass) {
    const auto use = uses_.exclusive();
    return model_->loss(context_, work_, ids, labels, pass);
  }

 private:
  const M* model_;
  typename M::Backend context_;
  typename M::Work work_;
  Uses uses_{"session"};
};

}  // namespace moderngpt2
