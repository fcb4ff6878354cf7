#pragma once

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/heads/labels.hpp"
#include "moderngpt2/layers/linear.hpp"

namespace moderngpt2 {

/// Head for sequence classification or regression: logits (B,num_labels) from the hidden state of the last token that
/// is not padding.
template <int C, Toggle = Toggle::dynamic>
struct SequenceClassificationHead {
  static constexpr const char* architecture = "ModernGPT2ForSequenceClassification";
  [[no_unique_address]] Extent<C> n_embd;
  int num_labels;
  ProblemType problem_type;
  std::optional<int> pad_token_id;

  constexpr explicit SequenceClassificationHead(const Config& c)
      : n_embd(c.n_embd), num_labels(c.num_labels), problem_type(c.problem_type), pad_token_id(c.pad_token_id) {}

  template <class E>
  struct Params {
    typename Linear<C, dynamic>::template Params<E> score;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("score", score(), p.score);
  }

  template <class T>
  struct Saved {
    int* positions;                       // (B) row of hidden of the last token
    Rows<T> pooled, d_pooled;             // (B,C)
    Rows<compute_t<T>> logits, d_logits;  // (B,num_labels)
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int) const {
    const int width = n_embd;
    auto rows = [&]<class S>(S, int w) { return Rows<S>(arena.take<S>(std::int64_t(batch) * w), batch, w); };
    const compute_t<T> score{};
    return {arena.take<int>(batch), rows(T{}, width), rows(T{}, width), rows(score, num_labels),
            rows(score, num_labels)};
  }

  constexpr HeadSize size(int batch, int /*time*/) const { return {.rows = batch, .scores = num_labels}; }

  /// Labels: integer classes or real values; both null: logits only, in a pass without gradients.
  template <class R>
  struct LabelsOf {
    const int* classes = nullptr;  ///< (B)
    const R* values = nullptr;     ///< (B,num_labels)
    std::int64_t valid = -1;  ///< valid classes, or values, in the global batch; negative: count them in this batch
  };
  using Labels = LabelsOf<float>;

  /// Mean loss for the problem type. If dhidden (BT,C) is not null, also sets it to the gradient of hidden and adds the
  /// weight gradients to `g`. Leaves the logits in s.logits.
  template <class B, class T, class E, class G, class L>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const typename Embedding<C>::template Params<E>&, const typename Embedding<C>::template Params<G>&,
                     const Saved<T>& s, const int* ids, const L& labels, const Pass<real_t<T>>& pass) const {
    using R = real_t<T>;
    upload_into(b, s.positions, pass.batch, [&](int* positions) {
      for (int r = 0; r < pass.batch; ++r)
        positions[r] = r * pass.time + last_position(ids + std::int64_t(r) * pass.time, pass);
    });
    gather_rows(b, s.pooled, hidden, s.positions);
    score().forward(b, s.logits, Rows<const T>(s.pooled), p.score);
    require_labels(labels.classes || labels.values, dhidden.data, "classes and values are");
    if (!labels.classes && !labels.values) return loss_of<B, T>();

    const ProblemType problem = resolve(labels.classes != nullptr);
    if ((problem == ProblemType::single_label) != (labels.classes != nullptr))
      throw Error("labels: a {} problem requires {} labels",
                  problem == ProblemType::single_label ? "single-label" : "regression or multi-label",
                  problem == ProblemType::single_label ? "integer" : "real");
    if (problem != ProblemType::single_label && pass.label_smoothing > 0)
      throw Error("label_smoothing is {}, but the labels of a regression or multi-label problem are not classes",
                  double(pass.label_smoothing));
    const std::int64_t counted = problem == ProblemType::single_label
                                     ? count_valid(labels.classes, pass.batch, num_labels)
                                     : std::int64_t(pass.batch) * num_labels;
    const std::int64_t count = mean_count(labels.valid, counted);
    const R scale = mean_factor<R>(count) * pass.loss_scale;
    loss_of<B, T> sum{};
    if (problem == ProblemType::single_label)
      sum = cross_entropy(b, s.d_logits, s.logits, upload(b, labels.classes, pass.batch), scale, pass.label_smoothing);
    else if (problem == ProblemType::regression)
      sum = mean_squared_error(b, s.d_logits, s.logits, upload(b, labels.values, counted), scale);
    else
      sum = binary_cross_entropy(b, s.d_logits, s.logits, upload(b, labels.values, counted), scale);
    if (dhidden.data) {
      score().backward(b, s.d_pooled, Rows<const compute_t<T>>(s.d_logits), Rows<const T>(s.pooled), p.score, g.score);
      fill(b, dhidden.data, dhidden.size(), T(0));
      scatter_rows_add(b, dhidden, s.d_pooled, s.positions);
    }
    return sum * real_t<sum_t<T>>(mean_factor<double>(count));
  }

  constexpr Linear<C, dynamic> score() const { return {n_embd, num_labels}; }

  /// Problem type of a batch: problem_type of the config, else regression for num_labels 1, single-label for integer
  /// and multi-label for real labels (as in Transformers).
  constexpr ProblemType resolve(bool integers) const {
    if (problem_type != ProblemType::automatic) return problem_type;
    if (num_labels == 1) return ProblemType::regression;
    return integers ? ProblemType::single_label : ProblemType::multi_label;
  }

 private:
  template <class R>
  int last_position(const int* ids, const Pass<R>& pass) const {
    if (!pad_token_id) {
      if (pass.batch > 1) throw Error("config: pad_token_id is null, but a batch of several sequences requires it");
      return pass.time - 1;
    }
    for (int t = pass.time - 1; t > 0; --t)
      if (ids[t] != *pad_token_id) return t;
    return 0;
  }
};

}  // namespace moderngpt2
