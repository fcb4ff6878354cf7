#pragma once

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/heads/labels.hpp"
#include "moderngpt2/layers/linear.hpp"

namespace moderngpt2 {

/// Head for token classification: logits (BT,num_labels).
template <int C, Toggle = Toggle::dynamic>
struct TokenClassificationHead {
  static constexpr const char* architecture = "ModernGPT2ForTokenClassification";
  [[no_unique_address]] Extent<C> n_embd;
  int num_labels;
  double dropout_rate;

  constexpr explicit TokenClassificationHead(const Config& c)
      : n_embd(c.n_embd), num_labels(c.num_labels), dropout_rate(c.classifier_dropout) {}

  template <class E>
  struct Params {
    typename Linear<C, dynamic>::template Params<E> classifier;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("classifier", projection(), p.classifier);
  }

  template <class T>
  struct Saved {
    Rows<T> dropped;                      // (BT,C)
    Rows<compute_t<T>> logits, d_logits;  // (BT,num_labels)
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int n = batch * time, width = n_embd;
    auto rows = [&]<class S>(S, int w) { return Rows<S>(arena.take<S>(std::int64_t(n) * w), n, w); };
    const compute_t<T> score{};
    return {rows(T{}, width), rows(score, num_labels), rows(score, num_labels)};
  }

  constexpr HeadSize size(int batch, int time) const { return {.rows = batch * time, .scores = num_labels}; }

  struct Labels {
    const int* labels = nullptr;  ///< (B,T); null: logits only, without gradients
    std::int64_t valid = -1;      ///< valid labels in the global batch; negative: count them in this batch
  };

  /// Mean cross-entropy. If dhidden (BT,C) is not null, also sets it to the gradient of hidden and adds the weight
  /// gradients to `g`. Leaves the logits in s.logits.
  template <class B, class T, class E, class G>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const typename Embedding<C>::template Params<E>&, const typename Embedding<C>::template Params<G>&,
                     const Saved<T>& s, const int*, const Labels& labels, const Pass<real_t<T>>& pass) const {
    const Dropout drop = pass.dropout(RandomUse::head_dropout, dropout_rate, 0);
    copy_rows(b, s.dropped, hidden);
    dropout(b, s.dropped, pass.time, drop);
    projection().forward(b, s.logits, Rows<const T>(s.dropped), p.classifier);
    require_labels(labels.labels, dhidden.data, "labels is");
    if (!labels.labels) return loss_of<B, T>();
    const std::int64_t valid = mean_count(labels.valid, count_valid(labels.labels, hidden.count, num_labels));
    const loss_of<B, T> sum = cross_entropy(b, s.d_logits, s.logits, upload(b, labels.labels, hidden.count),
                                            mean_factor<real_t<T>>(valid) * pass.loss_scale, pass.label_smoothing);
    if (dhidden.data) {
      projection().backward(b, dhidden, Rows<const compute_t<T>>(s.d_logits), Rows<const T>(s.dropped), p.classifier,
                            g.classifier);
      dropout(b, dhidden, pass.time, drop);
    }
    return sum * real_t<sum_t<T>>(mean_factor<double>(valid));
  }

  constexpr Linear<C, dynamic> projection() const { return {n_embd, num_labels, true}; }
};

}  // namespace moderngpt2
