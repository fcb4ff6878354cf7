#pragma once

#include <array>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// embedding and its backward; gather_rows and scatter_rows_add.
inline std::vector<Case> embedding_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 1}, {2, 5, 7}, {3, 40, 130}, {2, 64, 768}})
    for (double rate : {0.0, 0.5}) {
      const int batch = each[0], time = each[1], width = each[2], vocab = 23, rows = batch * time;
      const auto ids = random_ids(rows, vocab, 5);
      const Dropout d{rate, 77, 3};
      const std::int64_t n = std::int64_t(rows) * width;
      const std::string size = fmt::format("B{} T{} C{} dropout {}", batch, time, width, rate);
      table.push_back(make_case(
          "embedding " + size, {{Role::output, n}, {Role::input, std::int64_t(vocab) * width}},
          [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            embedding(b, Rows<T>(t[0], rows, width), ids->data(), Matrix<T>{t[1], vocab, width}, T(3.25), time, d);
          }));
      table.push_back(make_case(
          "embedding_backward " + size, {{Role::added, std::int64_t(vocab) * width, 1, true}, {Role::input, n}},
          [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            embedding_backward(b, Matrix<full_of<std::remove_cvref_t<decltype(t)>>>{t.full(0), vocab, width},
                               ids->data(), Rows<T>(t[1], rows, width), T(3.25), time, d);
          }));
      const auto index = random_ids(9, rows, 6);
      table.push_back(
          make_case("gather_rows " + size, {{Role::output, 9 * width}, {Role::input, n}}, [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            gather_rows(b, Rows<T>(t[0], 9, width), Rows<T>(t[1], rows, width), index->data());
          }));
      table.push_back(make_case(
          "scatter_rows_add " + size, {{Role::added, n}, {Role::input, 9 * width}}, [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            scatter_rows_add(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], 9, width), index->data());
          }));
    }
  return table;
}

}  // namespace moderngpt2::cases
