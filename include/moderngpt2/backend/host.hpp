#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/partial_use.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

// Memory of a backend's tensors, and transfers between it and the host. A backend with tensors in device memory names
// its type of `Memory` and implements these operations; those below are for backends with tensors in host memory, where
// most are no-ops.
//
// clang-format off
//   begin_pass(b)                        releases the uploads of the previous pass
//   new_context(b)                       another context on the same device with the same settings, for another thread
//   select_device(b)                     makes the device of b the current one of the calling thread
//   order_after(b, works)                later operations of context b wait for the queued ones of context `works`
//   upload(b, from, n)                   copy of `from` (host) in the backend's memory, valid until next begin_pass
//   upload_into(b, to, n, write)         calls write(host array of n), and copies it to `to` before later operations
//   download(b, to, from, n)             to (host) = from; waits for queued operations and the copy
//   store(b, to, from, n)                to = from (host); waits for the copy
//   move_to_backend(b, buffer)           a FlatBuffer of the host, moved to the backend's memory
//   commit_memory(b, buffer, use)        zero-filled memory for `use` of a FlatBuffer made with Pages::as_used
//   discard(b, data, n)                  ends the use of elements of such a buffer; their memory may be freed
//   zero_and_discard(b, data, n)         discard, after which the elements read as 0 when used again
//   add_to(b, to, from, n)               to (n) += from
//   copy_rows(b, out, x)                 out (N,C) = x
//   append_rows(b, cache, x, pasts)      row pasts[i] of sequence i of cache (B,capacity,C) = row i of x (B,C)
//   activation(b, y, x, a)               y (N,C) = a(x), for scores; a: an Activation or a functor (ActivationFor)
//   activation_backward(b, dx, x, a)     dx *= a'(x), in place
//   mean_rows(b, out, x)                 out (n,C) = means of N / n consecutive rows of x (N,C)
//   mean_rows_backward(b, dx, dout)      dx (N,C) += n / N dout (n,C), each row of dout to its N / n rows
// clang-format on
namespace moderngpt2 {

namespace detail {

/// Named<B>, a member type that a backend B may have, or else Usual.
template <class Usual, template <class> class Named, class B>
struct NamedOr {
  using type = Usual;
};
template <class Usual, template <class> class Named, class B>
requires requires { typename Named<B>; }
struct NamedOr<Usual, Named, B> {
  using type = Named<B>;
};

template <class B>
using NamedMemory = typename B::Memory;
template <class B>
using NamedLoss = typename B::Loss;

}  // namespace detail

/// Owning buffer type of a backend's tensors: zero-filled, with data() and size().
template <class B>
using memory_of = typename detail::NamedOr<AlignedBuffer, detail::NamedMemory, B>::type;

/// Backend with tensors in host memory.
template <class B>
concept OnHost = std::same_as<memory_of<B>, AlignedBuffer>;

/// Number of host threads for work beside a backend's operations: those of a CPU backend, all available for a GPU.
template <class B>
int host_threads(const B& b) {
  if constexpr (OnHost<B>)
    return b.threads();
  else
    return available_threads();
}

/// Type of a loss from operations on elements of type T: a number, sum_t<T>, or a handle for one that the device has
/// yet to compute. Handles can be added and multiplied by a number; conversion to double waits.
template <class B, class T>
using loss_of = typename detail::NamedOr<sum_t<T>, detail::NamedLoss, B>::type;

template <OnHost B>
void begin_pass(B&) {}

template <OnHost B>
B new_context(const B& b) {
  if constexpr (std::constructible_from<B, int>)
    return B(b.threads());
  else
    return B();
}

template <OnHost B>
void select_device(const B&) {}

template <OnHost B>
void order_after(const B&, const B&) {}

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
void store(B&, E* to, const E* from, std::int64_t n) {
  std::copy_n(from, n, to);
}

template <OnHost B, class E>
FlatBuffer<E> move_to_backend(B&, FlatBuffer<E> buffer) {
  return buffer;
}

template <OnHost B, class E>
void commit_memory(B&, FlatBuffer<E>&, const PartialUse&) {}

template <OnHost B, class E>
void zero_and_discard(B&, E* data, std::int64_t n) {
  zero_and_release(reinterpret_cast<std::byte*>(data), std::size_t(n) * sizeof(E));
}

template <OnHost B, class E>
void discard(B& b, E* data, std::int64_t n) {
  zero_and_discard(b, data, n);
}

template <OnHost B, class E>
void add_to(B& b, E* to, const E* from, std::int64_t n) {
  parallel_ranges(b.threads(), n, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = E(compute_t<E>(to[i]) + compute_t<E>(from[i]));
  });
}

/// Size in bytes of the host buffer through which models are copied to and from device memory.
inline constexpr std::int64_t staging_bytes = std::int64_t(4) << 20;

/// Fills `to` (count elements) piece by piece: calls write(first, n, host array of n) for elements [first, first + n).
/// With host memory this is one call on `to` itself; otherwise pieces have at most staging_bytes.
template <class B, class E, class F>
void write_pieces(B& b, E* to, std::int64_t count, F&& write) {
  if constexpr (OnHost<B>) {
    write(std::int64_t(0), count, to);
  } else {
    const std::int64_t most = std::min(count, staging_bytes / std::int64_t(sizeof(E)));
    const FlatBuffer<E> piece(most);
    for (std::int64_t first = 0, n; first < count; first += n) {
      n = std::min(most, count - first);
      write(first, n, piece.data());
      store(b, to + first, static_cast<const E*>(piece.data()), n);
    }
  }
}

/// Reads `from` (count elements) piece by piece: calls read(n, host array of n) in order, with pieces as in
/// write_pieces().
template <class B, class E, class F>
void read_pieces(B& b, const E* from, std::int64_t count, F&& read) {
  if constexpr (OnHost<B>) {
    read(count, from);
  } else {
    const std::int64_t most = std::min(count, staging_bytes / std::int64_t(sizeof(E)));
    const FlatBuffer<E> piece(most);
    for (std::int64_t first = 0, n; first < count; first += n) {
      n = std::min(most, count - first);
      download(b, piece.data(), from + first, n);
      read(n, static_cast<const E*>(piece.data()));
    }
  }
}

/// Contiguous rows of a backend in host memory: the rows themselves, or a downloaded copy.
template <class B, class T>
class HostRows {
 public:
  HostRows(B& b, Rows<T> rows) : rows_(rows) {
    if constexpr (!OnHost<B>) {
      copy_ = FlatBuffer<T>(rows.size());
      download(b, copy_.data(), static_cast<const T*>(rows.data), rows.size());
      rows_.data = copy_.data();
    }
  }
  const T* data() const { return rows_.data; }
  const T* row(int r) const { return rows_.row(r); }

 private:
  Rows<T> rows_;
  FlatBuffer<T> copy_;
};

template <OnHost B, class T>
void copy_rows(B&, Rows<T> out, ConstRows<T> x) {
  if (out.contiguous() && x.contiguous()) {
    std::copy_n(x.data, x.size(), out.data);
    return;
  }
  for (int r = 0; r < out.count; ++r) std::copy_n(x.row(r), out.width, out.row(r));
}

template <OnHost B, class T>
void append_rows(B&, Rows<T> cache, ConstRows<T> x, const int* pasts) {
  for (int i = 0, capacity = x.count > 0 ? cache.count / x.count : 0; i < x.count; ++i)
    std::copy_n(x.row(i), x.width, cache.row(i * capacity + pasts[i]));
}

template <OnHost B, class T, ActivationChoice<compute_t<T>> A>
void activation(B& b, Rows<T> y, ConstRows<T> x, A a) {
  parallel_ranges(b.threads(), y.count, 64, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r)
      for (int i = 0; i < y.width; ++i) y.row(r)[i] = T(activate(a, compute_t<T>(x.row(r)[i])).value);
  });
}

template <OnHost B, class T, ActivationChoice<compute_t<T>> A>
void activation_backward(B& b, Rows<T> dx, ConstRows<T> x, A a) {
  parallel_ranges(b.threads(), dx.count, 64, [&](std::int64_t begin, std::int64_t end) {
    for (int r = int(begin); r < end; ++r)
      for (int i = 0; i < dx.width; ++i) {
        T& d = dx.row(r)[i];
        d = T(d * activate(a, compute_t<T>(x.row(r)[i])).slope);
      }
  });
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
