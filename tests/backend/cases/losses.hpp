#pragma once

#include <string>
#include <vector>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// Labels of which every fifth is ignored.
inline std::shared_ptr<const std::vector<int>> some_labels(int rows, int vocab) {
  auto labels = std::make_shared<std::vector<int>>(*random_ids(rows, vocab, 8));
  for (int i = 2; i < rows; i += 5) (*labels)[std::size_t(i)] = ignored_label;
  return labels;
}

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

/// The losses of the heads, with gradients and without.
inline std::vector<Case> loss_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::pair{1, 1}, {3, 2}, {20, 7}, {9, 1500}})
    for (double deviation : {1.0, 15.0})
      for (bool gradient : {true, false}) {
        const int rows = each.first, width = each.second;
        const auto labels = some_labels(rows, width);
        const std::int64_t n = std::int64_t(rows) * width;
        const std::string size = fmt::format("{}x{} size {}{}", rows, width, deviation, gradient ? " gradient" : "");
        const TensorSpec out{gradient ? Role::output : Role::input, n}, logits{Role::input, n, deviation},
            targets{Role::input, n, 0.5};
        auto add = [&](Case c) {
          c.tolerance = deviation > 1 ? 2e-5 : 3e-6;
          table.push_back(std::move(c));
        };
        auto d = [=](const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          return gradient ? Rows<T>(t[0], rows, width) : Rows<T>();
        };
        add(make_case<false>("cross_entropy " + size, {out, logits}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          return double(cross_entropy(b, d(t), Rows<T>(t[1], rows, width), labels->data(), T(0.25)));
        }));
        add(make_case<false>("mean_squared_error " + size, {out, logits, targets}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          return double(mean_squared_error(b, d(t), Rows<T>(t[1], rows, width), t[2], T(0.25)));
        }));
        add(make_case<false>("binary_cross_entropy " + size, {out, logits, targets}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          return double(binary_cross_entropy(b, d(t), Rows<T>(t[1], rows, width), t[2], T(0.25)));
        }));
      }
  return table;
}

}  // namespace moderngpt2::cases
