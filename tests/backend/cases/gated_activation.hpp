#pragma once

#include <array>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "backend/user_activations.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/config/config.hpp"

namespace moderngpt2::cases {

/// Adds gated_activation forward and backward, the latter also in place. `activation`: an Activation or a functor.
template <class A>
void add_activation_cases(std::vector<Case>& table, std::string_view name, A activation) {
  for (const auto& each : {std::array{1, 1}, {5, 7}, {9, 48}, {2, 2304}, {1, 2305}}) {
    const int rows = each[0], width = each[1];
    const std::string size = fmt::format("{} {}x{}", name, rows, width);
    const std::int64_t n = std::int64_t(rows) * width;
    table.push_back(make_case(
        "gated_activation " + size, {{Role::output, n}, {Role::input, 2 * n, 3}}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          gated_activation(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, 2 * width), activation);
        }));
    table.push_back(make_case("gated_activation_backward " + size,
                              {{Role::output, 2 * n}, {Role::input, n}, {Role::input, 2 * n, 3}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                gated_activation_backward(b, Rows<T>(t[0], rows, 2 * width), Rows<T>(t[1], rows, width),
                                                          Rows<T>(t[2], rows, 2 * width), activation);
                              }));
    table.push_back(make_case("gated_activation_backward in place " + size, {{Role::added, 2 * n, 3}, {Role::input, n}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                gated_activation_backward(b, Rows<T>(t[0], rows, 2 * width), Rows<T>(t[1], rows, width),
                                                          Rows<T>(t[0], rows, 2 * width), activation);
                              }));
  }
}

/// All built-in activations.
inline std::vector<Case> activation_cases() {
  std::vector<Case> table;
  for (const auto& [name, activation] : detail::built_in_activations) add_activation_cases(table, name, activation);
  return table;
}

/// Activations of a program: functors, and the same registered.
inline std::vector<Case> user_activation_cases() {
  std::vector<Case> table;
  add_activation_cases(table, "functor star_relu", test::StarRelu());
  add_activation_cases(table, "functor snake", test::Snake());
  add_activation_cases(table, "registered star_relu", register_activation<test::StarRelu>());
  add_activation_cases(table, "registered snake", register_activation<test::Snake>());
  return table;
}

}  // namespace moderngpt2::cases
