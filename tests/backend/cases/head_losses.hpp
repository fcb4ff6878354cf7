#pragma once

#include <memory>
#include <string>
#include <utility>
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
        for (const double smoothing : {0.0, 0.1})
          add(make_case<false>(fmt::format("cross_entropy {} smoothing {}", size, smoothing), {out, logits},
                               [=](auto& b, const auto& t) {
                                 using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                 return double(cross_entropy(b, d(t), Rows<T>(t[1], rows, width),
                                                             t.on_device(labels->data(), labels->size()), T(0.25),
                                                             T(smoothing)));
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
