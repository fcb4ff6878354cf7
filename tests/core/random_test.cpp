#include <array>
#include <cmath>
#include <cstdint>
#include <set>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/dropout.hpp"
#include "moderngpt2/core/random.hpp"

using namespace moderngpt2;

namespace {

using Words = std::array<std::uint32_t, 4>;

/// Factors of a whole row by the documented layout, one Philox block at a time.
std::vector<float> factors_by_block(const Dropout& d, std::int64_t sequence, std::uint32_t head, std::uint32_t position,
                                    std::int64_t begin, std::int64_t n) {
  std::vector<float> factors;
  const std::int64_t global = d.first_sequence + sequence;
  for (std::int64_t i = begin; i < begin + n; ++i) {
    const std::uint32_t block = std::uint32_t(8 * (i / 32) + i % 8);
    const Words words =
        Philox::block({block, position, head, std::uint32_t(global)}, d.key ^ mix64(std::uint64_t(global) >> 32));
    factors.push_back(words[std::size_t(i / 8 % 4)] < d.threshold() ? 0.0f : float(d.scale()));
  }
  return factors;
}

std::vector<float> factors(const Dropout& d, std::int64_t sequence, std::uint32_t head, std::uint32_t position,
                           std::int64_t begin, std::int64_t n) {
  std::vector<float> f(std::size_t(n) + 2, -7.0f);
  dropout_factors(d, sequence, head, position, begin, n, f.data() + 1);
  CHECK(f.front() == -7.0f);
  CHECK(f.back() == -7.0f);
  return {f.begin() + 1, f.end() - 1};
}

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  static_assert(Philox::block({0, 0, 0, 0}, 0) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(Philox::block({~0u, ~0u, ~0u, ~0u}, ~std::uint64_t(0)) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox::block({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0x299f31d0a4093822) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("mix64 is SplitMix64") {
  // First outputs of SplitMix64 from seed 0. Its state is incremented by the golden ratio, which mix64 adds itself.
  CHECK(mix64(0) == 0xe220a8397b1dcdaf);
  CHECK(mix64(0x9E3779B97F4A7C15) == 0x6e789e6aa1b965f4);
}

TEST_CASE("keys depend on every part") {
  std::set<std::uint64_t> keys;
  for (std::uint64_t seed = 0; seed < 4; ++seed)
    for (RandomUse use : {RandomUse::init, RandomUse::embedding_dropout, RandomUse::residual_dropout,
                          RandomUse::attention_dropout, RandomUse::head_dropout, RandomUse::sampling})
      for (std::uint64_t step = 0; step < 5; ++step)
        for (std::uint64_t layer = 0; layer < 5; ++layer) keys.insert(random_key(seed, use, step, layer));
  CHECK(keys.size() == 4 * 6 * 5 * 5);
}

TEST_CASE("normal and uniform numbers have their moments") {
  const int n = 100000;
  double sum = 0, squares = 0, fourth = 0, uniform = 0;
  for (int i = 0; i < n; ++i) {
    const double z = normal_at(123, std::uint64_t(i));
    sum += z, squares += z * z, fourth += z * z * z * z;
    const double u = uniform_at(9, std::uint64_t(i));
    REQUIRE((u >= 0 && u < 1));
    uniform += u;
  }
  CHECK(std::abs(sum / n) < 4 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 4 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourth / n - 3) < 4 * std::sqrt(96.0 / n));
  CHECK(std::abs(uniform / n - 0.5) < 4 * std::sqrt(1.0 / 12 / n));
  CHECK(uniform_from(~0u, ~0u) < 1);
}

TEST_CASE("dropout_factors is Philox::block word by word, for odd begins and lengths") {
  const Dropout d{0.5, 0x0123456789abcdef, 7};
  for (std::int64_t begin : {0, 1, 7, 8, 31, 32, 33, 63, 64, 100, 1000003})
    for (std::int64_t n : {0, 1, 2, 7, 31, 32, 33, 64, 65, 97, 257})
      CHECK(factors(d, 3, 2, 5, begin, n) == factors_by_block(d, 3, 2, 5, begin, n));
  const Dropout far{0.25, 99, (std::int64_t(1) << 40) + 3};
  CHECK(factors(far, 1, 0, 0, 5, 70) == factors_by_block(far, 1, 0, 0, 5, 70));
}

TEST_CASE("the share of kept elements is 1 - rate, and the factors keep the mean") {
  for (double rate : {0.1, 0.5, 0.9}) {
    const Dropout d{rate, 42};
    const int n = 200000;
    double kept = 0, mean = 0, other = 0;
    for (float f : factors(d, 0, 0, 0, 0, n)) {
      other += f != 0 && f != float(1 / (1 - rate));
      kept += f != 0, mean += f;
    }
    CHECK(other == 0);
    CHECK(std::abs(kept / n - (1 - rate)) < 4 * std::sqrt(rate * (1 - rate) / n));
    CHECK(std::abs(mean / n - 1) < 4 * std::sqrt(rate / (1 - rate) / n));
  }
  CHECK_FALSE(Dropout{}.active());
  CHECK(Dropout{0.999999999999}.threshold() == 0xffffffff);
}

TEST_CASE("a mask depends on each part of its key and on the global sequence only") {
  const Dropout d{0.5, 1, 0};
  const auto mask = factors(d, 3, 2, 5, 0, 128);
  CHECK(factors(d, 4, 2, 5, 0, 128) != mask);
  CHECK(factors(d, 3, 1, 5, 0, 128) != mask);
  CHECK(factors(d, 3, 2, 6, 0, 128) != mask);
  CHECK(factors({0.5, 2, 0}, 3, 2, 5, 0, 128) != mask);
  CHECK(factors({0.5, 1 + (std::uint64_t(1) << 32), 0}, 3, 2, 5, 0, 128) != mask);
  CHECK(factors({0.5, 1, 1}, 3, 2, 5, 0, 128) != mask);
  CHECK(factors({0.5, 1, std::int64_t(1) << 32}, 3, 2, 5, 0, 128) != mask);
  CHECK(factors({0.5, 1, 2}, 1, 2, 5, 0, 128) == mask);
}

TEST_CASE("factors for double and float are the same mask") {
  const Dropout d{0.5, 5};
  double wide[40];
  dropout_factors(d, 0, 0, 0, 3, 40, wide);
  const auto narrow = factors(d, 0, 0, 0, 3, 40);
  for (int i = 0; i < 40; ++i) CHECK(wide[i] == narrow[std::size_t(i)]);
}
