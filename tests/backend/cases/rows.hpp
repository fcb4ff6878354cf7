#pragma once

#include <array>
#include <cmath>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "moderngpt2/config/config.hpp"

namespace moderngpt2::cases {

/// rotary forward and backward on a slice of wider rows, from a position on.
inline std::vector<Case> rotary_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 1, 2, 0}, {2, 5, 3, 6, 4}, {2, 33, 4, 64, 0}, {1, 7, 2, 36, 9}})
    for (bool backward : {false, true}) {
      const int batch = each[0], time = each[1], heads = each[2], head_dim = each[3], past = each[4];
      const int width = heads * head_dim, stride = width + 5, rows = batch * time, half = head_dim / 2;
      table.push_back(
          make_case(fmt::format("rotary{} B{} T{} H{} D{} past {}", backward ? "_backward" : "", batch, time, heads,
                                head_dim, past),
                    {{Role::added, std::int64_t(rows) * stride}}, [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      std::vector<real_t<T>> cosine, sine;
                      for (int p = 0; p < past + time; ++p)
                        for (int i = 0; i < half; ++i) {
                          cosine.push_back(real_t<T>(float(std::cos(p * std::pow(1e4, -2.0 * i / head_dim)))));
                          sine.push_back(real_t<T>(float(std::sin(p * std::pow(1e4, -2.0 * i / head_dim)))));
                        }
                      const RotaryTable<real_t<T>> table{cosine.data(), sine.data(), half, past + time};
                      if (backward)
                        rotary_backward(b, Rows<T>(t[0], rows, width, stride), table, time, past, T(0.25));
                      else
                        rotary(b, Rows<T>(t[0], rows, width, stride), table, time, past, T(0.25));
                    }));
    }
  return table;
}

/// gated_activation forward and backward, the latter also in place.
inline std::vector<Case> activation_cases() {
  std::vector<Case> table;
  for (int a = 0; a <= int(Activation::sigmoid); ++a)
    for (const auto& each : {std::array{1, 1}, {5, 7}, {9, 48}}) {
      const int rows = each[0], width = each[1];
      const auto activation = Activation(a);
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
