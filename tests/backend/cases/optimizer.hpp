#pragma once

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// AdamW with and without a rounded copy, the sum of squares, cast both ways and fill; `shift`: elements from an
/// address that is good for whole registers and packs.
inline std::vector<Case> optimizer_cases() {
  std::vector<Case> table;
  for (std::int64_t n : {1, 7, 16, 1001, 50021}) {
    const TensorSpec moment{Role::added, n, 0.1, true}, square{Role::added, n, 1, true, true};
    for (std::int64_t step : {1, 2, 1000})
      table.push_back(make_case(
          fmt::format("adamw {} step {}", n, step),
          {{Role::added, n, 1, true}, moment, square, {Role::input, n, 1, true}, {Role::output, n}},
          [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            const AdamWStep call{.learning_rate = 1e-2, .weight_decay = 0.1, .gradient_scale = 0.7, .step = step};
            if constexpr (sizeof(T) == 2) {
              adamw(b, t.full(0), t.full(1), t.full(2), t.full(3), n, call, t[4]);
            } else {
              adamw(b, t.full(0), t.full(1), t.full(2), t.full(3), n, call);
              cast(b, t[4], t.full(0), n);
            }
          }));
    for (int shift : {0, 1}) {
      const std::string size = fmt::format("{}{}", n, shift ? " shifted" : "");
      const TensorSpec out{Role::added, n + shift}, in{Role::input, n + shift};
      TensorSpec full_out = out, full_in = in;
      full_out.full = full_in.full = true;
      table.push_back(make_case("sum_of_squares " + size, {in},
                                [=](auto& b, const auto& t) { return double(sum_of_squares(b, t[0] + shift, n)); }));
      table.push_back(make_case("cast to T " + size, {out, full_in},
                                [=](auto& b, const auto& t) { cast(b, t[0] + shift, t.full(1) + shift, n); }));
      table.push_back(make_case("cast from T " + size, {full_out, in},
                                [=](auto& b, const auto& t) { cast(b, t.full(0) + shift, t[1] + shift, n); }));
      table.push_back(make_case("fill " + size, {out}, [=](auto& b, const auto& t) {
        using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
        fill(b, t[0] + shift, n, T(3.25f));
      }));
    }
  }
  return table;
}

}  // namespace moderngpt2::cases
