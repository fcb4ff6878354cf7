#pragma once

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/heads/labels.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// Labels of LanguageModelHead.
struct LanguageModelLabels {
  const int* labels = nullptr;  ///< (B,T), not shifted: the head compares position t with label t + 1; not null
  std::int64_t valid = -1;  ///< valid labels in the global batch, after the shift; negative: count them in this batch
};

/// Head for next-token prediction: logits (BT,V) by a matrix (V,C), which is its own or the tied embedding, with soft
/// cap final_logit_softcapping.
template <int C, Toggle Tied = Toggle::dynamic>
struct LanguageModelHead {
  static constexpr const char* architecture = "ModernGPT2LMHeadModel";
  int vocab_size;
  [[no_unique_address]] Extent<C> n_embd;
  bool run_time_tied;
  double softcap;

  constexpr explicit LanguageModelHead(const Config& c)
      : vocab_size(c.vocab_size),
        n_embd(c.n_embd),
        run_time_tied(c.tied_head),
        softcap(c.final_logit_softcapping.value_or(0.0)) {}

  constexpr bool tied() const { return Tied == Toggle::dynamic ? run_time_tied : Tied == Toggle::on; }

  template <class E>
  struct Params {
    typename Linear<C, dynamic>::template Params<E> lm_head;  // null when tied
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    if (!tied()) visitor.nested("lm_head", Linear<C, dynamic>{n_embd, vocab_size}, p.lm_head);
  }

  template <class T>
  struct Saved {
    int* targets = nullptr;  // (BT) label of the next position, ignored_label for the last
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    return {arena.take<int>(std::int64_t(batch) * time)};
  }

  constexpr HeadSize size(int /*batch*/, int /*time*/) const { return {.predicts_tokens = true}; }

  using Labels = LanguageModelLabels;

  /// Number of labels (B,T) in the loss: the valid ones, except the first of each row, which no position predicts.
  static std::int64_t count_targets(const int* labels, int batch, int time) {
    std::int64_t count = 0;
    for (int b = 0; b < batch; ++b) count += count_valid(labels + std::int64_t(b) * time + 1, time - 1);
    return count;
  }

  /// Matrix (V,C) of the logits: lm_head, or the embedding if tied.
  template <class E>
  auto weight(const Params<E>& p, const typename Embedding<C>::template Params<E>& wte) const {
    return tied() ? wte.weight : p.lm_head.weight;
  }

  /// Computes logits (N,V), after the soft cap, from hidden states (N,C).
  template <class B, class T, class E>
  void predict(B& b, Rows<compute_t<T>> out, Rows<const T> hidden, const Params<E>& p,
               const typename Embedding<C>::template Params<E>& wte) const {
    if (!out.data || !hidden.data || out.count != hidden.count || out.width != vocab_size)
      throw Error("logits of {} rows and {} columns: {} rows and the vocabulary of {} are needed", out.count, out.width,
                  hidden.count, vocab_size);
    logits(b, out, hidden, weight(p, wte), real_t<T>(softcap));
  }

  /// Mean cross-entropy of position t against label t + 1, in nats. If dhidden (BT,C) is not null, also sets it to the
  /// gradient of hidden and adds the gradients of the weights to `g` and `dwte`.
  template <class B, class T, class E, class G>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const typename Embedding<C>::template Params<E>& wte,
                     const typename Embedding<C>::template Params<G>& dwte, const Saved<T>& s, const int* /*ids*/,
                     const Labels& labels, const Pass<real_t<T>>& pass) const {
    using R = real_t<T>;
    if (!labels.labels) throw Error("labels: LanguageModelLabels::labels is null, the loss needs (B,T) labels");
    std::int64_t counted = 0;
    upload_into(b, s.targets, hidden.count, [&](int* targets) {
      for (int r = 0; r < hidden.count; ++r)
        targets[r] = (r + 1) % pass.time == 0 ? ignored_label : labels.labels[r + 1];
      counted = count_valid(targets, hidden.count, vocab_size);
    });
    const std::int64_t valid = mean_count(labels.valid, counted);
    const R scale = mean_factor<R>(valid) * pass.loss_scale;
    const auto w = weight(p, wte);
    const loss_of<B, T> sum = dhidden.data ? classifier(b, dhidden, weight(g, dwte), hidden, w, s.targets, R(softcap),
                                                        scale, pass.label_smoothing)
                                           : classifier_loss(b, hidden, w, s.targets, R(softcap), pass.label_smoothing);
    return sum * real_t<sum_t<T>>(mean_factor<double>(valid));
  }
};

}  // namespace moderngpt2
