#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases.hpp"
#include "moderngpt2/testing/comparison.hpp"

namespace moderngpt2::test {

/// Runs every case on the CPU backend with 1 and 2 threads against the reference in double. Reports the worst error.
inline void check_cases(const std::vector<cases::Case>& table) {
  double worst = 0;
  std::string worst_name;
  for (const cases::Case& c : table) {
    CAPTURE(c.name);
    cases::Tensors<double> want(c.tensors, 11);
    reference::Backend oracle;
    const double want_loss = c.reference(oracle, want);
    std::vector<cases::Tensors<float>> got;
    std::vector<double> loss;
    for (int threads : {1, 2}) {
      cpu::Backend backend(threads);
      got.emplace_back(c.tensors, 11);
      loss.push_back(c.cpu(backend, got.back()));
      CHECK(got.back().guards_stand());
      CHECK(std::abs(loss.back() - want_loss) <= c.tolerance * std::abs(want_loss));
    }
    for (std::size_t i = 0; i < want.count(); ++i) {
      if (!want.written(i)) {
        CHECK(std::memcmp(got[0][i], cases::Tensors<float>(c.tensors, 11)[i], std::size_t(want.size(i)) * 4) == 0);
        continue;
      }
      const bool partly = std::find(c.unread.begin(), c.unread.end(), i) != c.unread.end();
      for (auto& t : got) {
        if (partly)  // elements that the reference leaves alone, the other must leave alone too
          for (std::int64_t j = 0; j < want.size(i); ++j)
            if (std::isnan(want[i][j]) && std::isnan(t[i][j])) t[i][j] = 0;
        std::vector<double> expected(want[i], want[i] + want.size(i));
        if (partly)
          for (double& x : expected) x = std::isnan(x) ? 0 : x;
        const double error = compare_values(t[i], expected.data(), want.size(i)).relative_max;
        CHECK_MESSAGE(error <= c.tolerance, "tensor ", i, ": ", error);
        if (error > worst) worst = error, worst_name = c.name;
      }
      if (c.any_thread_count) CHECK(std::memcmp(got[0][i], got[1][i], std::size_t(want.size(i)) * 4) == 0);
    }
    if (c.any_thread_count) CHECK(loss[0] == loss[1]);
  }
  MESSAGE(table.size(), " cases, worst error ", worst, " in ", worst_name);
}

}  // namespace moderngpt2::test
