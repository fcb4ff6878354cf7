#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>

#include "model_under_test.hpp"

namespace moderngpt2::test {

/// Gradients of a whole model in double against central differences and the complex step at a sample of its
/// parameters, then the CPU backend in fp32 with 1 and 2 threads against double. Dropout on or off.
template <class Family>
void check_model(const Config& config, bool training) {
  using Exact64 = typename Family::template Model<reference::Backend, Exact<double>>;
  using Complex = typename Family::template Model<reference::Backend, Exact<std::complex<double>>>;
  using Fast = typename Family::template Model<cpu::Backend, Fp32>;
  Exact64 exact(config);
  Complex complex(config);
  fill_weights(exact);
  fill_weights(complex);
  const auto want = step<Family>(exact, training);
  auto work = exact.workspace(tiny_batch, tiny_time, Mode::infer);
  auto complex_work = complex.workspace(tiny_batch, tiny_time, Mode::infer);
  auto loss = [&] {
    return exact.loss(work, tiny_ids.data(), Family::template labels<Exact64>(), tiny_pass<double>(training));
  };
  auto complex_loss = [&] {
    return complex.loss(complex_work, tiny_ids.data(), Family::template labels<Complex>(), tiny_pass<double>(training));
  };
  CHECK(loss() == want.loss);
  CHECK(std::abs(complex_loss().real() - want.loss) <= 1e-14 * std::abs(want.loss));

  double largest = 0, worst_difference = 0, worst_step = 0;
  for (double g : want.gradients.matrices) largest = std::max(largest, std::abs(g));
  for (double g : want.gradients.vectors) largest = std::max(largest, std::abs(g));
  int sampled = 0;
  for (const ParameterInfo& p : exact.parameters()) {
    const std::int64_t stride = p.size > 40 ? p.size / 23 : 1;
    for (std::int64_t i = 0; i < p.size; i += stride, ++sampled) {
      const double gradient = want.gradients.at(p)[i];
      const double by_step = complex_step(complex.weights().at(p)[i], complex_loss);
      worst_step = std::max(worst_step, std::abs(by_step - gradient) / largest);
      if (sampled % 3 != 0) continue;
      worst_difference =
          std::max(worst_difference, std::abs(central_difference(exact.weights().at(p)[i], loss) - gradient) / largest);
    }
  }
  CHECK(worst_step < 1e-12);
  CHECK(worst_difference < 1e-7);

  double worst_fast = 0;
  for (int threads : {1, 2}) {
    Fast fast(config, cpu::Backend(threads));
    fill_weights(fast);
    const auto got = step<Family>(fast, training);
    CHECK(std::abs(got.loss - want.loss) <= 1e-5 * std::abs(want.loss));
    CHECK(compare_values(got.hidden.data(), want.hidden.data(), std::int64_t(want.hidden.size())).relative_max < 1e-5);
    for (const ParameterInfo& p : exact.parameters()) {
      const bool vanishes = std::all_of(want.gradients.at(p), want.gradients.at(p) + p.size,
                                        [](double g) { return std::abs(g) < 1e-12; });
      if (vanishes) {  // in exact numbers it is 0: what is left is rounding
        CHECK(std::all_of(got.gradients.at(p), got.gradients.at(p) + p.size,
                          [](float g) { return std::abs(g) < 1e-6f; }));
        continue;
      }
      const auto error = compare_values(got.gradients.at(p), want.gradients.at(p), p.size);
      CHECK_MESSAGE(error.relative_l2 < 2e-5, p.name, ": ", error.relative_l2);
      worst_fast = std::max(worst_fast, error.relative_l2);
    }
  }
  MESSAGE(sampled, " parameters: complex step ", worst_step, ", differences ", worst_difference, ", fp32 gradients ",
          worst_fast);
}

}  // namespace moderngpt2::test
