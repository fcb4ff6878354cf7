#pragma once

#include <algorithm>

#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/layers/embedding.hpp"
#include "moderngpt2/layers/heads/labels.hpp"
#include "moderngpt2/layers/linear.hpp"

namespace moderngpt2 {

/// Where an answer starts and ends.
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

  struct Labels {
    const int* start_positions = nullptr;  ///< (B); null: logits only. Negative counts as 0, >= T is ignored.
    const int* end_positions = nullptr;    ///< (B)
    std::int64_t valid = -1;  ///< starts, and as many ends, of the whole global batch; negative: those of this one
  };

  /// Mean of the losses of start and end. Logits are in saved.start and saved.end.
  template <class B, class T, class E, class G>
  sum_t<T> loss(B& b, Rows<const T> hidden, Rows<T> dhidden, const Params<E>& p, const Params<G>& g,
                const typename Embedding<C>::template Params<E>&, const typename Embedding<C>::template Params<G>&,
                const Saved<T>& s, const int*, const Labels& labels, const Pass<real_t<T>>& pass) const {
    projection().forward(b, s.joint, hidden, p.qa_outputs);
    for (int r = 0; r < hidden.count; ++r) s.start.data[r] = s.joint.row(r)[0], s.end.data[r] = s.joint.row(r)[1];
    if (!labels.start_positions || !labels.end_positions) return sum_t<T>(0);
    auto clamped = [&](const int* from, int* to) {
      for (int r = 0; r < pass.batch; ++r) to[r] = from[r] >= pass.time ? ignored_label : std::max(from[r], 0);
      return to;
    };
    const int* starts = clamped(labels.start_positions, s.positions);
    const int* ends = clamped(labels.end_positions, s.positions + pass.batch);
    const sum_t<T> total =
        half_loss(b, s.d_start, s.start, starts, labels.valid) + half_loss(b, s.d_end, s.end, ends, labels.valid);
    if (dhidden.data) {
      for (int r = 0; r < hidden.count; ++r)
        s.d_joint.row(r)[0] = s.d_start.data[r], s.d_joint.row(r)[1] = s.d_end.data[r];
      projection().backward(b, dhidden, Rows<const compute_t<T>>(s.d_joint), hidden, p.qa_outputs, g.qa_outputs);
    }
    return total;
  }

  constexpr Linear<C, 2> projection() const { return {n_embd, 2, true}; }

 private:
  template <class B, class T>
  static sum_t<T> half_loss(B& b, Rows<T> gradient, Rows<T> scores, const int* positions, std::int64_t valid) {
    const double factor = 0.5 * mean_factor<double>(mean_count(valid, count_valid(positions, scores.count)));
    return cross_entropy(b, gradient, scores, positions, real_t<T>(factor)) * real_t<sum_t<T>>(factor);
  }
};

}  // namespace moderngpt2
