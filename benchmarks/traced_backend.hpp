#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/clock.hpp"

// The CPU backend with a clock: every operation is the CPU's, its time and the bytes of its tensors are added up by
// name, those of matrix products by their widths too.
namespace moderngpt2::traced {

/// Totals of the calls of one operation.
struct Total {
  std::int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

class Backend : public cpu::Backend {
 public:
  using cpu::Backend::Backend;

  template <class F>
  decltype(auto) timed(const std::string& name, double flops, double bytes, F&& f) {
    struct Clock {
      Total& total;
      double begin = seconds_now();
      ~Clock() { total.seconds += seconds_now() - begin; }
    };
    Total& total = totals[name];
    ++total.calls, total.flops += flops, total.bytes += bytes;
    const Clock clock{total};
    return f(static_cast<cpu::Backend&>(*this));
  }

  std::map<std::string, Total> totals;
};

namespace detail {

/// Bytes of a tensor; 0 of anything else.
template <class T>
double bytes_of(const Rows<T>& rows) {
  return rows.data ? double(rows.count) * rows.width * sizeof(T) : 0;
}
template <class T>
double bytes_of(const Matrix<T>& matrix) {
  return matrix.data ? double(matrix.size()) * sizeof(T) : 0;
}
template <class T>
double bytes_of(const T&) {
  return 0;
}

/// Bytes that a call reads and writes: its tensors once each.
template <class... Arguments>
double traffic(const Arguments&... arguments) {
  return (bytes_of(arguments) + ... + 0.0);
}
/// Traffic of an embedding lookup: the activations, and as many rows of the table.
template <class T, class... Rest>
double lookup_traffic(const Rows<T>& x, const Rest&...) {
  return 2 * bytes_of(x);
}
template <class G, class T, class... Rest>
double lookup_traffic(const Matrix<G>&, const int*, const Rows<T>& dx, const Rest&...) {
  return bytes_of(dx) + double(dx.count) * dx.width * sizeof(G);
}
// Traffic of passes over flat memory, whose pointers have no size.
template <class T>
double flat_traffic(const T*, std::int64_t n) {
  return double(n) * sizeof(T);
}
template <class T, class Value>
double flat_traffic(const T*, std::int64_t n, const Value&) {
  return double(n) * sizeof(T);
}
template <class To, class From>
double flat_traffic(const To*, const From*, std::int64_t n) {
  return double(n) * (sizeof(To) + sizeof(From));
}
/// Weight, both moments, the gradient, and a short copy.
inline double adamw_traffic(const float*, const float*, const float*, const float*, std::int64_t n, const AdamWStep&,
                            const bf16* rounded = nullptr) {
  return double(n) * (4 * sizeof(float) + (rounded ? sizeof(bf16) : 0));
}

/// " 768 -> 3072" for a product with a matrix of 3072 x 768.
template <class... Arguments>
std::string widths(const Arguments&... arguments) {
  std::string text;
  const auto look = [&]<class T>(const T& argument) {
    if constexpr (requires { argument.rows, argument.cols; })
      text = fmt::format(" {} -> {}", argument.cols, argument.rows);
  };
  (look(arguments), ...);
  return text;
}

template <class W>
double product_flops(int rows, const Matrix<W>& w) {
  return 2.0 * rows * double(w.size());
}
inline double attention_flops(const AttentionCall& call, int products) {
  const double keys = call.past + (call.time + 1) / 2.0;
  return 2.0 * products * call.batch * call.time * keys * call.n_head * call.head_dim;
}

// Operations that multiply matrices; all others are bound by memory and count no operations.
template <class Y, class X, class W, class... Rest>
double flops_of_matmul(const Rows<Y>&, const Rows<X>& x, const Matrix<W>& w, const Rest&...) {
  return product_flops(x.count, w);
}
template <class W, class DY, class X>
double flops_of_matmul_backward_weight(const Matrix<W>& dw, const Rows<DY>& dy, const Rows<X>&) {
  return product_flops(dy.count, dw);
}
template <class DX, class DW, class X, class W, class... Rest>
double flops_of_classifier(const Rows<DX>&, const Matrix<DW>&, const Rows<X>& hidden, const Matrix<W>& w,
                           const Rest&...) {
  return 3 * product_flops(hidden.count, w);
}
template <class... Arguments>
double flops_of_attention(int products, const Arguments&... arguments) {
  double flops = 0;
  const auto add = [&](const auto& argument) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(argument)>, AttentionCall>)
      flops = attention_flops(argument, products);
  };
  (add(arguments), ...);
  return flops;
}

}  // namespace detail

#define MODERNGPT2_TRACED_AS(operation, name, flops, bytes)                       \
  template <class... Arguments>                                                   \
  decltype(auto) operation(Backend& b, Arguments&&... a) {                        \
    return b.timed(name, flops, bytes, [&](cpu::Backend& cpu) -> decltype(auto) { \
      return operation(cpu, std::forward<Arguments>(a)...);                       \
    });                                                                           \
  }
#define MODERNGPT2_TRACED(operation, flops) MODERNGPT2_TRACED_AS(operation, #operation, flops, detail::traffic(a...))
#define MODERNGPT2_TRACED_PRODUCT(operation, flops) \
  MODERNGPT2_TRACED_AS(operation, #operation + detail::widths(a...), flops, detail::traffic(a...))
#define MODERNGPT2_TRACED_FLAT(operation) MODERNGPT2_TRACED_AS(operation, #operation, 0, detail::flat_traffic(a...))

MODERNGPT2_TRACED_AS(embedding, "embedding", 0, detail::lookup_traffic(a...))
MODERNGPT2_TRACED_AS(embedding_backward, "embedding_backward", 0, detail::lookup_traffic(a...))
MODERNGPT2_TRACED(dropout, 0)
MODERNGPT2_TRACED_PRODUCT(matmul, detail::flops_of_matmul(a...))
MODERNGPT2_TRACED_PRODUCT(matmul_backward_input, detail::flops_of_matmul(a...))
MODERNGPT2_TRACED_PRODUCT(matmul_backward_weight, detail::flops_of_matmul_backward_weight(a...))
MODERNGPT2_TRACED(column_sum, 0)
MODERNGPT2_TRACED(rotary, 0)
MODERNGPT2_TRACED(rotary_backward, 0)
MODERNGPT2_TRACED(attention, detail::flops_of_attention(2, a...))
MODERNGPT2_TRACED(attention_backward, detail::flops_of_attention(5, a...))
MODERNGPT2_TRACED(rms_norm, 0)
MODERNGPT2_TRACED(rms_norm_backward, 0)
MODERNGPT2_TRACED(add_norm, 0)
MODERNGPT2_TRACED(add_norm_backward, 0)
MODERNGPT2_TRACED(gated_activation, 0)
MODERNGPT2_TRACED(gated_activation_backward, 0)
MODERNGPT2_TRACED(logits, 0)
MODERNGPT2_TRACED(classifier, detail::flops_of_classifier(a...))
MODERNGPT2_TRACED(classifier_loss, 0)
MODERNGPT2_TRACED(cross_entropy, 0)
MODERNGPT2_TRACED(gather_rows, 0)
MODERNGPT2_TRACED(scatter_rows_add, 0)
MODERNGPT2_TRACED_FLAT(fill)
MODERNGPT2_TRACED_FLAT(cast)
MODERNGPT2_TRACED_FLAT(sum_of_squares)
MODERNGPT2_TRACED_AS(adamw, "adamw", 0, detail::adamw_traffic(a...))

#undef MODERNGPT2_TRACED
#undef MODERNGPT2_TRACED_PRODUCT
#undef MODERNGPT2_TRACED_FLAT
#undef MODERNGPT2_TRACED_AS

}  // namespace moderngpt2::traced
