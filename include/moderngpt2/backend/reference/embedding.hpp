#pragma once

#include <vector>

#include "moderngpt2/backend/calls.hpp"
#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/core/scalar.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

/// x *= factors, one row at a time; row r is position r % time of sequence r / time.
template <class T>
void dropout(Backend&, Rows<T> x, int time, const Dropout& d) {
  if (!d.active()) return;
  std::vector<real_t<T>> factors(std::size_t(x.width));
  for (int r = 0; r < x.count; ++r) {
    dropout_factors(d, r / time, 0, std::uint32_t(r % time), 0, x.width, factors.data());
    for (int i = 0; i < x.width; ++i) x.row(r)[i] *= factors[std::size_t(i)];
  }
}

template <class T>
void embedding(Backend& b, Rows<T> x, const int* ids, ConstMatrix<T> wte, real_t<T> scale, int time, const Dropout& d) {
  for (int r = 0; r < x.count; ++r)
    for (int i = 0; i < x.width; ++i) x.row(r)[i] = wte.data[std::int64_t(ids[r]) * wte.cols + i] * scale;
  dropout(b, x, time, d);
}

template <class T>
void embedding_backward(Backend&, Matrix<T> dwte, const int* ids, ConstRows<T> dx, real_t<T> scale, int time,
                        const Dropout& d) {
  std::vector<real_t<T>> factors(std::size_t(dx.width), real_t<T>(1));
  for (int r = 0; r < dx.count; ++r) {
    if (d.active()) dropout_factors(d, r / time, 0, std::uint32_t(r % time), 0, dx.width, factors.data());
    T* to = dwte.data + std::int64_t(ids[r]) * dwte.cols;
    for (int i = 0; i < dx.width; ++i) to[i] += dx.row(r)[i] * scale * factors[std::size_t(i)];
  }
}

}  // namespace moderngpt2::reference
