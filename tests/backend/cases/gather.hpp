#pragma once

#include <array>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// gather_rows and scatter_rows_add, with rows that are named more than once; append_rows to sequences of unequal
/// lengths.
inline std::vector<Case> gather_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1}, {10, 7}, {120, 130}, {128, 768}}) {
    const int rows = each[0], width = each[1];
    const std::int64_t n = std::int64_t(rows) * width;
    const std::string size = fmt::format("{}x{}", rows, width);
    const auto index = random_ids(9, rows, 6);
    table.push_back(
        make_case("gather_rows " + size, {{Role::output, 9 * width}, {Role::input, n}}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          gather_rows(b, Rows<T>(t[0], 9, width), Rows<T>(t[1], rows, width),
                      t.on_device(index->data(), index->size()));
        }));
    table.push_back(make_case("scatter_rows_add " + size, {{Role::added, n}, {Role::input, 9 * width}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                scatter_rows_add(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], 9, width),
                                                 t.on_device(index->data(), index->size()));
                              }));
  }
  for (const auto& each : {std::array{1, 1, 1, 0}, {3, 9, 7, 0}, {8, 50, 96, 3}, {5, 4, 768, 5}}) {
    const int batch = each[0], capacity = each[1], width = each[2], stride = width + each[3];
    const auto pasts = random_ids(batch, capacity, 3);
    table.push_back(make_case(fmt::format("append_rows {}x{}x{}", batch, capacity, width),
                              {{Role::added, std::int64_t(batch) * capacity * width}, {Role::input, batch * stride}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                append_rows(b, Rows<T>(t[0], batch * capacity, width),
                                            Rows<T>(t[1], batch, width, stride),
                                            t.on_device(pasts->data(), pasts->size()));
                              }));
  }
  return table;
}

}  // namespace moderngpt2::cases
