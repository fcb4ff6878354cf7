#pragma once

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/extent.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2 {

/// RMSNorm over C channels (Zhang & Sennrich 2019). The gain is stored as an offset from 1, as in Gemma:
/// y = x / rms(x) * (1 + weight).
template <int C>
struct RmsNorm {
  static constexpr const char* name = "";  ///< one of the library's own layers
  [[no_unique_address]] Extent<C> width;
  double epsilon;

  constexpr explicit RmsNorm(const Config& c) : width(c.n_embd), epsilon(c.rms_norm_eps) {}

  template <class E>
  struct Params {
    Vector<typename E::VectorType> weight;  // (C)
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.vector("weight", p.weight, width);
  }

  /// Computes u (N,C) from x (N,C).
  template <class B, class T, class E>
  void forward(B& b, Rows<T> u, Rows<const T> x, const Params<E>& p) const {
    rms_norm(b, u, x, p.weight, real_t<T>(epsilon));
  }
  /// Sets dx (N,C) to the gradient of x, or adds it with accumulate_dx. Adds the gradient of the weight to `g`.
  template <class B, class T, class E, class G>
  void backward(B& b, Rows<T> dx, Rows<const T> du, Rows<const T> x, const Params<E>& p, const Params<G>& g,
                bool accumulate_dx) const {
    rms_norm_backward(b, dx, g.weight, du, x, p.weight, real_t<T>(epsilon), accumulate_dx);
  }

  /// See add_and_norm() below: one operation that reads each row once.
  template <class B, class T, class E>
  void add_forward(B& b, Rows<T> x_out, Rows<T> u, Rows<const T> x, Rows<T> y, const Params<E>& post,
                   const Params<E>& next, int time, const Dropout& drop) const {
    add_norm(b, x_out, u, x, y, post.weight, next.weight, real_t<T>(epsilon), time, drop);
  }
  template <class B, class T, class E, class G>
  void add_backward(B& b, Rows<T> dx, Rows<T> dy, const Params<G>& d_post, const Params<G>& d_next, Rows<const T> du,
                    Rows<const T> x_out, Rows<const T> y, const Params<E>& post, const Params<E>& next, int time,
                    const Dropout& drop) const {
    add_norm_backward(b, dx, dy, d_post.weight, d_next.weight, du, x_out, y, post.weight, next.weight,
                      real_t<T>(epsilon), time, drop);
  }
};

/// End of a half block and beginning of the next one: y (N,C) = dropout(y) in place; x_out = x + post(y);
/// u = next(x_out). x_out may be x. A norm that fuses these steps has a member add_forward().
template <class B, class Norm, class T, class P>
void add_and_norm(B& b, const Norm& norm, Rows<T> x_out, Rows<T> u, Rows<T> x, Rows<T> y, const P& post, const P& next,
                  int time, const Dropout& drop) {
  if constexpr (requires { norm.add_forward(b, x_out, u, Rows<const T>(x), y, post, next, time, drop); }) {
    norm.add_forward(b, x_out, u, Rows<const T>(x), y, post, next, time, drop);
  } else {
    dropout(b, y, time, drop);
    norm.forward(b, u, Rows<const T>(y), post);
    if (x_out.data != x.data) copy_rows(b, x_out, x);
    add_to(b, x_out.data, static_cast<const T*>(u.data), u.size());
    norm.forward(b, u, Rows<const T>(x_out), next);
  }
}

/// Backward pass of add_and_norm(). Input: du, and dx, the gradient of x_out through the residual path. Output: dx of x
/// and dy of y before dropout. Adds the gradients of the weights to d_post and d_next.
template <class B, class Norm, class T, class P, class G>
void add_and_norm_backward(B& b, const Norm& norm, Rows<T> dx, Rows<T> dy, const G& d_post, const G& d_next,
                           Rows<const T> du, Rows<const T> x_out, Rows<const T> y, const P& post, const P& next,
                           int time, const Dropout& drop) {
  if constexpr (requires { norm.add_backward(b, dx, dy, d_post, d_next, du, x_out, y, post, next, time, drop); }) {
    norm.add_backward(b, dx, dy, d_post, d_next, du, x_out, y, post, next, time, drop);
  } else {
    norm.backward(b, dx, du, x_out, next, d_next, true);
    norm.backward(b, dy, Rows<const T>(dx), y, post, d_post, false);
    dropout(b, dy, time, drop);
  }
}

}  // namespace moderngpt2
