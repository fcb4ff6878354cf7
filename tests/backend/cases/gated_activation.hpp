#pragma once

#include <array>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "moderngpt2/config/config.hpp"

namespace moderngpt2::cases {

/// gated_activation forward and backward, the latter also in place.
inline std::vector<Case> activation_cases() {
  std::vector<Case> table;
  for (const auto& word : words_of(Activation()))
    for (const auto& each : {std::array{1, 1}, {5, 7}, {9, 48}, {2, 2304}, {1, 2305}}) {
      const int rows = each[0], width = each[1];
      const Activation activation = word.second;
      const std::string size = fmt::format("{} {}x{}", activation_name(activation), rows, width);
      const std::int64_t n = std::int64_t(rows) * width;
      table.push_back(make_case(
          "gated_activation " + size, {{Role::output, n}, {Role::input, 2 * n, 3}}, [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            gated_activation(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, 2 * width), activation);
          }));
      table.push_back(
          make_case("gated_activation_backward " + size,
                    {{Role::output, 2 * n}, {Role::input, n}, {Role::input, 2 * n, 3}}, [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      gated_activation_backward(b, Rows<T>(t[0], rows, 2 * width), Rows<T>(t[1], rows, width),
                                                Rows<T>(t[2], rows, 2 * width), activation);
                    }));
      table.push_back(make_case("gated_activation_backward in place " + size,
                                {{Role::added, 2 * n, 3}, {Role::input, n}}, [=](auto& b, const auto& t) {
                                  using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                  gated_activation_backward(b, Rows<T>(t[0], rows, 2 * width),
                                                            Rows<T>(t[1], rows, width), Rows<T>(t[0], rows, 2 * width),
                                                            activation);
                                }));
    }
  return table;
}

}  // namespace moderngpt2::cases
