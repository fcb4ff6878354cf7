#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/reference/operations.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

namespace detail {

/// Attention of one query: probabilities of keys [begin, end), tanh of the capped scores for the backward pass, dropout
/// factors.
template <class T>
struct AttentionRow {
  int begin = 0, end = 0;
  std::vector<T> probability, tanh_of_score;
  std::vector<real_t<T>> factor;
  T lse = T(0);

  AttentionRow(const AttentionCall& call, ConstRows<T> q, ConstRows<T> k, int b, int h, int t)
      : begin(call.begin(b, t, call.past_of(b))), end(call.past_of(b) + t + 1) {
    using R = real_t<T>;
    const bool is_uniform = call.sees_only_padding(b, t);
    if (is_uniform) begin = 0, end = call.keys();
    const std::size_t n = std::size_t(end);
    probability.assign(n, T(0)), tanh_of_score.assign(n, T(0)), factor.assign(n, R(1));
    const int D = call.head_dim;
    const T* query = q.row(b * call.time + t) + h * D;
    std::vector<T> score(n, T(0));
    R largest = -std::numeric_limits<R>::infinity();
    for (int u = begin; u < end; ++u) {
      const T* key = k.row(b * call.key_rows + u) + h / call.group() * D;
      T s = T(0);
      for (int d = 0; d < D; ++d) s += query[d] * key[d];
      if (call.softcap > 0) {
        tanh_of_score[std::size_t(u)] = std::tanh(s / R(call.softcap));
        s = R(call.softcap) * tanh_of_score[std::size_t(u)];
      }
      score[std::size_t(u)] = s;
      if (!call.masked(b, u) && !(real_part(s) <= largest)) largest = real_part(s);
    }
    if (is_uniform) {
      const R share = R(1) / R(call.uniform_fallback_keys(b, t));
      for (int u = begin; u < end; ++u)
        probability[std::size_t(u)] = T(call.in_uniform_fallback(b, t, u) ? share : R(0));
    } else {
      T sum = T(0);
      for (int u = begin; u < end; ++u)
        if (!call.masked(b, u)) sum += probability[std::size_t(u)] = std::exp(score[std::size_t(u)] - largest);
      for (T& p : probability) p /= sum;
      lse = largest + std::log(sum);
    }
    if (call.dropout.active())
      dropout_factors(call.dropout, b, std::uint32_t(h), std::uint32_t(call.past + t), 0, end, factor.data());
  }
};

}  // namespace detail

template <class T>
void attention(Backend&, Rows<T> o, T* lse, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  const int D = call.head_dim;
  for (int b = 0; b < call.batch; ++b)
    for (int h = 0; h < call.n_head; ++h)
      for (int t = 0; t < call.time; ++t) {
        const detail::AttentionRow<T> row(call, q, k, b, h, t);
        T* out = o.row(b * call.time + t) + h * D;
        for (int d = 0; d < D; ++d) out[d] = T(0);
        for (int u = row.begin; u < row.end; ++u) {
          const T p = row.probability[std::size_t(u)] * row.factor[std::size_t(u)];
          const T* value = v.row(b * call.key_rows + u) + h / call.group() * D;
          for (int d = 0; d < D; ++d) out[d] += p * value[d];
        }
        if (lse) lse[(std::int64_t(b) * call.n_head + h) * call.time + t] = row.lse;
      }
}

template <class T>
void attention_backward(Backend&, Rows<T> dq, Rows<T> dk, Rows<T> dv, ConstRows<T> d_o, ConstRows<T> o,
                        const T* /*lse*/, ConstRows<T> q, ConstRows<T> k, ConstRows<T> v, const AttentionCall& call) {
  using R = real_t<T>;
  const int D = call.head_dim;
  for (Rows<T> gradient : {dq, dk, dv})
    for (int r = 0; r < gradient.count; ++r)
      for (int i = 0; i < gradient.width; ++i) gradient.row(r)[i] = T(0);
  for (int b = 0; b < call.batch; ++b)
    for (int h = 0; h < call.n_head; ++h)
      for (int t = 0; t < call.time; ++t) {
        const detail::AttentionRow<T> row(call, q, k, b, h, t);
        const int r = b * call.time + t, g = h / call.group() * D;
        const T *out = o.row(r) + h * D, *d_out = d_o.row(r) + h * D;
        T mean = T(0);  // sum over keys of p dp, which equals o . do
        for (int d = 0; d < D; ++d) mean += out[d] * d_out[d];
        for (int u = row.begin; u < row.end; ++u) {
          const int ku = b * call.key_rows + u;
          const T p = row.probability[std::size_t(u)];
          const R factor = row.factor[std::size_t(u)];
          T dp = T(0);
          for (int d = 0; d < D; ++d) {
            dp += d_out[d] * v.row(ku)[g + d];
            dv.row(ku)[g + d] += p * factor * d_out[d];
          }
          T ds = p * (dp * factor - mean);
          if (call.softcap > 0) {
            const T tanh = row.tanh_of_score[std::size_t(u)];
            ds *= T(1) - tanh * tanh;
          }
          for (int d = 0; d < D; ++d) {
            dq.row(r)[h * D + d] += ds * k.row(ku)[g + d];
            dk.row(ku)[g + d] += ds * q.row(r)[h * D + d];
          }
        }
      }
}

}  // namespace moderngpt2::reference
