#pragma once

#include <algorithm>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/pass_memory.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/heads/labels.hpp"
#include "moderngpt2/layers/linear.hpp"

namespace moderngpt2 {

/// Head for extractive question answering: logits (B,T) of the answer's first token, and of its last token.
template <int C, Toggle = Toggle::dynamic>
struct QuestionAnsweringHead {
  static constexpr const char* architecture = "ModernGPT2ForQuestionAnswering";
  [[no_unique_address]] Extent<C> n_embd;

  constexpr explicit QuestionAnsweringHead(const Config& c) : n_embd(c.n_embd) {}

  template <class E>
  struct Params {
    typename Linear<C, 2>::template Params<E> qa_outputs;
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("qa_outputs", projection(), p.qa_outputs);
  }

  template <class T>
  struct Saved {
    Rows<compute_t<T>> joint, d_joint;  // (BT,2)
    Rows<compute_t<T>> start, d_start;  // (B,T)
    Rows<compute_t<T>> end, d_end;      // (B,T)
    int* positions = nullptr;           // (2,B)
  };
  template <class T>
  constexpr Saved<T> saved(Arena& arena, int batch, int time) const {
    using S = compute_t<T>;
    auto rows = [&](int n, int w) { return Rows<S>(arena.take<S>(std::int64_t(n) * w), n, w); };
    return {rows(batch * time, 2), rows(batch * time, 2), rows(batch, time),         rows(batch, time),
            rows(batch, time),     rows(batch, time),     arena.take<int>(2 * batch)};
  }

  constexpr HeadSize size(int batch, int time) const { return {.rows = batch * time, .scores = 2}; }

  struct Labels {
    const int* start_positions = nullptr;  ///< (B); negative: clamped to 0; >= T: ignored
    const int* end_positions = nullptr;    ///< (B), as start_positions; both null: logits only, without gradients
    std::int64_t valid =
        -1;  ///< valid start positions in the global batch, equal to end positions; negative: count here
  };

  /// Mean of the cross-entropies of start and end. If dhidden (BT,C) is not null, also sets it to the gradient of
  /// hidden and adds the weight gradients to `g`. Leaves the logits in s.start and s.end.
  template <class B, class T, class E, class G>
  loss_of<B, T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                     const typename Embedding<C>::template Params<E>&, const typename Embedding<C>::template Params<G>&,
                     const Saved<T>& s, const int*, const Labels& labels, const Pass<real_t<T>>& pass) const {
    projection().forward(b, s.joint, hidden, p.qa_outputs);
    copy_rows(b, column(s.start), s.joint.columns(0, 1));
    copy_rows(b, column(s.end), s.joint.columns(1, 1));
    if (!labels.start_positions != !labels.end_positions)
      throw Error("labels: {}_positions is null, but {}_positions is given", labels.start_positions ? "end" : "start",
                  labels.start_positions ? "start" : "end");
    if (pass.label_smoothing > 0)
      throw Error("label_smoothing is {}, but the labels of question answering are positions, not classes",
                  double(pass.label_smoothing));
    require_labels(labels.start_positions, dhidden.data, "start_positions and end_positions are");
    if (!labels.start_positions) return loss_of<B, T>();
    const loss_of<B, T> total =
        half_loss(b, s.d_start, s.start, labels.start_positions, s.positions, labels.valid, pass.loss_scale) +
        half_loss(b, s.d_end, s.end, labels.end_positions, s.positions + pass.batch, labels.valid, pass.loss_scale);
    if (dhidden.data) {
      copy_rows(b, s.d_joint.columns(0, 1), column(s.d_start));
      copy_rows(b, s.d_joint.columns(1, 1), column(s.d_end));
      projection().backward(b, dhidden, Rows<const compute_t<T>>(s.d_joint), hidden, p.qa_outputs, g.qa_outputs);
    }
    return total;
  }

  constexpr Linear<C, 2> projection() const { return {n_embd, 2, true}; }

 private:
  /// View of (B,T) as (BT,1).
  template <class T>
  static Rows<T> column(Rows<T> x) {
    return {x.data, x.count * x.width, 1};
  }
  /// Half of the loss, from scores (B,T) and labels (B) in host memory; `positions` (B) receives the clamped labels.
  template <class B, class T>
  static loss_of<B, T> half_loss(B& b, Rows<T> gradient, Rows<T> scores, const int* labels, int* positions,
                                 std::int64_t valid, real_t<T> loss_scale) {
    std::int64_t counted = 0;
    upload_into(b, positions, scores.count, [&](int* to) {
      for (int r = 0; r < scores.count; ++r) to[r] = labels[r] >= scores.width ? ignored_label : std::max(labels[r], 0);
      counted = count_valid(to, scores.count);
    });
    const double factor = 0.5 * mean_factor<double>(mean_count(valid, counted));
    return cross_entropy(b, gradient, scores, positions, real_t<T>(factor) * loss_scale) * real_t<sum_t<T>>(factor);
  }
};

}  // namespace moderngpt2
