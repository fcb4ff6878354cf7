#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/backend/cuda/column_sum.hpp"
#include "moderngpt2/backend/cuda/elementwise.hpp"
#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI {

namespace detail {

/// Elements between the first and one past the last element of a view, gaps between rows included.
template <class T>
std::int64_t extent_of(const Rows<T>& x) {
  return x.count == 0 ? 0 : std::int64_t(x.count - 1) * x.stride + x.width;
}

/// Allocates float arrays from scratch, each aligned to 256 bytes.
struct FloatScratch {
  float* next;

  static constexpr std::int64_t padded(std::int64_t n) { return (n + 63) / 64 * 64; }
  float* take(std::int64_t n) { return std::exchange(next, next + padded(n)); }
};

/// Scratch floats for the products of a head with a 16-bit matrix (outputs,width) and fp32 scores: an fp32 copy of the
/// matrix, and one of the rows or their gradient (rows,width).
constexpr std::int64_t head_scratch(int rows, int width, int outputs) {
  return FloatScratch::padded(std::int64_t(outputs) * width) + FloatScratch::padded(std::int64_t(rows) * width);
}

/// View of x in fp32: x itself, or an array in scratch, filled from x if `copy`.
template <class T>
Rows<float> as_floats(Backend& b, FloatScratch& scratch, Rows<T> x, bool copy) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, float>) {
    return {const_cast<float*>(x.data), x.count, x.width, x.stride};
  } else {
    const std::int64_t n = extent_of(x);
    const Rows<float> full(scratch.take(n), x.count, x.width, x.stride);
    if (copy) cast(b, full.data, x.data, n);
    return full;
  }
}

/// Queues c (+)= op(a) op(b) (+ bias, fp32). Operands of different types, as heads have them, are multiplied in fp32.
template <class A, class B, class C>
void product(Backend& backend, Transposed ta, Rows<A> a, Transposed tb, Rows<B> b, Rows<C> c, bool accumulate,
             const float* bias = nullptr) {
  using TA = std::remove_const_t<A>;
  using TB = std::remove_const_t<B>;
  const int depth = ta == Transposed::yes ? a.count : a.width;
  if (c.count == 0 || c.width == 0 || (depth == 0 && accumulate)) return;
  if constexpr (std::is_same_v<TA, TB> && (std::is_same_v<C, TA> || std::is_same_v<C, float>)) {
    const void* row = bias;
    if constexpr (!std::is_same_v<C, float>)
      if (bias) {
        C* const rounded = backend.scratch<C>(c.width);
        cast(backend, rounded, bias, c.width);
        row = rounded;
      }
    backend.blas().multiply(backend.stream(),
                            {ta, tb, c.count, c.width, depth, a.stride, b.stride, c.stride, *dtype_of<TA>, *dtype_of<C>,
                             accumulate, bias != nullptr, backend.tf32()},
                            a.data, b.data, c.data, row);
  } else {
    const auto floats = [](auto x) {
      constexpr bool is_float = std::is_same_v<std::remove_const_t<std::remove_pointer_t<decltype(x.data)>>, float>;
      return is_float ? 0 : FloatScratch::padded(extent_of(x));
    };
    FloatScratch scratch{backend.scratch<float>(floats(a) + floats(b) + floats(c))};
    const Rows<float> left = as_floats(backend, scratch, a, true), right = as_floats(backend, scratch, b, true);
    const Rows<float> sums = as_floats(backend, scratch, c, accumulate || !c.contiguous());
    product(backend, ta, left, tb, right, sums, accumulate, bias);
    if constexpr (!std::is_same_v<C, float>) cast(backend, c.data, static_cast<const float*>(sums.data), extent_of(c));
  }
}

/// Matrix as contiguous rows.
template <class W>
Rows<W> rows_of(Matrix<W> w) {
  return {w.data, w.rows, w.cols};
}

}  // namespace detail

/// Queues y (N,Out) = x (N,In) w^T (+ bias (Out)) for w (Out,In). Sums are in fp32; a bias is rounded to the type of y.
template <class Y, class X, class W>
void matmul(Backend& b, Rows<Y> y, Rows<X> x, Matrix<W> w, Vector<const float> bias = {}) {
  detail::product(b, Transposed::no, x.columns(0, w.cols), Transposed::yes, detail::rows_of(w), y.columns(0, w.rows),
                  false, bias.data);
}

/// Queues dx (N,In) (+)= dy (N,Out) w for w (Out,In); `accumulate` selects +=.
template <class DX, class DY, class W>
void matmul_backward_input(Backend& b, Rows<DX> dx, Rows<DY> dy, Matrix<W> w, bool accumulate = false) {
  detail::product(b, Transposed::no, dy.columns(0, w.rows), Transposed::no, detail::rows_of(w), dx.columns(0, w.cols),
                  accumulate);
}

/// Queues dw (Out,In) += dy^T x for dy (N,Out) and x (N,In).
template <class DY, class X>
void matmul_backward_weight(Backend& b, Matrix<float> dw, Rows<DY> dy, Rows<X> x) {
  detail::product(b, Transposed::yes, dy.columns(0, dw.rows), Transposed::no, x.columns(0, dw.cols),
                  detail::rows_of(dw), true);
}

}  // namespace moderngpt2::cuda::inline MODERNGPT2_CUDA_ABI
