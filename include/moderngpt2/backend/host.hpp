#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <utility>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

// Where a backend's tensors lie, and how numbers of the host get there. A backend whose tensors are elsewhere names the
// `Memory` that they lie in and has these operations of its own; for one whose tensors are in the host's memory, they
// are here and mostly nothing.
//
//   begin_pass(b)                        forgets what was uploaded for the pass before
//   upload(b, from, n)                   an array of the host, where operations read it, until the next pass begins
//   upload_into(b, to, n, write)         write(array of n on the host); it is copied to `to` before what is queued next
//   download(b, to, from, n)             waits, then to (host) = from
//   placed(b, buffer)                    a FlatBuffer of the host, in the backend's memory
//   copy_rows(b, out, x)                 out (N,C) = x
//   activation(b, y, x, a)               y (N,C) = a(x), of scores
//   activation_backward(b, dx, x, a)     dx *= a'(x), in place
//   mean_rows(b, out, x)                 out (n,C) = mean of each N / n neighbouring rows of x (N,C)
//   mean_rows_backward(b, dx, dout)      dx += dout n / N of the rows that it is the mean of
namespace moderngpt2 {

namespace detail {
template <class B>
struct MemoryOf {
  using type = AlignedBuffer;
};
template <class B>
requires requires { typename B::Memory; }
struct MemoryOf<B> {
  using type = typename B::Memory;
};
}  // namespace detail

/// The memory of the tensors of a backend: owned, zero-filled, with data() and size().
template <class B>
using memory_of = typename detail::MemoryOf<B>::type;

/// A backend that reads and writes the host's memory.
template <class B>
concept OnHost = std::same_as<memory_of<B>, AlignedBuffer>;

template <OnHost B>
void begin_pass(B&) {}

template <OnHost B, class E>
const E* upload(B&, const E* from, std::int64_t) {
  return from;
}

template <OnHost B, class E, class F>
void upload_into(B&, E* to, std::int64_t, F&& write) {
  write(to);
}

template <OnHost B, class E>
void download(B&, E* to, const E* from, std::int64_t n) {
  std::copy_n(from, n, to);
}

template <OnHost B, class E>
FlatBuffer<E> placed(B&, FlatBuffer<E> buffer) {
  return buffer;
}

template <OnHost B, class T>
void copy_rows(B&, Rows<T> out, ConstRows<T> x) {
  if (out.contiguous() && x.contiguous()) {
    std::copy_n(x.data, x.size(), out.data);
    return;
  }
  for (int r = 0; r < out.count; ++r) std::copy_n(x.row(r), out.width, out.row(r));
}

template <OnHost B, class T>
void activation(B&, Rows<T> y, ConstRows<T> x, Activation a) {
  for (int r = 0; r < y.count; ++r)
    for (int i = 0; i < y.width; ++i) y.row(r)[i] = activate(a, x.row(r)[i]).value;
}

template <OnHost B, class T>
void activation_backward(B&, Rows<T> dx, ConstRows<T> x, Activation a) {
  for (int r = 0; r < dx.count; ++r)
    for (int i = 0; i < dx.width; ++i) dx.row(r)[i] *= activate(a, x.row(r)[i]).slope;
}

template <OnHost B, class T>
void mean_rows(B&, Rows<T> out, ConstRows<T> x) {
  const int each = x.count / out.count;
  for (int r = 0; r < out.count; ++r)
    for (int i = 0; i < out.width; ++i) {
      compute_t<T> sum(0);
      for (int t = 0; t < each; ++t) sum += x.row(r * each + t)[i];
      out.row(r)[i] = T(sum / real_t<T>(each));
    }
}

template <OnHost B, class T>
void mean_rows_backward(B&, Rows<T> dx, ConstRows<T> dout) {
  const int each = dx.count / dout.count;
  for (int r = 0; r < dx.count; ++r)
    for (int i = 0; i < dx.width; ++i) {
      T& d = dx.row(r)[i];
      d = T(d + dout.row(r / each)[i] / real_t<T>(each));
    }
}

}  // namespace moderngpt2
