#pragma once

#include <cmath>

#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/extent.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"
#include "moderngpt2/layers/parameter.hpp"
#include "moderngpt2/layers/pass.hpp"

namespace moderngpt2 {

/// Token embedding: x = wte[ids] * sqrt(C), then dropout. The factor is not rounded to the element type.
template <int C>
struct Embedding {
  int vocab_size;
  [[no_unique_address]] Extent<C> n_embd;
  double dropout = 0;

  constexpr explicit Embedding(const Config& c) : vocab_size(c.vocab_size), n_embd(c.n_embd), dropout(c.embd_pdrop) {}

  template <class E>
  struct Params {
    Matrix<typename E::MatrixType> weight;  // (V,C)
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.matrix("weight", p.weight, vocab_size, n_embd, Init::normal);
  }

  /// Computes x (BT,C) from ids (BT) in [0, vocab_size).
  template <class B, class T, class E>
  void forward(B& b, Rows<T> x, const int* ids, const Params<E>& p, const Pass<real_t<T>>& pass) const {
    embedding(b, x, ids, p.weight, scale<T>(), pass.time, pass.dropout(RandomUse::embedding_dropout, dropout, 0));
  }
  /// Adds the gradient of the embedding matrix to g.weight (V,C), given dx (BT,C).
  template <class B, class T, class G>
  void backward(B& b, Rows<const T> dx, const int* ids, const Params<G>& g, const Pass<real_t<T>>& pass) const {
    embedding_backward(b, g.weight, ids, dx, scale<T>(), pass.time,
                       pass.dropout(RandomUse::embedding_dropout, dropout, 0));
  }

 private:
  template <class T>
  real_t<T> scale() const {
    return std::sqrt(real_t<T>(n_embd));
  }
};

}  // namespace moderngpt2
