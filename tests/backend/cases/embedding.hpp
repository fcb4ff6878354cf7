#pragma once

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// embedding, its backward and dropout alone; ids of one, two and three bytes, and of more rows than one tile sorts.
inline std::vector<Case> embedding_cases() {
  std::vector<Case> table;
  struct Size {
    int batch, time, width, vocab;
  };
  for (const Size& each : {Size{1, 1, 1, 1}, Size{2, 5, 7, 23}, Size{3, 40, 130, 23}, Size{2, 64, 768, 23},
                           Size{2, 600, 8, 300}, Size{1, 50, 2, 70'000}})
    for (double rate : {0.0, 0.5}) {
      const int batch = each.batch, time = each.time, width = each.width, vocab = each.vocab, rows = batch * time;
      const auto ids = random_ids(rows, vocab, 5);
      const Dropout d{rate, 77, 3};
      const std::int64_t n = std::int64_t(rows) * width;
      const std::string size = fmt::format("B{} T{} C{} V{} dropout {}", batch, time, width, vocab, rate);
      table.push_back(make_case("embedding " + size, {{Role::output, n}, {Role::input, std::int64_t(vocab) * width}},
                                [=](auto& b, const auto& t) {
                                  using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                  embedding(b, Rows<T>(t[0], rows, width), t.on_device(ids->data(), ids->size()),
                                            Matrix<T>{t[1], vocab, width}, T(3.25), time, d);
                                }));
      table.push_back(make_case(
          "embedding_backward " + size, {{Role::added, std::int64_t(vocab) * width, 1, true}, {Role::input, n}},
          [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            embedding_backward(b, Matrix<full_of<std::remove_cvref_t<decltype(t)>>>{t.full(0), vocab, width},
                               t.on_device(ids->data(), ids->size()), Rows<T>(t[1], rows, width), T(3.25), time, d);
          }));
      table.push_back(make_case("dropout " + size, {{Role::added, n}}, [=](auto& b, const auto& t) {
        using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
        dropout(b, Rows<T>(t[0], rows, width), time, d);
      }));
    }
  return table;
}

}  // namespace moderngpt2::cases
