#pragma once

#include <string>
#include <vector>

#include <fmt/core.h>

#include "backend/cases.hpp"
#include "backend/cases/head_losses.hpp"

namespace moderngpt2::cases {

/// The classifier, its forward-only variant, and logits; with a vocabulary of 600,000 for so many tokens: 37 are
/// several chunks of them on a CPU.
inline std::vector<Case> classifier_cases(int rows_of_large = 37) {
  std::vector<Case> table;
  struct Size {
    int rows, width, vocab;
    double deviation;
  };
  for (const Size& each : {Size{1, 4, 3, 1}, Size{7, 5, 11, 1}, Size{33, 64, 1030, 1}, Size{20, 8, 50, 20},
                           Size{rows_of_large, 3, 600'000, 1}})
    for (float softcap : {0.0f, 5.0f}) {
      const int rows = each.rows, width = each.width, vocab = each.vocab;
      const double smoothing = vocab == 11 || vocab == 1030 ? 0.2 : 0;
      const double deviation = each.deviation;
      if (softcap > 0 && vocab > 100'000) continue;
      const auto labels = some_labels(rows, vocab);
      const std::int64_t hidden = std::int64_t(rows) * width, weights = std::int64_t(vocab) * width;
      const std::string size =
          fmt::format("{}x{} V{} size {} cap {} smoothing {}", rows, width, vocab, deviation, softcap, smoothing);
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
                                               t.on_device(labels->data(), labels->size()), T(softcap), T(0.125),
                                               T(smoothing)));
                    }),
          6);
      add(make_case("classifier_loss " + size, {{Role::input, hidden, deviation}, {Role::input, weights}},
                    [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      return double(classifier_loss(b, Rows<const T>(t[0], rows, width), Matrix<T>{t[1], vocab, width},
                                                    t.on_device(labels->data(), labels->size()), T(softcap),
                                                    T(smoothing)));
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

}  // namespace moderngpt2::cases
