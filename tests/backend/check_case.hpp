#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases.hpp"
#include "moderngpt2/testing/numeric_checks.hpp"

namespace moderngpt2::test {

namespace detail {

/// The values of a tensor; where only parts are written, elements that both leave alone count as 0.
template <class T>
std::vector<double> values(const cases::Tensors<T>& t, std::size_t i, bool partly) {
  return t.visit(i, [&](auto* data) {
    std::vector<double> all(data, data + t.size(i));
    if (partly)
      std::replace_if(
          all.begin(), all.end(), [](double x) { return std::isnan(x); }, 0.0);
    return all;
  });
}

template <class T>
bool same_bytes(const cases::Tensors<T>& a, const cases::Tensors<T>& b, std::size_t i) {
  return a.visit(i, [&](auto* x) {
    return b.visit(i, [&](auto* y) { return std::memcmp(x, y, std::size_t(a.size(i)) * sizeof *x) == 0; });
  });
}

}  // namespace detail

/// Runs a case on the CPU backend in elements of type T with 1 and 2 threads against the reference in double, whose
/// inputs are what T can hold. Returns the worst error.
template <class T>
double check_case(const cases::Case& c, const std::function<double(cpu::Backend&, const cases::Tensors<T>&)>& run,
                  double tolerance, double loss_tolerance) {
  double worst = 0;
  cases::Tensors<double> want(c.tensors, 11);
  want.round_to<T>();
  reference::Backend oracle;
  const double want_loss = c.reference(oracle, want);
  std::vector<cases::Tensors<T>> got;
  std::vector<double> loss;
  for (int threads : {1, 2}) {
    cpu::Backend backend(threads);
    got.emplace_back(c.tensors, 11);
    loss.push_back(run(backend, got.back()));
    CHECK(got.back().guards_stand());
    CHECK(std::abs(loss.back() - want_loss) <= loss_tolerance * std::abs(want_loss));
  }
  const cases::Tensors<T> untouched(c.tensors, 11);
  for (std::size_t i = 0; i < want.count(); ++i) {
    if (!want.written(i)) {
      CHECK(detail::same_bytes(got[0], untouched, i));
      continue;
    }
    const bool partly = std::find(c.unread.begin(), c.unread.end(), i) != c.unread.end();
    const std::vector<double> expected = detail::values(want, i, partly);
    for (const auto& t : got) {
      const double error =
          compare_values(detail::values(t, i, partly).data(), expected.data(), want.size(i)).relative_max;
      CHECK_MESSAGE(error <= tolerance, "tensor ", i, ": ", error);
      worst = std::max(worst, error);
    }
    if (c.any_thread_count) CHECK(detail::same_bytes(got[0], got[1], i));
  }
  if (c.any_thread_count) CHECK(loss[0] == loss[1]);
  return worst;
}

/// What is rounded to bf16 once or twice, relative to the largest magnitude.
inline constexpr double bf16_tolerance = 1e-2;

/// Runs every case in fp32 and, where there is a short form, in bf16. Reports the worst errors.
inline void check_cases(const std::vector<cases::Case>& table, double in_bf16 = bf16_tolerance) {
  double worst = 0, worst_bf16 = 0;
  std::string name, name_bf16;
  for (const cases::Case& c : table) {
    CAPTURE(c.name);
    const double error = check_case<float>(c, c.cpu, c.tolerance, c.tolerance);
    if (error > worst) worst = error, name = c.name;
    if (!c.cpu_bf16) continue;
    CAPTURE("bf16");
    const double rounded = check_case<bf16>(c, c.cpu_bf16, std::max(in_bf16, c.tolerance), 10 * c.tolerance);
    if (rounded > worst_bf16) worst_bf16 = rounded, name_bf16 = c.name;
  }
  MESSAGE(table.size(), " cases, worst error ", worst, " in ", name, "; in bf16 ", worst_bf16, " in ", name_bf16);
}

}  // namespace moderngpt2::test
