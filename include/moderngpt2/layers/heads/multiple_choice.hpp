#pragma once

#include <optional>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/layers/heads/language_model.hpp"

namespace moderngpt2 {

/// Two heads: next-token prediction, and a score for each choice (GPT2DoubleHeadsModel of Transformers). Each choice is
/// a row of the batch; rows of the same question are consecutive.
template <int C, Toggle Tied = Toggle::dynamic>
struct DoubleHeads {
  static constexpr const char* architecture = "ModernGPT2DoubleHeadsModel";
  LanguageModelHead<C, Tied> language;
  SummaryType summary_type;
  std::optional<Activation> summary_activation;
  double dropout_rate;

  constexpr explicit DoubleHeads(const Config& c)
      : language(c),
        summary_type(c.summary_type),
        summary_activation(c.summary_activation),
        dropout_rate(c.summary_first_dropout) {
    if (!c.summary_use_proj || !c.summary_proj_to_labels)
      throw Error("config: a multiple-choice head needs summary_use_proj and summary_proj_to_labels true");
  }

  constexpr bool tied() const { return language.tied(); }

  template <class E>
  struct Params {
    typename LanguageModelHead<C, Tied>::template Params<E> language;
    typename Linear<C, 1>::template Params<E> summary;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    language.describe(p.language, visitor);
    visitor.nested("multiple_choice_head.summary", summary(), p.summary);
  }

  template <class T>
  struct Saved {
    typename LanguageModelHead<C, Tied>::template Saved<T> language;
    int* positions;                                  // (B) row of hidden that scores each choice
    Rows<T> pooled, d_pooled;                        // (B,C)
    Rows<compute_t<T>> scores, mc_logits, d_scores;  // (B,1), before and after summary_activation
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    const int width = language.n_embd;
    auto rows = [&] { return Rows<T>(arena.take<T>(std::int64_t(batch) * width), batch, width); };
    auto scores = [&] { return Rows<compute_t<T>>(arena.take<compute_t<T>>(batch), batch, 1); };
    return {language.template saved<T>(arena, batch, time),
            arena.take<int>(batch),
            rows(),
            rows(),
            scores(),
            scores(),
            scores()};
  }

  constexpr HeadSize size(int batch, int /*time*/) const {
    return {.predicts_tokens = true, .rows = batch, .scores = 1};
  }

  struct Labels {
    LanguageModelLabels language;       ///< labels null: no language loss
    int choices = 1;                    ///< choices of each question
    const int* mc_token_ids = nullptr;  ///< (B) position scored with summary_type cls_index; null: the last
    const int* mc_labels = nullptr;     ///< (B/choices) index of the right choice; null: no choice loss
    std::int64_t mc_valid = -1;         ///< valid questions in the global batch; negative: count them in this batch
  };

  /// Computes next-token logits (N,V) from hidden states (N,C).
  template <class B, class T, class E>
  void predict(B& b, Rows<compute_t<T>> out, Rows<const T> hidden, const Params<E>& p,
               const typename Embedding<C>::template Params<E>& wte) const {
    language.predict(b, out, hidden, p.language, wte);
  }

  /// Sum of the language loss and the loss over the choices. If dhidden (BT,C) is not null, also sets it to the
  /// gradient of hidden and adds the weight gradients to `g` and `dwte`. Leaves the choice logits in s.mc_logits.
  template <class B, class T, class E, class G>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const typename Embedding<C>::template Params<E>& wte,
                     const typename Embedding<C>::template Params<G>& dwte, const Saved<T>& s, const int* ids,
                     const Labels& labels, const Pass<real_t<T>>& pass) const {
    require_labels(labels.language.labels || labels.mc_labels, dhidden.data, "language.labels and mc_labels are");
    loss_of<B, T> total{};
    if (labels.language.labels)
      total =
          language.loss(b, hidden, dhidden, p.language, g.language, wte, dwte, s.language, ids, labels.language, pass);
    else if (dhidden.data)
      fill(b, dhidden.data, dhidden.size(), T(0));
    return total + choice_loss(b, hidden, dhidden, p, g, s, labels, pass);
  }

  /// Loss over the choices only. If dhidden (BT,C) is not null, adds the gradient of hidden to it.
  template <class B, class T, class E, class G>
  loss_of<B, T> choice_loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                            const Saved<T>& s, const Labels& labels, const Pass<real_t<T>>& pass) const {
    using R = real_t<T>;
    pool(b, hidden, s, labels, pass);
    const Dropout drop = pass.dropout(RandomUse::head_dropout, dropout_rate, 0);
    dropout(b, s.pooled, 1, drop);
    summary().forward(b, s.scores, Rows<const T>(s.pooled), p.summary);
    if (summary_activation)
      activation(b, s.mc_logits, s.scores, *summary_activation);
    else
      copy_rows(b, s.mc_logits, s.scores);
    if (!labels.mc_labels) return loss_of<B, T>();
    if (labels.choices < 1 || pass.batch % labels.choices != 0)
      throw Error("labels: {} rows are not a multiple of {} choices per question", pass.batch, labels.choices);
    const int questions = pass.batch / labels.choices;
    const std::int64_t valid = mean_count(labels.mc_valid, count_valid(labels.mc_labels, questions, labels.choices));
    const Rows<compute_t<T>> answer(s.mc_logits.data, questions, labels.choices),
        d_answer(s.d_scores.data, questions, labels.choices);
    const loss_of<B, T> sum = cross_entropy(b, d_answer, answer, upload(b, labels.mc_labels, questions),
                                            mean_factor<R>(valid) * pass.loss_scale, pass.label_smoothing);
    if (dhidden.data) {
      if (summary_activation) activation_backward(b, s.d_scores, s.scores, *summary_activation);
      summary().backward(b, s.d_pooled, Rows<const compute_t<T>>(s.d_scores), Rows<const T>(s.pooled), p.summary,
                         g.summary);
      dropout(b, s.d_pooled, 1, drop);
      spread(b, dhidden, s);
    }
    return sum * real_t<sum_t<T>>(mean_factor<double>(valid));
  }

  constexpr Linear<C, 1> summary() const { return {language.n_embd, 1, true}; }

 private:
  template <class B, class T, class R>
  void pool(B& b, Rows<const T> hidden, const Saved<T>& s, const Labels& labels, const Pass<R>& pass) const {
    if (summary_type == SummaryType::mean) return mean_rows(b, s.pooled, hidden);
    upload_into(b, s.positions, pass.batch, [&](int* positions) {
      for (int r = 0; r < pass.batch; ++r) {
        int t = pass.time - 1;
        if (summary_type == SummaryType::first) t = 0;
        if (summary_type == SummaryType::cls_index && labels.mc_token_ids) t = labels.mc_token_ids[r];
        if (t < 0 || t >= pass.time)
          throw Error("mc_token_ids: position {} of choice {} is outside 0..{}", t, r, pass.time - 1);
        positions[r] = r * pass.time + t;
      }
    });
    gather_rows(b, s.pooled, hidden, s.positions);
  }

  template <class B, class T>
  void spread(B& b, Rows<T> dhidden, const Saved<T>& s) const {
    if (summary_type == SummaryType::mean) return mean_rows_backward(b, dhidden, s.d_pooled);
    scatter_rows_add(b, dhidden, s.d_pooled, s.positions);
  }
};

}  // namespace moderngpt2
