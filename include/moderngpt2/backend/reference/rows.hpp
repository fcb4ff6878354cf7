#pragma once

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

template <class T>
void gather_rows(Backend&, Rows<T> out, ConstRows<T> x, const int* index) {
  for (int r = 0; r < out.count; ++r)
    for (int i = 0; i < out.width; ++i) out.row(r)[i] = x.row(index[r])[i];
}

template <class T>
void scatter_rows_add(Backend&, Rows<T> dx, ConstRows<T> dout, const int* index) {
  for (int r = 0; r < dout.count; ++r)
    for (int i = 0; i < dout.width; ++i) dx.row(index[r])[i] += dout.row(r)[i];
}

template <class To, class From>
void cast(Backend&, To* to, const From* from, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) to[i] = To(from[i]);
}

template <class T>
void fill(Backend&, T* x, std::int64_t n, T value) {
  for (std::int64_t i = 0; i < n; ++i) x[i] = value;
}

}  // namespace moderngpt2::reference
