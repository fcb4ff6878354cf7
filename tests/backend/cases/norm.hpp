#pragma once

#include <array>

#include <fmt/core.h>

#include "backend/cases.hpp"

namespace moderngpt2::cases {

/// rms_norm, add_norm and their backward passes.
inline std::vector<Case> norm_cases() {
  std::vector<Case> table;
  for (const auto& each : {std::array{1, 1, 2}, {1, 3, 7}, {2, 20, 33}, {5, 13, 100}, {2, 64, 768}, {1, 3, 2304}})
    for (double rate : {0.0, 0.5}) {
      const int batch = each[0], time = each[1], width = each[2], rows = batch * time;
      const std::int64_t n = std::int64_t(rows) * width;
      const Dropout d{rate, 78, 1};
      const std::string size = fmt::format("B{} T{} C{}", batch, time, width);
      const std::string dropped = size + fmt::format(" dropout {}", rate);
      const TensorSpec x{Role::input, n}, gain{Role::input, width, 0.3, true}, dgain{Role::added, width, 1, true},
          out{Role::output, n}, inout{Role::added, n};
      if (rate == 0) {
        table.push_back(make_case("rms_norm " + size, {out, x, gain}, [=](auto& b, const auto& t) {
          using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
          rms_norm(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, width),
                   Vector<full_of<std::remove_cvref_t<decltype(t)>>>{t.full(2), width}, T(1e-6));
        }));
        for (bool accumulate : {false, true})
          table.push_back(make_case("rms_norm_backward " + size + (accumulate ? " accumulate" : ""),
                                    {accumulate ? inout : out, dgain, x, x, gain}, [=](auto& b, const auto& t) {
                                      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
                                      using F = full_of<std::remove_cvref_t<decltype(t)>>;
                                      rms_norm_backward(b, Rows<T>(t[0], rows, width), Vector<F>{t.full(1), width},
                                                        Rows<T>(t[2], rows, width), Rows<T>(t[3], rows, width),
                                                        Vector<F>{t.full(4), width}, T(1e-6), accumulate);
                                    }));
      }
      table.push_back(make_case("add_norm " + dropped, {out, out, x, inout, gain, gain}, [=](auto& b, const auto& t) {
        using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
        using F = full_of<std::remove_cvref_t<decltype(t)>>;
        add_norm(b, Rows<T>(t[0], rows, width), Rows<T>(t[1], rows, width), Rows<T>(t[2], rows, width),
                 Rows<T>(t[3], rows, width), Vector<F>{t.full(4), width}, Vector<F>{t.full(5), width}, T(1e-6), time,
                 d);
      }));
      Case backward = make_case(
          "add_norm_backward " + dropped, {inout, out, dgain, dgain, x, x, x, gain, gain}, [=](auto& b, const auto& t) {
            using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
            using F = full_of<std::remove_cvref_t<decltype(t)>>;
            auto r = [&](int i) { return Rows<T>(t[std::size_t(i)], rows, width); };
            auto v = [&](int i) { return Vector<F>{t.full(std::size_t(i)), width}; };
            add_norm_backward(b, r(0), r(1), v(2), v(3), r(4), r(5), r(6), v(7), v(8), T(1e-6), time, d);
          });
      if (width == 2)
        backward.tolerance = 1e-4;  // the norm of two channels is almost constant: its gradient is rounding
      table.push_back(std::move(backward));
    }
  for (const auto& [rows, width] : {std::array{40, 33}, {3, 2304}}) {  // without gain
    const int n = rows, c = width;
    const TensorSpec x{Role::input, std::int64_t(rows) * width}, out{Role::output, x.size}, inout{Role::added, x.size};
    const std::string size = fmt::format("without gain N{} C{}", rows, width);
    table.push_back(make_case("rms_norm " + size, {out, x}, [=](auto& b, const auto& t) {
      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
      using F = full_of<std::remove_cvref_t<decltype(t)>>;
      rms_norm(b, Rows<T>(t[0], n, c), Rows<T>(t[1], n, c), Vector<F>{}, T(1e-6));
    }));
    table.push_back(make_case("rms_norm_backward " + size, {inout, x, x}, [=](auto& b, const auto& t) {
      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
      using F = full_of<std::remove_cvref_t<decltype(t)>>;
      rms_norm_backward(b, Rows<T>(t[0], n, c), Vector<F>{}, Rows<T>(t[1], n, c), Rows<T>(t[2], n, c), Vector<F>{},
                        T(1e-6), true);
    }));
    table.push_back(make_case("add_norm " + size, {out, out, x, inout}, [=](auto& b, const auto& t) {
      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
      using F = full_of<std::remove_cvref_t<decltype(t)>>;
      auto r = [&](int i) { return Rows<T>(t[std::size_t(i)], n, c); };
      add_norm(b, r(0), r(1), r(2), r(3), Vector<F>{}, Vector<F>{}, T(1e-6), n, Dropout{});
    }));
    table.push_back(make_case("add_norm_backward " + size, {inout, out, x, x, x}, [=](auto& b, const auto& t) {
      using T = scalar_of<std::remove_cvref_t<decltype(t)>>;
      using F = full_of<std::remove_cvref_t<decltype(t)>>;
      auto r = [&](int i) { return Rows<T>(t[std::size_t(i)], n, c); };
      add_norm_backward(b, r(0), r(1), Vector<F>{}, Vector<F>{}, r(2), r(3), r(4), Vector<F>{}, Vector<F>{}, T(1e-6), n,
                        Dropout{});
    }));
  }
  return table;
}

}  // namespace moderngpt2::cases
