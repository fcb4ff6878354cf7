#include <cstdint>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu/backend.hpp"
#include "moderngpt2/generation/kv_cache.hpp"

using namespace moderngpt2;

TEST_CASE("a cache has aligned keys and values of each layer that do not overlap") {
  KvCache<float> cache(3, 2, 5, 7);
  REQUIRE(cache.views().size() == 3);
  const float* before = nullptr;
  for (const KvView<float>& view : cache.views()) {
    CHECK(view.capacity == 5);
    for (float* data : {view.keys, view.values}) {
      CHECK(reinterpret_cast<std::uintptr_t>(data) % alignment == 0);
      if (before) CHECK(data >= before + 2 * 5 * 7);
      before = data;
    }
  }
  CHECK(before + 2 * 5 * 7 <= cache.views()[0].keys + cache.bytes() / sizeof(float));
}

TEST_CASE("the length of a cache stays within its capacity") {
  KvCache<double> cache(1, 1, 4, 2);
  cache.advance(3);
  CHECK(cache.length() == 3);
  CHECK_THROWS_AS(cache.advance(2), Error);
  CHECK(cache.length() == 3);
  cache.truncate(1);
  CHECK(cache.length() == 1);
  CHECK_THROWS_AS(cache.truncate(2), Error);
  CHECK_THROWS_AS(cache.truncate(-1), Error);
  cache.reset();
  CHECK(cache.length() == 0);
  CHECK_THROWS_AS(KvCache<float>(1, 1, 0, 2), Error);
}

TEST_CASE("one sequence of a cache, and copies between them") {
  KvCache<float> cache(2, 3, 4, 2);
  for (int sequence = 0; sequence < 3; ++sequence)
    for (int layer = 0; layer < 2; ++layer)
      for (int i = 0; i < 8; ++i) {
        const KvView<float> view = cache.sequence(sequence)[std::size_t(layer)];
        CHECK(view.capacity == 4);
        view.keys[i] = float(100 * layer + 10 * sequence + i);
        view.values[i] = -view.keys[i];
      }
  CHECK(cache.views()[1].keys[8 + 3] == 113);
  cpu::Backend b(1);
  cache.copy(b, 2, 0, 1, 3);
  cache.copy(b, 1, 1, 0, 4);
  cache.copy(b, 1, 2, 3, 3);
  for (int layer = 0; layer < 2; ++layer)
    for (int i = 0; i < 24; ++i) {
      const int from = i >= 2 && i < 6 ? 20 + i : 10 * (i / 8) + i % 8;
      CHECK(cache.views()[std::size_t(layer)].keys[i] == 100 * layer + from);
      CHECK(cache.views()[std::size_t(layer)].values[i] == -(100 * layer + from));
    }
}

TEST_CASE("refused memory is an error that states the size") {
  const int huge = std::numeric_limits<int>::max();
  for (const int layers : {1, 100'000}) try {
      KvCache<float> cache(layers, 1 << 10, huge, 1 << 20);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find("GiB for the keys and values of 2199023254528 tokens") != std::string::npos);
    }
}
