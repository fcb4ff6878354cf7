#pragma once

#ifndef MODERNGPT2_CASES_ON_CUDA
#error "define MODERNGPT2_CASES_ON_CUDA before the first include, so that cases have a function for the GPU"
#endif

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/check_case.hpp"
#include "backend/cuda/device_tensors.hpp"

namespace moderngpt2::test {

/// Seeds of the simulated GPU's schedule; on a real GPU, repeated runs. Results must be bit-identical.
inline constexpr std::uint64_t schedules[] = {1, 2, 3};

inline void use_schedule([[maybe_unused]] std::uint64_t seed) {
#ifdef MODERNGPT2_CUDA_SIMULATED
  simt::machine().seed(seed);
#endif
}

/// Runs a case on the GPU with elements of type T in three schedules. Compares results with the reference in double,
/// whose inputs are rounded to T, and bit for bit with each other. Returns the largest error.
template <class T>
double check_cuda_case(const cases::Case& c,
                       const std::function<double(cuda::Backend&, const cases::DeviceTensors<T>&)>& run,
                       double tolerance, double loss_tolerance) {
  cases::Tensors<double> want(c.tensors, 11);
  want.round_to<T>();
  reference::Backend oracle;
  const double want_loss = c.reference(oracle, want);
  const cases::Tensors<T> untouched(c.tensors, 11);
  std::vector<cases::Tensors<T>> got;
  std::vector<double> loss;
  for (const std::uint64_t schedule : schedules) {
    CAPTURE(schedule);
    use_schedule(schedule);
    cuda::Backend backend;
    got.emplace_back(c.tensors, 11);
    const cases::DeviceTensors<T> there(backend, got.back());
    loss.push_back(run(backend, there));
    there.download(got.back());
    CHECK(got.back().guards_stand());
    CHECK(std::abs(loss.back() - want_loss) <= loss_tolerance * std::abs(want_loss));
    CHECK(loss.back() == loss[0]);
    for (std::size_t i = 0; i < want.count(); ++i)
      CHECK_MESSAGE(detail::same_bytes(got.back(), want.written(i) ? got[0] : untouched, i), "tensor ", i);
  }
  double worst = 0;
  for (std::size_t i = 0; i < want.count(); ++i) {
    if (!want.written(i)) continue;
    const bool partly = std::find(c.unread.begin(), c.unread.end(), i) != c.unread.end();
    const double error =
        compare_values(detail::values(got[0], i, partly).data(), detail::values(want, i, partly).data(), want.size(i))
            .relative_max;
    CHECK_MESSAGE(error <= tolerance, "tensor ", i, ": ", error);
    worst = std::max(worst, error);
  }
  return worst;
}

/// Tolerance for one or two roundings to fp16, relative to the largest magnitude.
inline constexpr double f16_tolerance = 1.5e-3;

/// Runs every case in fp32 and, if it supports 16-bit elements, in bf16 and fp16. Reports the largest errors.
inline void check_cuda_cases(const std::vector<cases::Case>& table, double in_bf16 = bf16_tolerance,
                             double in_f16 = f16_tolerance) {
  double worst = 0, worst_bf16 = 0, worst_f16 = 0;
  for (const cases::Case& c : table) {
    CAPTURE(c.name);
    worst = std::max(worst, check_cuda_case<float>(c, c.cuda, c.tolerance, c.tolerance));
    if (!c.cuda_bf16) continue;
    {
      CAPTURE("bf16");
      const double limit = std::max(in_bf16, c.tolerance);
      worst_bf16 = std::max(worst_bf16, check_cuda_case<bf16>(c, c.cuda_bf16, limit, 10 * c.tolerance));
    }
    CAPTURE("fp16");
    const double limit = std::max(in_f16, c.tolerance);
    worst_f16 = std::max(worst_f16, check_cuda_case<f16>(c, c.cuda_f16, limit, 10 * c.tolerance));
  }
  MESSAGE(table.size(), " cases, worst error ", worst, "; in bf16 ", worst_bf16, "; in fp16 ", worst_f16);
}

}  // namespace moderngpt2::test
