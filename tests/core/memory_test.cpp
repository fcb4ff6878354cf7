#include <cstdint>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "moderngpt2/core/memory.hpp"

using namespace moderngpt2;

TEST_CASE("AlignedBuffer is aligned, zero and rounded up") {
  for (std::size_t bytes : {0ul, 1ul, 63ul, 64ul, 65ul, 100000ul}) {
    const AlignedBuffer buffer(bytes);
    CHECK(buffer.size() == (bytes + 63) / 64 * 64);
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.data()) % alignment == 0);
    bool zero = true;
    for (std::size_t i = 0; i < buffer.size(); ++i) zero = zero && buffer.data()[i] == std::byte(0);
    CHECK(zero);
  }
}

TEST_CASE("AlignedBuffer moves") {
  AlignedBuffer a(100);
  std::byte* where = a.data();
  AlignedBuffer b(std::move(a));
  CHECK(b.data() == where);
  CHECK(a.data() == nullptr);  // NOLINT: a moved-from buffer is empty
  CHECK(a.size() == 0);
  AlignedBuffer c(10);
  c = std::move(b);
  CHECK(c.data() == where);
  CHECK(c.size() == 128);
}

TEST_CASE("refused memory is an Error with the size") {
  try {
    AlignedBuffer buffer(std::size_t(1) << 62);
    FAIL("no machine has this memory");
  } catch (const Error& e) {
    CHECK(std::string(e.what()).starts_with("cannot allocate 4294967296.00 GiB"));
  }
}

TEST_CASE("FlatBuffer") {
  FlatBuffer<double> buffer(9);
  CHECK(buffer.size() == 9);
  for (double& x : buffer) x = 2;
  double sum = 0;
  for (std::int64_t i = 0; i < 9; ++i) sum += buffer[i];
  CHECK(sum == 18);
  CHECK(FlatBuffer<int>().size() == 0);
}

namespace {

std::size_t walk(Arena& arena) {
  arena.take<float>(10);
  const std::size_t mark = arena.mark();
  arena.take<double>(100);
  arena.rewind(mark);
  arena.take<char>(1);
  return arena.peak();
}

constexpr std::size_t planned = [] {
  Arena arena;
  arena.take<float>(10);
  const std::size_t mark = arena.mark();
  arena.take<double>(100);
  arena.rewind(mark);
  arena.take<char>(1);
  return arena.peak();
}();

}  // namespace

TEST_CASE("Arena plans and places by the same walk") {
  static_assert(planned == 64 + 832);
  Arena counting;
  CHECK(walk(counting) == planned);
  CHECK(counting.take<float>(1) == nullptr);
  const AlignedBuffer memory(planned);
  Arena arena(memory);
  CHECK(walk(arena) == planned);
  arena.rewind(0);
  auto* first = arena.take<float>(1);
  auto* second = arena.take<float>(1);
  CHECK(static_cast<void*>(first) == memory.data());
  CHECK(second == first + 16);
  CHECK_THROWS_AS(arena.take<float>(1000), Error);
}
