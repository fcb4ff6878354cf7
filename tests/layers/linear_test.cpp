#include <array>

#include <doctest/doctest.h>

#include "moderngpt2/layers/joint_linear.hpp"
#include "moderngpt2/layers/linear.hpp"
#include "moderngpt2/testing/test_layer.hpp"

using namespace moderngpt2;

namespace {

/// Two projections of one input side by side. Adjacent in memory if in * first is a multiple of 64.
struct TwoLinears {
  int in, first, second;
  bool bias;

  template <class E>
  struct Params {
    typename Linear<dynamic, dynamic>::template Params<E> a, b;
    auto weights() const { return std::array{a.weight, b.weight}; }
    auto biases() const { return std::array{a.bias, b.bias}; }
  };
  template <class E>
  constexpr void describe(Params<E>& p, auto& visitor) const {
    visitor.nested("a", Linear<dynamic, dynamic>{in, first, bias}, p.a);
    visitor.nested("b", Linear<dynamic, dynamic>{in, second, bias}, p.b);
  }
  template <class B, class T, class P>
  void forward(B& b, Rows<T> y, Rows<const T> x, const P& p) const {
    joint_forward(b, y, x, p.weights(), p.biases());
  }
  template <class B, class T, class P>
  void backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const P& p, const P& g) const {
    joint_backward(b, dx, dy, x, p.weights(), g.weights(), g.biases());
  }
};

/// A layer with a fault in its gradient.
struct Wrong : Linear<dynamic, dynamic> {
  template <class B, class T, class P>
  void backward(B& b, Rows<T> dx, Rows<const T> dy, Rows<const T> x, const P& p, const P& g) const {
    Linear<dynamic, dynamic>::backward(b, dx, dy, x, p, g);
    dx.row(0)[0] += T(1e-3);
  }
};

}  // namespace

TEST_CASE("Linear with and without a bias, static and dynamic") {
  for (bool bias : {false, true}) {
    const auto report = test_layer(Linear<dynamic, dynamic>{7, 5, bias}, {.in = 7, .out = 5});
    CHECK_MESSAGE(report.good(), report.text());
    const auto fixed = test_layer(Linear<8, 16>{8, 16, bias}, {.time = 9, .in = 8, .out = 16});
    CHECK_MESSAGE(fixed.good(), fixed.text());
  }
}

TEST_CASE("Linear skips a null dx, and adds to dx with accumulate_dx") {
  const Linear<dynamic, dynamic> layer{3, 2, true};
  using E = Elements<double>;
  double w[] = {1, 2, 3, 4, 5, 6}, bias[] = {1, -1}, dw[6] = {}, dbias[2] = {}, x[] = {1, 0, 2}, y[2], dy[] = {1, 10},
         dx[] = {7, 7, 7};
  const Linear<dynamic, dynamic>::Params<E> p{{w, 2, 3}, {bias, 2}}, g{{dw, 2, 3}, {dbias, 2}};
  reference::Backend b;
  layer.forward(b, Rows<double>(y, 1, 2), Rows<const double>(x, 1, 3), p);
  CHECK(y[0] == 8);
  CHECK(y[1] == 15);
  layer.backward(b, Rows<double>{}, Rows<const double>(dy, 1, 2), Rows<const double>(x, 1, 3), p, g);
  layer.backward(b, Rows<double>(dx, 1, 3), Rows<const double>(dy, 1, 2), Rows<const double>(x, 1, 3), p, g, true);
  CHECK(dx[0] == 7 + 41);
  CHECK(dx[2] == 7 + 63);
  CHECK(dw[5] == 40);  // added twice
  CHECK(dbias[1] == 20);
}

TEST_CASE("joint_linear: adjacent in memory or not, with and without biases") {
  for (const auto& layer :
       {TwoLinears{8, 8, 5, false}, TwoLinears{8, 8, 5, true}, TwoLinears{7, 3, 5, false}, TwoLinears{7, 3, 5, true}}) {
    const auto report = test_layer(layer, {.in = layer.in, .out = layer.first + layer.second});
    CHECK_MESSAGE(report.good(), report.text());
  }
}

TEST_CASE("joined matrices are adjacent in memory") {
  double memory[24];
  const auto whole = detail::joined(std::array{Matrix<double>{memory, 2, 4}, Matrix<double>{memory + 8, 3, 4}});
  CHECK(whole.data == memory);
  CHECK(whole.rows == 5);
  CHECK(detail::joined(std::array{Matrix<double>{memory, 2, 4}, Matrix<double>{memory + 9, 3, 4}}).data == nullptr);
}

TEST_CASE("test_layer detects a wrong gradient") {
  const auto report = test_layer(Wrong{{4, 4, true}}, {.in = 4, .out = 4});
  CHECK(!report.good());
  CHECK(report.difference_error > 1e-5);
  CHECK(report.complex_error > 1e-5);
  CHECK(report.worst.starts_with("input[0]"));
}
