#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/data/order.hpp"
#include "moderngpt2/data/packing.hpp"

using namespace moderngpt2;

TEST_CASE("documents are packed end to end") {
  std::vector<std::int32_t> packed;
  std::size_t taken = 0;
  BlockPacker packer(4, [&](std::span<const std::int32_t> block) {
    CHECK(block.size() == 4);
    packed.insert(packed.end(), block.begin(), block.end());
    taken = packer.taken();
  });
  const auto add = [&](std::vector<std::int32_t> ids) { packer.add(ids); };
  add({1, 2, 3});
  CHECK(packer.remainder() == 3);
  add({});
  add({4});
  CHECK(packer.remainder() == 0);
  CHECK(taken == 1);
  add({5, 6, 7, 8, 9});
  CHECK(taken == 4);
  add({10, 11, 12, 13, 14, 15, 16, 17, 18});
  CHECK(taken == 7);
  CHECK(packed == std::vector<std::int32_t>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  CHECK(packer.remainder() == 2);
  CHECK_THROWS_AS(BlockPacker(0, [](auto) {}), Error);
}

TEST_CASE("white space") {
  CHECK(is_white_space(""));
  CHECK(is_white_space(" \t\r\n\f\v\x1c\xc2\x85\xe2\x80\x83\xe2\x80\xa8\xe1\x9a\x80"));
  CHECK_FALSE(is_white_space(" a "));
  CHECK_FALSE(is_white_space("\xe2\x80\x8b"));  // the zero-width space is none
  CHECK_FALSE(is_white_space("\xe3\x80"));
  CHECK_FALSE(is_white_space(std::string(1, '\0')));
}

TEST_CASE("an epoch's order visits each item once") {
  for (const std::int64_t n : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4096, 4097, 10007}) {
    CAPTURE(n);
    const EpochOrder order(42, n);
    for (const std::int64_t epoch : {0, 1, 7}) {
      std::vector<char> seen(static_cast<std::size_t>(n), 0);
      for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t item = order.at(epoch, i);
        REQUIRE(item >= 0);
        REQUIRE(item < n);
        ++seen[static_cast<std::size_t>(item)];
      }
      CHECK(std::count(seen.begin(), seen.end(), 1) == n);
    }
  }
}

TEST_CASE("orders differ by seed and epoch, and look random") {
  constexpr std::int64_t n = 5000;
  const EpochOrder order(1, n), other(2, n), same(1, n);
  int as_epoch = 0, as_seed = 0, fixed = 0, rising = 0;
  double correlation = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    CHECK(order.at(3, i) == same.at(3, i));
    as_epoch += order.at(0, i) == order.at(1, i);
    as_seed += order.at(0, i) == other.at(0, i);
    fixed += order.at(0, i) == i;
    rising += i > 0 && order.at(0, i) > order.at(0, i - 1);
    correlation += (static_cast<double>(order.at(0, i)) / n - 0.5) * (static_cast<double>(i) / n - 0.5) * 12 / n;
  }
  CHECK(as_epoch < 12);
  CHECK(as_seed < 12);
  CHECK(fixed < 12);
  CHECK(std::abs(rising - n / 2) < 150);
  CHECK(std::abs(correlation) < 0.08);
}

TEST_CASE("huge orders are as quick, and bad places are refused") {
  const std::int64_t n = (std::int64_t{1} << 62) - 12345;
  const EpochOrder order(5, n);
  for (const std::int64_t i : {std::int64_t{0}, std::int64_t{1}, n / 2, n - 1}) {
    const std::int64_t item = order.at(0, i);
    CHECK(item >= 0);
    CHECK(item < n);
  }
  CHECK_THROWS_WITH_AS(order.at(0, n), doctest::Contains("is outside an order"), Error);
  CHECK_THROWS_AS(order.at(0, -1), Error);
  CHECK_THROWS_AS(EpochOrder(1, 0).at(0, 0), Error);
  CHECK_THROWS_AS(EpochOrder(1, -1), Error);
}
