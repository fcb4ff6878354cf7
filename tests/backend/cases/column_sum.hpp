#pragma once

#include <array>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// column_sum, also of rows apart by more than their width.
inline std::vector<Case> column_sum_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 0},
                           {1, 96, 0},
                           {2, 131, 2},
                           {3, 7, 4},
                           {17, 65, 10},
                           {64, 48, 32},
                           {131, 768, 0},
                           {200, 520, 8},
                           {1000, 33, 2}}) {
    const int rows = each[0], width = each[1], stride = width + each[2];
    table.push_back(make_case(fmt::format("column_sum {}x{} stride {}", rows, width, stride),
                              {{Role::added, width, 1, true}, {Role::input, std::int64_t(rows) * stride}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                using F = full_of<std::remove_cvref_t<decltype(t)>>;
                                column_sum(b, Vector<F>{t.full(0), width}, Rows<T>(t[1], rows, width, stride));
                              }));
  }
  return table;
}

}  // namespace moderngpt2::cases
