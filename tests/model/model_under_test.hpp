#pragma once

#include <array>
#include <complex>
#include <cstring>
#include <vector>

#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

namespace moderngpt2::test {

inline constexpr int tiny_batch = 4, tiny_time = 5;

/// Sequences of which some end in padding (0); labels of which some are ignored.
inline constexpr std::array<int, 20> tiny_ids{1, 2, 3, 4, 5, 6, 7, 12, 0, 0, 9, 9, 9, 1, 1, 3, 11, 4, 8, 0};
inline constexpr std::array<int, 20> tiny_labels{1, 2, -100, 4, 5, 6, 7, 12, 0, -100, 9, 9, 9, 1, 1, 3, 11, 4, 8, 0};

/// Config of two layers with all optional parts.
inline Config tiny_config() {
  Config c;
  c.vocab_size = 13, c.n_positions = 8, c.n_embd = 8, c.n_layer = 2, c.n_head = 4, c.n_kv_head = 2, c.head_dim = 4;
  c.n_inner = 12;
  c.attention_bias = true;
  c.attn_logit_softcapping = 3.0;
  c.query_pre_attn_scalar = 0.7;
  c.final_logit_softcapping = 4.0;
  c.sliding_window = 3;
  c.resid_pdrop = c.embd_pdrop = c.attn_pdrop = c.classifier_dropout = c.summary_first_dropout = 0.5;
  c.pad_token_id = 0;
  c.num_labels = 3;
  return c;
}

struct Language {
  template <class B, class P>
  using Model = CausalLM<any_shape, B, P>;
  template <class M>
  static auto labels(int first = 0, std::int64_t valid = -1) {
    return typename M::Head::Labels{tiny_labels.data() + first * tiny_time, valid};
  }
};

struct DoubleHead {
  template <class B, class P>
  using Model = DoubleHeadsModel<any_shape, B, P>;
  template <class M>
  static auto labels() {
    static constexpr std::array<int, 4> positions{4, 2, 4, 3};
    static constexpr std::array<int, 2> right{1, 0};
    typename M::Head::Labels l;
    l.language.labels = tiny_labels.data();
    l.choices = 2, l.mc_token_ids = positions.data(), l.mc_labels = right.data();
    return l;
  }
};

struct Sequence {
  template <class B, class P>
  using Model = SequenceClassifier<any_shape, B, P>;
  template <class M>
  static auto labels() {
    static constexpr std::array<int, 4> classes{2, 0, 1, 1};
    return typename M::Head::template LabelsOf<typename M::R>{classes.data(), nullptr};
  }
};

struct Token {
  template <class B, class P>
  using Model = TokenClassifier<any_shape, B, P>;
  template <class M>
  static auto labels() {
    static constexpr std::array<int, 20> classes{0, 1, 2, -100, 0, 1, 1, 1, -100, -100,
                                                 2, 2, 2, 0,    0, 1, 0, 2, 1,    -100};
    return typename M::Head::Labels{classes.data()};
  }
};

struct Question {
  template <class B, class P>
  using Model = QuestionAnswerer<any_shape, B, P>;
  template <class M>
  static auto labels() {
    static constexpr std::array<int, 4> starts{0, -1, 3, 9}, ends{2, 1, 4, 4};
    return typename M::Head::Labels{starts.data(), ends.data()};
  }
};

template <class Model>
void fill_weights(Model& m, double deviation = 0.4) {
  fill_random(m.weights().matrices.data(), m.weights().matrices.size(), 5, deviation);
  fill_random(m.weights().vectors.data(), m.weights().vectors.size(), 6, deviation);
}

template <class R>
Pass<R> tiny_pass(bool training, int batch = tiny_batch, int first = 0) {
  Pass<R> pass{.batch = batch, .time = tiny_time};
  pass.training = training;
  pass.seed = 3, pass.step = 8, pass.first_sequence = first;
  return pass;
}

template <class T>
bool same_bits(const FlatBuffer<T>& a, const FlatBuffer<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), std::size_t(a.size()) * sizeof(T)) == 0;
}
template <class E>
bool same_bits(const ParameterBuffers<E>& a, const ParameterBuffers<E>& b) {
  return same_bits(a.matrices, b.matrices) && same_bits(a.vectors, b.vectors);
}

/// Loss and gradients of the tiny batch.
template <class Model>
struct Step {
  sum_t<typename Model::T> loss;
  typename Model::Gradients gradients;
  std::vector<typename Model::T> hidden;
};

template <class Family, class Model>
Step<Model> step(Model& m, bool training, Mode mode = Mode::train) {
  using R = typename Model::R;
  auto work = m.workspace(tiny_batch, tiny_time, mode);
  Step<Model> s{{}, m.make_gradients(), {}};
  const auto hidden = m.forward(work, tiny_ids.data(), tiny_pass<R>(training));
  s.hidden.assign(hidden.data, hidden.data + hidden.size());
  s.loss = m.loss_and_gradients(work, tiny_ids.data(), Family::template labels<Model>(), s.gradients,
                                tiny_pass<R>(training));
  return s;
}

}  // namespace moderngpt2::test
