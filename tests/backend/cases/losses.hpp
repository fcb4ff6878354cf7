#pragma once

#include <string>
#include <vector>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "backend/cases/head_losses.hpp"

namespace moderngpt2::cases {

/// The classifier (over several chunks of tokens too), its forward-only variant, and logits.
inline std::vector<Case> classifier_cases() {
  std::vector<Case> table;
  struct Size {
    int rows, width, vocab;
    double deviation;
  };
  for (const Size& each :
       {Size{1, 4, 3, 1}, Size{7, 5, 11, 1}, Size{33, 64, 1030, 1}, Size{20, 8, 50, 20}, Size{37, 3, 600'000, 1}})
    for (float softcap : {0.0f, 5.0f}) {
      const int rows = each.rows, width = each.width, vocab = each.vocab;
      const double deviation = each.deviation;
      if (softcap > 0 && vocab > 100'000) continue;
      const auto labels = some_labels(rows, vocab);
      const std::int64_t hidden = std::int64_t(rows) * width, weights = std::int64_t(vocab) * width;
      const std::string size = fmt::format("{}x{} V{} size {} cap {}", rows, width, vocab, deviation, softcap);
      auto add = [&](Case c, double flops) {
        c.flops = flops * double(rows) * double(weights), c.any_thread_count = false;
        c.tolerance = deviation > 1 ? 1e-4 : 5e-6;  // the logits themselves are rounded
        table.push_back(std::move(c));
      };
      add(make_case("classifier " + size,
                    {{Role::output, hidden},
                     {Role::added, weights, 0.01, true},
                     {Role::input, hidden, deviation},
                     {Role::input, weights}},
                    [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      using F = full_of<std::remove_cvref_t<decltype(t)>>;
                      return double(classifier(b, Rows<T>(t[0], rows, width), Matrix<F>{t.full(1), vocab, width},
                                               Rows<T>(t[2], rows, width), Matrix<T>{t[3], vocab, width},
                                               labels->data(), T(softcap), T(0.125)));
                    }),
          6);
      add(make_case("classifier_loss " + size, {{Role::input, hidden, deviation}, {Role::input, weights}},
                    [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      return double(classifier_loss(b, Rows<const T>(t[0], rows, width), Matrix<T>{t[1], vocab, width},
                                                    labels->data(), T(softcap)));
                    }),
          2);
      if (vocab > 100'000) continue;
      add(make_case("logits " + size,
                    {{Role::output, std::int64_t(rows) * vocab, 1, true},
                     {Role::input, hidden, deviation},
                     {Role::input, weights}},
                    [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      using F = full_of<std::remove_cvref_t<decltype(t)>>;
                      logits(b, Rows<F>(t.full(0), rows, vocab), Rows<T>(t[1], rows, width),
                             Matrix<T>{t[2], vocab, width}, T(softcap));
                    }),
          2);
    }
  return table;
}

/// AdamW and the sum of squares.
inline std::vector<Case> optimizer_cases() {
  std::vector<Case> table;
  for (std::int64_t n : {1, 7, 16, 1001, 50021}) {
    for (std::int64_t step : {1, 2, 1000})
      table.push_back(make_case<false>(
          fmt::format("adamw {} step {}", n, step),
          {{Role::added, n}, {Role::added, n, 0.1}, {Role::added, n}, {Role::input, n}}, [=](auto& b, const auto& t) {
            for (std::int64_t i = 0; i < n; ++i) t[2][i] *= t[2][i];  // a second moment is not negative
            adamw(b, t[0], t[1], t[2], t[3], n,
                  {.learning_rate = 1e-2, .weight_decay = 0.1, .gradient_scale = 0.7, .step = step});
          }));
    table.push_back(make_case(fmt::format("sum_of_squares {}", n), {{Role::input, n}},
                              [=](auto& b, const auto& t) { return double(sum_of_squares(b, t[0], n)); }));
  }
  return table;
}

}  // namespace moderngpt2::cases
