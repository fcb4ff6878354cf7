#pragma once

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// The products, with rows apart by more than their width.
inline std::vector<Case> matmul_cases() {
  std::vector<Case> table;
  struct Size {
    int rows, in, out, extra;
  };
  for (const Size& each : {Size{1, 1, 1, 0}, Size{1, 768, 96, 0}, Size{2, 40, 131, 1}, Size{3, 5, 7, 2},
                           Size{4, 47, 10, 0}, Size{5, 99, 50, 3}, Size{8, 64, 700, 0}, Size{9, 33, 20, 1},
                           Size{17, 33, 65, 5}, Size{64, 128, 48, 16}, Size{131, 257, 63, 1}, Size{260, 530, 520, 3}}) {
    const int rows = each.rows, in = each.in, out = each.out, extra = each.extra;
    const int xs = in + extra, ys = out + 2 * extra;
    const std::string size = fmt::format("{}x{}x{}+{}", rows, in, out, extra);
    const double flops = 2.0 * rows * in * out;
    const double weight = 1 / std::sqrt(double(in));
    auto add = [&](Case c, bool any_thread_count = false) {
      c.flops = flops, c.any_thread_count = any_thread_count;
      table.push_back(std::move(c));
    };
    for (bool bias : {false, true}) {
      Case c = make_case("matmul " + size + (bias ? " bias" : ""),
                         {{Role::output, std::int64_t(rows) * ys},
                          {Role::input, std::int64_t(rows) * xs},
                          {Role::input, std::int64_t(in) * out, weight},
                          {Role::input, out, 1, true}},
                         [=](auto& b, const auto& t) {
                           using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                           using F = full_of<std::remove_cvref_t<decltype(t)>>;
                           matmul(b, Rows<T>(t[0], rows, out, ys), Rows<T>(t[1], rows, in, xs),
                                  Matrix<T>{t[2], out, in}, bias ? Vector<F>{t.full(3), out} : Vector<F>{});
                         });
      if (extra > 0) c.unread = {0};
      add(std::move(c));
    }
    for (bool accumulate : {false, true}) {
      Case c = make_case("matmul_backward_input " + size + (accumulate ? " accumulate" : ""),
                         {{accumulate ? Role::added : Role::output, std::int64_t(rows) * xs},
                          {Role::input, std::int64_t(rows) * ys},
                          {Role::input, std::int64_t(in) * out, 1 / std::sqrt(double(out))}},
                         [=](auto& b, const auto& t) {
                           using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                           matmul_backward_input(b, Rows<T>(t[0], rows, in, xs), Rows<T>(t[1], rows, out, ys),
                                                 Matrix<T>{t[2], out, in}, accumulate);
                         });
      if (extra > 0 && !accumulate) c.unread = {0};
      add(std::move(c));
    }
    add(make_case("matmul_backward_weight " + size,
                  {{Role::added, std::int64_t(in) * out, 1, true},
                   {Role::input, std::int64_t(rows) * ys},
                   {Role::input, std::int64_t(rows) * xs}},
                  [=](auto& b, const auto& t) {
                    using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                    matmul_backward_weight(b, Matrix<full_of<std::remove_cvref_t<decltype(t)>>>{t.full(0), out, in},
                                           Rows<T>(t[1], rows, out, ys), Rows<T>(t[2], rows, in, xs));
                  }));
  }
  return table;
}

}  // namespace moderngpt2::cases
