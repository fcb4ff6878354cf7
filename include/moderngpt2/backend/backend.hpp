#pragma once

#include <concepts>
#include <cstdint>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/config/model_shape.hpp"
#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

// Operations that a backend implements. Layers call them unqualified, with the backend's context as first argument, and
// argument-dependent lookup finds them in the backend's namespace. N: rows; other letters as in core/view.hpp. "+="
// adds to the previous value.
//
// clang-format off
//   embedding(x, ids, wte, scale, time, dropout)          x (N,C) = wte[ids] * scale, then dropout
//   embedding_backward(dwte, ids, dx, scale, time, d)     dwte[ids] += dx * mask * scale, in the order of the rows
//   dropout(x, time, dropout)                             x *= mask / (1 - rate), in place; its own backward pass
//   matmul(y, x, w, bias)                                 y (N,Out) = x (N,In) w^T (+ bias); rows may be strided
//   matmul_backward_input(dx, dy, w, accumulate)          dx (N,In) (+)= dy w
//   matmul_backward_weight(dw, dy, x)                     dw (Out,In) += dy^T x
//   column_sum(sums, x)                                   sums += sum of the rows of x
//   rotary(heads, table, time, past, scale)               rotates each head of each row by its position, times scale
//   rotary(heads, table, time, pasts, scale)              with a past for each sequence: pasts (B)
//   rotary_backward(heads, table, time, past, scale)      inverse rotation, times scale
//   attention(o, lse, q, k, v, call)                      o (BT,HD), lse (B,H,T) or null; masks after the softcap
//   attention_backward(dq, dk, dv, do, o, lse, q, k, v, call)
//   rms_norm(u, x, w, eps)                                u = x rsqrt(mean x^2 + eps) (1 + w)
//   rms_norm_backward(dx, dw, du, x, w, eps, accumulate)  dx (+)=, dw +=
//   add_norm(x_out, u, x, y, post, next, eps, time, d)    y: dropout in place; x_out = x + norm(y, post);
//                                                         u = norm(x_out, next)
//   add_norm_backward(dx, dy, dpost, dnext, du, x_out, y, post, next, eps, time, d)
//                                                         input: du, dx of the residual path; output: dx, dy
//                                                         Norms without gain: w, dw (post, dpost, next, dnext) null
//   gated_activation(h, gate_up, a)                       h (N,F) = a(gate) * up; gate_up (N,2F); a: an Activation or
//                                                         a functor (ActivationFor, backend/activation.hpp)
//   gated_activation_backward(d_gate_up, dh, gate_up, a)  d_gate_up may be gate_up (in place)
//   logits(out, hidden, w, softcap)                       out (N,V) = c tanh(hidden w^T / c)
//   classifier(dhidden, dw, hidden, w, labels, softcap, scale, smoothing = 0)
//                                                         sum of the losses; gradients times scale; logits in chunks;
//                                                         smoothing: share of each label that all classes divide
//   classifier_loss(hidden, w, labels, softcap, smoothing = 0)
//                                                         sum of the losses without gradients
//   cross_entropy(dlogits, logits, labels, scale, smoothing = 0)
//   mean_squared_error / binary_cross_entropy (dlogits, logits, targets, scale)
//                                                         sum of the losses; dlogits may be null
//   gather_rows(out, x, index), scatter_rows_add(dx, dout, index)
//   fill(x, n, value), cast(to, from, n), sum_of_squares(x, n)
//   adamw(weight, first, second, gradient, n, step, rounded)  rounded: copy of the weights in a 16-bit type, or null
// clang-format on
//
// backend/host.hpp lists further operations: transfers between host and backend, and small ones of the heads.
//
// T may be a 16-bit type; sums, gains, biases, scores and gradients of weights are then of type compute_t<T>.
//
// Sums have a fixed order, so that results are the same bits for any thread count on the same machine, except for
// matrix products of a library. After reserve(), operations allocate no memory, with the same exception.
namespace moderngpt2 {

/// Requirements on a backend context B for activations of type T: the operations above, found in its namespace.
template <class B, class T>
concept BackendFor = requires(B& b, Rows<T> rows, Matrix<T> matrix, Matrix<compute_t<T>> gradient,
                              Vector<compute_t<T>> vector, Rows<compute_t<T>> scores, compute_t<T>* lse, const int* ids,
                              T* data, real_t<T> r, const AttentionCall& call, const RotaryTable<real_t<T>>& table,
                              const Dropout& drop) {
  { b.threads() } -> std::convertible_to<int>;
  { new_context(b) } -> std::same_as<B>;
  select_device(b);
  order_after(b, b);
  begin_pass(b);
  { upload(b, ids, std::int64_t(1)) } -> std::same_as<const int*>;
  upload_into(b, data, std::int64_t(1), [](T*) {});
  download(b, data, static_cast<const T*>(data), std::int64_t(1));
  copy_rows(b, rows, rows);
  append_rows(b, rows, rows, ids);
  activation(b, scores, scores, Activation::silu);
  activation_backward(b, scores, scores, Activation::silu);
  mean_rows(b, rows, rows);
  mean_rows_backward(b, rows, rows);
  embedding(b, rows, ids, matrix, r, 1, drop);
  embedding_backward(b, gradient, ids, rows, r, 1, drop);
  dropout(b, rows, 1, drop);
  matmul(b, rows, rows, matrix);
  matmul_backward_input(b, rows, rows, matrix);
  matmul_backward_weight(b, gradient, rows, rows);
  column_sum(b, vector, rows);
  rotary(b, rows, table, 1, 0, r);
  rotary(b, rows, table, 1, ids, r);
  rotary_backward(b, rows, table, 1, 0, r);
  attention(b, rows, lse, rows, rows, rows, call);
  attention_backward(b, rows, rows, rows, rows, rows, lse, rows, rows, rows, call);
  rms_norm(b, rows, rows, vector, r);
  rms_norm_backward(b, rows, vector, rows, rows, vector, r, true);
  add_norm(b, rows, rows, rows, rows, vector, vector, r, 1, drop);
  add_norm_backward(b, rows, rows, vector, vector, rows, rows, rows, vector, vector, r, 1, drop);
  gated_activation(b, rows, rows, Activation::silu);
  gated_activation_backward(b, rows, rows, rows, Activation::silu);
  logits(b, scores, Rows<const T>(rows), matrix, r);
  { classifier(b, rows, gradient, rows, matrix, ids, r, r, r) } -> std::same_as<loss_of<B, T>>;
  { cross_entropy(b, scores, scores, ids, r, r) } -> std::same_as<loss_of<B, T>>;
  gather_rows(b, rows, rows, ids);
  scatter_rows_add(b, rows, rows, ids);
  fill(b, data, std::int64_t(1), T(0));
};

}  // namespace moderngpt2
