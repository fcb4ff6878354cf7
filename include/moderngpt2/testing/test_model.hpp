#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/backend/reference.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

namespace moderngpt2 {

/// Result of test_blocks(). Errors of gradients are relative to the largest gradient of the model.
struct ModelReport {
  double complex_error = 0;       ///< gradients in double against the complex step, at a sample of each parameter
  double cpu_loss_error = 0;      ///< fp32 on the CPU backend against double, relative
  double cpu_gradient_error = 0;  ///< gradients in fp32 on the CPU backend against double
  bool same_bits = true;          ///< fp32 gradients with gradient checkpointing are identical
  std::string worst;              ///< parameter with the largest complex_error

  bool good(double complex = 1e-11, double loss = 1e-5, double gradient = 1e-5) const {
    return complex_error <= complex && cpu_loss_error <= loss && cpu_gradient_error <= gradient && same_bits;
  }
  std::string text() const {
    return fmt::format("complex step {:.1e} (worst {}), fp32 loss {:.1e}, fp32 gradients {:.1e}, {}", complex_error,
                       worst, cpu_loss_error, cpu_gradient_error,
                       same_bits ? "same bits" : "other bits with gradient checkpointing");
  }
};

namespace detail {

/// Loss and gradients of a language model of random weights on random tokens.
template <class M>
class ModelNumbers {
 public:
  using Gradients = typename M::Gradients;

  ModelNumbers(const Config& config, int batch, int time, std::uint64_t seed)
      : model(config), batch_(batch), time_(time), ids_(std::size_t(batch) * std::size_t(time)) {
    fill_random(model.weights().matrices.data(), model.weights().matrices.size(), seed, 0.3);
    fill_random(model.weights().vectors.data(), model.weights().vectors.size(), seed + 1, 0.3);
    for (std::size_t i = 0; i < ids_.size(); ++i)
      ids_[i] = int(mix64(seed + i) % std::uint64_t(model.config().vocab_size));
  }

  typename M::T loss() {
    if (!work_) work_.emplace(model.workspace(batch_, time_, Mode::infer));
    return model.loss(*work_, ids_.data(), {ids_.data()}, {.batch = batch_, .time = time_});
  }
  std::pair<double, Gradients> step(Mode mode) {
    Gradients gradients = model.make_gradients();
    auto work = model.workspace(batch_, time_, mode);
    const auto loss =
        model.loss_and_gradients(work, ids_.data(), {ids_.data()}, gradients, {.batch = batch_, .time = time_});
    return {double(loss), std::move(gradients)};
  }

  M model;

 private:
  int batch_, time_;
  std::vector<int> ids_;
  std::optional<typename M::Work> work_;
};

}  // namespace detail

/// Tests a language model with the layers of a Blocks type as a whole, without dropout: gradients in double on the
/// reference backend against the complex step, then fp32 on the CPU backend against double, also with gradient
/// checkpointing. For a config with few parameters: each sampled element takes a forward pass.
template <class BlocksType>
ModelReport test_blocks(const Config& config, int batch = 2, int time = 7, std::uint64_t seed = 1) {
  detail::ModelNumbers<CausalLM<any_shape, reference::Backend, Exact<double>, BlocksType>> exact(config, batch, time,
                                                                                                 seed);
  detail::ModelNumbers<CausalLM<any_shape, reference::Backend, Exact<std::complex<double>>, BlocksType>> complex(
      config, batch, time, seed);
  detail::ModelNumbers<CausalLM<any_shape, cpu::Backend, Fp32, BlocksType>> fast(config, batch, time, seed);
  const auto [loss, gradients] = exact.step(Mode::train);
  const auto [fast_loss, fast_gradients] = fast.step(Mode::train);
  const auto [recomputed_loss, recomputed] = fast.step(Mode::train_recompute);

  ModelReport report;
  report.cpu_loss_error = std::abs(fast_loss - loss) / std::abs(loss);
  double largest = 0;
  for (const ParameterInfo& p : exact.model.parameters())
    for (std::int64_t i = 0; i < p.size; ++i) largest = std::max(largest, std::abs(gradients.at(p)[i]));
  const auto note = [](double& worst, double error) {
    if (error <= worst || std::isnan(worst)) return false;
    worst = error;
    return true;
  };
  for (const ParameterInfo& p : exact.model.parameters()) {
    const double* const gradient = gradients.at(p);
    for (std::int64_t i = 0; i < p.size; ++i) {
      note(report.cpu_gradient_error, std::abs(double(fast_gradients.at(p)[i]) - gradient[i]) / largest);
      report.same_bits &= fast_gradients.at(p)[i] == recomputed.at(p)[i];
    }
    for (std::int64_t i = 0; i < p.size; i += std::max<std::int64_t>(p.size / 7, 1)) {
      const double by_step = complex_step(complex.model.weights().at(p)[i], [&] { return complex.loss(); });
      if (note(report.complex_error, std::abs(by_step - gradient[i]) / largest))
        report.worst = fmt::format("{}[{}]: {} against {}", p.name, i, gradient[i], by_step);
    }
  }
  report.same_bits &= fast_loss == recomputed_loss;
  return report;
}

}  // namespace moderngpt2
