#pragma once

#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// rotary forward and backward on a slice of wider rows, from a position on; forward also with a position for each
/// sequence.
inline std::vector<Case> rotary_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 1, 2, 0, 5},
                           {2, 5, 3, 6, 4, 5},
                           {2, 33, 4, 64, 0, 0},
                           {1, 3, 36, 128, 5, 8},
                           {1, 7, 2, 36, 9, 5}})
    for (const char* name : {"rotary", "rotary_backward", "rotary of unequal lengths"}) {
      const int batch = each[0], time = each[1], heads = each[2], head_dim = each[3], past = each[4], extra = each[5];
      const int width = heads * head_dim, stride = width + extra, rows = batch * time, half = head_dim / 2;
      const bool backward = name == std::string_view("rotary_backward"), unequal = !backward && name[6] != 0;
      const auto pasts = random_ids(batch, past + 1, 5);
      table.push_back(
          make_case(fmt::format("{} B{} T{} H{} D{} past {}", name, batch, time, heads, head_dim, past),
                    {{Role::added, std::int64_t(rows) * stride}}, [=](auto& b, const auto& t) {
                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                      std::vector<real_t<T>> cosine, sine;
                      for (int p = 0; p < past + time; ++p)
                        for (int i = 0; i < half; ++i) {
                          cosine.push_back(real_t<T>(float(std::cos(p * std::pow(1e4, -2.0 * i / head_dim)))));
                          sine.push_back(real_t<T>(float(std::sin(p * std::pow(1e4, -2.0 * i / head_dim)))));
                        }
                      const RotaryTable<real_t<T>> table{t.on_device(cosine.data(), cosine.size()),
                                                         t.on_device(sine.data(), sine.size()), half, past + time};
                      if (unequal)
                        rotary(b, Rows<T>(t[0], rows, width, stride), table, time,
                               t.on_device(pasts->data(), pasts->size()), T(0.25));
                      else if (backward)
                        rotary_backward(b, Rows<T>(t[0], rows, width, stride), table, time, past, T(0.25));
                      else
                        rotary(b, Rows<T>(t[0], rows, width, stride), table, time, past, T(0.25));
                    }));
    }
  return table;
}

}  // namespace moderngpt2::cases
