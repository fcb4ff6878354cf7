#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu/simd.hpp"

using namespace moderngpt2::cpu;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

float one(f32v (*f)(f32v), float x) { return f(broadcast(x))[lanes - 1]; }

/// Largest error in units of the last place of the true value, over about `count` values of [low, high].
template <class True>
double worst_ulp(f32v (*f)(f32v), True want, double low, double high, int count) {
  double worst = 0;
  for (int i = 0; i <= count; ++i) {
    const float x = float(low + (high - low) * i / count);
    const double exact = want(double(x));
    const float rounded = float(exact);
    const double ulp = std::nextafter(std::abs(rounded), infinity) - std::abs(rounded);
    worst = std::max(worst, std::abs(double(one(f, x)) - exact) / ulp);
  }
  return worst;
}

}  // namespace

TEST_CASE("exponential: accuracy") {
  auto exact = [](double x) { return std::exp(x); };
  CHECK(worst_ulp(exponential, exact, -87, 88, 200000) < 2);
  CHECK(worst_ulp(exponential, exact, -1, 1, 100000) < 2);
  CHECK(worst_ulp(exponential, exact, 88, 88.7, 10000) < 20);  // the polynomial is used beyond its range here
}

TEST_CASE("exponential: ends, infinities and NaN") {
  CHECK(one(exponential, 0) == 1);
  CHECK(one(exponential, -0.0f) == 1);
  CHECK(one(exponential, -infinity) == 0);
  CHECK(one(exponential, infinity) == infinity);
  CHECK(one(exponential, 1e30f) == infinity);
  CHECK(one(exponential, -1e30f) == 0);
  CHECK(one(exponential, -100) == 0);
  CHECK(one(exponential, 88.8f) == infinity);
  CHECK(std::isfinite(one(exponential, 88.7f)));
  CHECK(std::isnan(one(exponential, not_a_number)));
}

TEST_CASE("tanh: accuracy") {
  auto exact = [](double x) { return std::tanh(x); };
  CHECK(worst_ulp(hyperbolic_tangent, exact, -0.7, 0.7, 100000) < 3);
  CHECK(worst_ulp(hyperbolic_tangent, exact, -12, 12, 100000) < 3);
  CHECK(worst_ulp(hyperbolic_tangent, exact, 1e-30, 1e-20, 1000) < 1);
}

TEST_CASE("tanh and sigmoid: ends, infinities and NaN") {
  CHECK(one(hyperbolic_tangent, 0) == 0);
  CHECK(one(hyperbolic_tangent, -0.0f) == 0);
  CHECK(one(hyperbolic_tangent, infinity) == 1);
  CHECK(one(hyperbolic_tangent, -infinity) == -1);
  CHECK(one(hyperbolic_tangent, 1e30f) == 1);
  CHECK(std::isnan(one(hyperbolic_tangent, not_a_number)));
  CHECK(one(sigmoid, infinity) == 1);
  CHECK(one(sigmoid, -infinity) == 0);
  CHECK(one(sigmoid, 0) == 0.5f);
  CHECK(std::isnan(one(sigmoid, not_a_number)));
}

TEST_CASE("partial loads and stores touch only their elements") {
  for (int n = 0; n < lanes; ++n) {
    std::vector<float> from(std::size_t(lanes), 3.0f), to(std::size_t(lanes), 7.0f);
    const f32v v = load(from.data(), Part{n});
    for (int i = 0; i < lanes; ++i) CHECK(v[i] == (i < n ? 3.0f : 0.0f));
    store(to.data(), v, Part{n});
    for (int i = 0; i < lanes; ++i) CHECK(to[std::size_t(i)] == (i < n ? 3.0f : 7.0f));
  }
}

TEST_CASE("bf16: loads are exact, stores round to nearest even, NaN stays NaN") {
  std::vector<float> values{0.0f,     -0.0f,     1.0f,         1.00390625f, 1.01171875f, 3.4e38f, 1e-40f,
                            infinity, -infinity, not_a_number, -1.2345f,    65504.0f,    1e-45f,  7.7f};
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const float any = std::bit_cast<float>(i * 2654435761u);
    values.push_back(any);
  }
  values.resize(values.size() / std::size_t(lanes) * std::size_t(lanes));
  std::vector<moderngpt2::bf16> to(std::size_t(lanes) + 1, moderngpt2::bf16(9.0f));
  for (std::size_t at = 0; at < values.size(); at += std::size_t(lanes)) {
    store(to.data(), load(values.data() + at));
    const f32v back = load(to.data());
    for (int i = 0; i < lanes; ++i) {
      const float x = values[at + std::size_t(i)];
      REQUIRE(to[std::size_t(i)].bits == moderngpt2::bf16(x).bits);
      REQUIRE(std::bit_cast<std::uint32_t>(float(back[i])) == std::uint32_t(to[std::size_t(i)].bits) << 16);
    }
  }
  CHECK(float(to.back()) == 9.0f);
  for (int n = 0; n < lanes; ++n) {
    std::fill(to.begin(), to.end(), moderngpt2::bf16(5.0f));
    store(to.data(), broadcast(2.0f), Part{n});
    const f32v v = load(to.data(), Part{n});
    for (int i = 0; i < lanes; ++i) {
      CHECK(float(to[std::size_t(i)]) == (i < n ? 2.0f : 5.0f));
      CHECK(v[i] == (i < n ? 2.0f : 0.0f));
    }
  }
}

TEST_CASE("dot, sum and largest over every length") {
  for (int n = 1; n < 3 * lanes + 2; ++n) {
    std::vector<float> a, b;
    double want = 0;
    float most = -infinity;
    for (int i = 0; i < n; ++i) {
      a.push_back(float((i * 7) % 11 - 5)), b.push_back(float((i * 3) % 5 - 2));
      want += double(a.back()) * b.back(), most = std::max(most, a.back());
    }
    CHECK(dot(a.data(), b.data(), n) == want);
    CHECK(largest(-infinity, a.data(), n) == most);
    CHECK(largest(100, a.data(), n) == 100);
    for (int at = 0; at < n; ++at) {
      std::vector<float> c = a;
      c[std::size_t(at)] = not_a_number;
      CHECK(std::isnan(largest(-infinity, c.data(), n)));
    }
  }
}

TEST_CASE("square root is correctly rounded") {
  for (float x : {0.0f, 1.0f, 2.0f, 1e-30f, 3e30f, infinity}) CHECK(one(square_root, x) == std::sqrt(x));
}
