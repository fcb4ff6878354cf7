#pragma once

#include "moderngpt2/backend/activation.hpp"
#include "moderngpt2/backend/reference/backend.hpp"
#include "moderngpt2/core/view.hpp"

namespace moderngpt2::reference {

template <class T>
void gated_activation(Backend&, Rows<T> h, ConstRows<T> gate_up, Activation a) {
  for (int r = 0; r < h.count; ++r)
    for (int i = 0; i < h.width; ++i) h.row(r)[i] = activate(a, gate_up.row(r)[i]).value * gate_up.row(r)[h.width + i];
}

template <class T>
void gated_activation_backward(Backend&, Rows<T> d_gate_up, ConstRows<T> dh, ConstRows<T> gate_up, Activation a) {
  for (int r = 0; r < dh.count; ++r)
    for (int i = 0; i < dh.width; ++i) {
      const auto [value, slope] = activate(a, gate_up.row(r)[i]);
      const T up = gate_up.row(r)[dh.width + i], d = dh.row(r)[i];
      d_gate_up.row(r)[i] = d * up * slope;
      d_gate_up.row(r)[dh.width + i] = d * value;
    }
}

}  // namespace moderngpt2::reference
