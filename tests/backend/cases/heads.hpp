#pragma once

#include <array>
#include <string_view>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "backend/user_activations.hpp"
#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/backend/register_activation.hpp"

namespace moderngpt2::cases {

/// The small operations of the heads: copies of strided rows, activations of scores, means of consecutive rows.
inline std::vector<Case> heads_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 1}, {3, 5, 7}, {2, 9, 64}, {4, 3, 300}}) {
    const int n = each[0], time = each[1], width = each[2], rows = n * time, stride = width + 3;
    const std::int64_t few = std::int64_t(n) * width, all = std::int64_t(rows) * width;
    const std::string size = fmt::format("{}x{}x{}", n, time, width);
    Case copy = make_case("copy_rows " + size, {{Role::output, std::int64_t(rows) * stride}, {Role::input, all}},
                          [=](auto& b, const auto& t) {
                            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                            copy_rows(b, Rows<T>(t[0], rows, width, stride), Rows<T>(t[1], rows, width));
                          });
    copy.unread = {0};
    table.push_back(std::move(copy));
    table.push_back(make_case("copy_rows of columns " + size,
                              {{Role::output, all}, {Role::input, std::int64_t(rows) * stride}},
                              [=](auto& b, const auto& t) {
                                using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                copy_rows(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, stride).columns(2, width));
                              }));
    const auto add_activation = [&](std::string_view name, auto a) {
      table.push_back(make_case(fmt::format("activation {} {}", name, size), {{Role::output, all}, {Role::input, all}},
                                [=](auto& b, const auto& t) {
                                  using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                  activation(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, width), a);
                                }));
      table.push_back(make_case(fmt::format("activation_backward {} {}", name, size),
                                {{Role::added, all}, {Role::input, all}}, [=](auto& b, const auto& t) {
                                  using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                  activation_backward(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, width), a);
                                }));
    };
    for (const Activation a : {Activation::tanh, Activation::gelu, register_activation<test::Snake>()})
      add_activation(activation_name(a), a);
    add_activation("functor star_relu", test::StarRelu());
    table.push_back(
        make_case("mean_rows " + size, {{Role::output, few}, {Role::input, all}}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          mean_rows(b, Rows<T>(t[0], n, width), Rows<T>(t[1], rows, width));
        }));
    table.push_back(
        make_case("mean_rows_backward " + size, {{Role::added, all}, {Role::input, few}}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          mean_rows_backward(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], n, width));
        }));
  }
  return table;
}

}  // namespace moderngpt2::cases
