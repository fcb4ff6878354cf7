#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/core.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/config/config.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/layers/pass.hpp"
#include "moderngpt2/layers/rotary.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

namespace moderngpt2 {

/// Sizes and random inputs of a layer test: (batch*time,in) -> (rows_out,out). in = 0: no input to differentiate.
struct LayerTest {
  Config config{};  ///< config of the rotary tables in the pass
  int batch = 2;
  int time = 5;
  int in = 0;
  int out = 0;
  int rows_out = 0;  ///< 0: batch * time
  std::uint64_t seed = 1;
  double weight_deviation = 0.4;
  double input_deviation = 1;
  bool training = false;  ///< enables dropout
  const std::int8_t* key_mask = nullptr;
  const int* first_key = nullptr;
};

/// Arguments of one call of a layer. dy null: forward pass only.
template <class T, class Params>
struct LayerRun {
  Rows<T> y;
  Rows<const T> x;
  const Params& p;
  const Params& g;  ///< gradients, added to
  Rows<T> dx;
  Rows<const T> dy;
  Pass<real_t<T>> pass;

  bool backward() const { return dy.data != nullptr; }
};

/// Default call of a layer: with the interface of a norm or of Linear (forward, backward) or of a mixer (saved,
/// scratch, forward and backward with a pass). For other interfaces, pass a function with the same arguments to
/// `test_layer`.
struct CallLayer {
  template <class B, class Layer, class T, class P>
  void operator()(B& b, const Layer& layer, const LayerRun<T, P>& run) const {
    if constexpr (requires(Arena & a) { layer.template saved<T>(a, 1, 1); }) {
      Arena arena;
      layer.template saved<T>(arena, run.pass.batch, run.pass.time);
      layer.template scratch<T>(arena, run.pass.batch, run.pass.time);
      const AlignedBuffer memory(arena.peak());
      arena = Arena(memory);
      const auto saved = layer.template saved<T>(arena, run.pass.batch, run.pass.time);
      const auto scratch = layer.template scratch<T>(arena, run.pass.batch, run.pass.time);
      layer.forward(b, run.y, run.x, run.p, saved, run.pass, 0);
      if (run.backward()) layer.backward(b, run.dx, run.dy, run.x, run.p, run.g, saved, scratch, run.pass, 0);
    } else {
      layer.forward(b, run.y, run.x, run.p);
      if (!run.backward()) return;
      if constexpr (requires { layer.backward(b, run.dx, run.dy, run.x, run.p, run.g, false); })
        layer.backward(b, run.dx, run.dy, run.x, run.p, run.g, false);
      else
        layer.backward(b, run.dx, run.dy, run.x, run.p, run.g);
    }
  }
};

/// Result of a layer test. Each error is that of the worst tensor, relative to the tensor's largest magnitude, or where
/// that is smaller, to 1e-3 of the largest gradient of all tensors (fp32: 1e-2).
struct LayerReport {
  double difference_error = 0;    ///< gradients in double against central differences
  double complex_error = 0;       ///< gradients in double against the complex step
  double cpu_output_error = 0;    ///< fp32 on the CPU backend against double
  double cpu_gradient_error = 0;  ///< gradients in fp32 on the CPU backend against double, relative L2
  bool same_bits = true;          ///< results with 1 and 2 threads are identical
  std::string worst;              ///< parameter with the largest difference_error or complex_error

  bool good(double difference = 2e-7, double complex = 1e-11, double output = 1e-5, double gradient = 1e-5) const {
    return difference_error <= difference && complex_error <= complex && cpu_output_error <= output &&
           cpu_gradient_error <= gradient;
  }
  std::string text() const {
    return fmt::format(
        "differences {:.1e}, complex step {:.1e} (worst {}), fp32 output {:.1e}, fp32 gradients {:.1e}, {}",
        difference_error, complex_error, worst, cpu_output_error, cpu_gradient_error,
        same_bits ? "same bits" : "other bits with 2 threads");
  }
};

namespace detail {

/// Parameters, inputs and outputs of a layer in one scalar type.
template <class T, class Layer>
struct LayerNumbers {
  using Params = typename Layer::template Params<Elements<T>>;
  FlatBuffer<T> matrices, vectors, d_matrices, d_vectors, x, dx, y, dy;
  RotaryPositions<real_t<T>> rotary;
  const Layer& layer;
  const LayerTest& test;

  LayerNumbers(const Layer& l, const LayerTest& t) : rotary(t.config), layer(l), test(t) {
    Params p{};
    CountParameters n;
    layer.describe(p, n);
    const std::int64_t rows = rows_in(), out = std::int64_t(rows_out()) * t.out;
    matrices = FlatBuffer<T>(n.matrices), d_matrices = FlatBuffer<T>(n.matrices);
    vectors = FlatBuffer<T>(n.vectors), d_vectors = FlatBuffer<T>(n.vectors);
    x = FlatBuffer<T>(rows * t.in), dx = FlatBuffer<T>(rows * t.in);
    y = FlatBuffer<T>(out), dy = FlatBuffer<T>(out);
    fill_random(matrices.data(), n.matrices, t.seed, t.weight_deviation);
    fill_random(vectors.data(), n.vectors, t.seed + 1, t.weight_deviation);
    fill_random(x.data(), x.size(), t.seed + 2, t.input_deviation);
    fill_random(dy.data(), dy.size(), t.seed + 3);
  }

  int rows_in() const { return test.batch * test.time; }
  int rows_out() const { return test.rows_out > 0 ? test.rows_out : rows_in(); }

  template <class B, class Call>
  void run(B& b, const Call& call, bool backward) {
    Params p{}, g{};
    BindParameters<T, T> weights{matrices.data(), vectors.data()}, gradients{d_matrices.data(), d_vectors.data()};
    layer.describe(p, weights);
    layer.describe(g, gradients);
    Pass<real_t<T>> pass{.batch = test.batch, .time = test.time};
    pass.key_mask = test.key_mask, pass.first_key = test.first_key;
    pass.rotary = rotary.table();
    pass.training = test.training;
    pass.seed = test.seed;
    const Rows<T> input(x.data(), rows_in(), test.in), output(y.data(), rows_out(), test.out);
    LayerRun<T, Params> run{output, input, p, g, {}, {}, pass};
    if (backward) {
      run.dx = Rows<T>(dx.data(), rows_in(), test.in);
      run.dy = Rows<T>(dy.data(), rows_out(), test.out);
    }
    call(b, layer, run);
  }

  /// Scalar dy . y, whose gradients are dx and those of the parameters.
  template <class Call>
  T objective(const Call& call) {
    reference::Backend b;
    run(b, call, false);
    T sum(0);
    for (std::int64_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  }
};

struct CheckedTensor {
  std::string name;
  std::int64_t size;
  double *value, *gradient;
  std::complex<double>* complex_value;
};

inline double euclidean_norm(const FlatBuffer<double>& x) {
  double sum = 0;
  for (double v : x) sum += v * v;
  return std::sqrt(sum);
}

template <class T>
bool same_bits(const FlatBuffer<T>& a, const FlatBuffer<T>& b) {
  return a.size() == 0 || std::memcmp(a.data(), b.data(), std::size_t(a.size()) * sizeof(T)) == 0;
}

}  // namespace detail

/// Tests a layer with random numbers: gradients of all parameters and of the input on the reference backend against
/// central differences and the complex step, then fp32 on the CPU backend with 1 and 2 threads against double. `call`
/// calls the layer; see CallLayer.
template <class Layer, class Call = CallLayer>
LayerReport test_layer(const Layer& layer, const LayerTest& test, const Call& call = {}) {
  detail::LayerNumbers<double, Layer> exact(layer, test);
  detail::LayerNumbers<std::complex<double>, Layer> complex(layer, test);
  reference::Backend oracle;
  exact.run(oracle, call, true);

  std::vector<detail::CheckedTensor> tensors;
  typename Layer::template Params<Elements<float>> views{};
  ListParameters list;
  layer.describe(views, list);
  for (const ParameterInfo& p : list.table) {
    const bool m = p.is_matrix();
    tensors.push_back({p.name, p.size, (m ? exact.matrices : exact.vectors).data() + p.offset,
                       (m ? exact.d_matrices : exact.d_vectors).data() + p.offset,
                       (m ? complex.matrices : complex.vectors).data() + p.offset});
  }
  if (test.in > 0) tensors.push_back({"input", exact.x.size(), exact.x.data(), exact.dx.data(), complex.x.data()});

  LayerReport report;
  double overall = 0;
  for (const auto& t : tensors)
    for (std::int64_t i = 0; i < t.size; ++i) overall = std::max(overall, std::abs(t.gradient[i]));
  for (const auto& t : tensors) {
    std::vector<double> by_difference, by_step;
    double scale = std::max(1e-3 * overall, 1e-30);
    for (std::int64_t i = 0; i < t.size; ++i) {
      scale = std::max(scale, std::abs(t.gradient[i]));
      by_difference.push_back(central_difference(t.value[i], [&] { return exact.objective(call); }));
      by_step.push_back(complex_step(t.complex_value[i], [&] { return complex.objective(call); }));
    }
    for (std::int64_t i = 0; i < t.size; ++i) {
      auto note = [&](double& worst, double found) {
        const double error = std::abs(found - t.gradient[i]) / scale;
        if (!(error > worst) && !std::isnan(error)) return;
        worst = error;  // a NaN stays
        report.worst = fmt::format("{}[{}]: {} against {}", t.name, i, t.gradient[i], found);
      };
      note(report.difference_error, by_difference[std::size_t(i)]);
      note(report.complex_error, by_step[std::size_t(i)]);
    }
  }

  exact.run(oracle, call, false);
  detail::LayerNumbers<float, Layer> one(layer, test), two(layer, test);
  cpu::Backend single(1), both(2);
  one.run(single, call, true);
  two.run(both, call, true);
  report.same_bits = detail::same_bits(one.y, two.y) && detail::same_bits(one.dx, two.dx) &&
                     detail::same_bits(one.d_matrices, two.d_matrices) &&
                     detail::same_bits(one.d_vectors, two.d_vectors);
  for (const auto* fast : {&one, &two}) {
    auto worse = [](double& worst, double error) {
      if (error > worst || std::isnan(error)) worst = error;
    };
    worse(report.cpu_output_error, compare_values(fast->y.data(), exact.y.data(), exact.y.size()).relative_max);
    double norm = 0;
    for (const auto* gradient : {&exact.dx, &exact.d_matrices, &exact.d_vectors})
      norm = std::max(norm, detail::euclidean_norm(*gradient));
    auto compare = [&](const FlatBuffer<float>& got, const FlatBuffer<double>& want) {
      const double own = detail::euclidean_norm(want);
      const double error = compare_values(got.data(), want.data(), want.size()).relative_l2 * (own > 0 ? own : 1.0);
      worse(report.cpu_gradient_error, error / std::max({own, 1e-2 * norm, 1e-30}));
    };
    compare(fast->dx, exact.dx);
    compare(fast->d_matrices, exact.d_matrices);
    compare(fast->d_vectors, exact.d_vectors);
  }
  return report;
}

}  // namespace moderngpt2
