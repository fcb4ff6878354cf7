#include <cstddef>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/backend/cuda/transfer.hpp"
#include "moderngpt2/core/memory.hpp"

using namespace moderngpt2;
using namespace moderngpt2::cuda;

namespace {

constexpr std::size_t page = 4096;
constexpr std::int64_t page_floats = page / sizeof(float);

/// Sets the granularity of the simulated GPU's memory to a page, while in scope.
struct SmallChunks {
  SmallChunks() { simt::device().virtual_memory.granularity = page; }
  ~SmallChunks() { simt::device().virtual_memory.granularity = gpu_chunk_bytes; }
};

__global__ void write_page(float* page_begin, float value) { page_begin[threadIdx.x] = value; }

/// A resident page and six parts of a page each, two of which are in use at the same time.
PartialUse six_parts() {
  PartialUse use{.kept = {{0, page}}, .parts = {}, .resident_parts = 2};
  for (std::size_t i = 1; i < 7; ++i) use.parts.push_back({i * page, (i + 1) * page});
  return use;
}

float first_of_page(const Backend& b, const FlatBuffer<float, DeviceBuffer>& buffer, int page_number) {
  float value = 0;
  download(b, &value, static_cast<const float*>(buffer.data()) + page_number * page_floats, 1);
  return value;
}

}  // namespace

TEST_CASE("a partially backed buffer: parts that are not in use at the same time share memory") {
  const SmallChunks chunks;
  const std::size_t before = simt::device().used();
  for (const std::uint64_t seed : {0, 1, 2}) {
    simt::machine().seed(seed);
    Backend b;
    const std::size_t of_backend = simt::device().used();
    FlatBuffer<float, DeviceBuffer> buffer(7 * page_floats, Pages::as_used);
    CHECK(buffer.size() == 7 * page_floats);
    CHECK(simt::device().used() == of_backend);
    commit_memory(b, buffer, six_parts());
    CHECK(simt::device().used() == of_backend + 3 * page);
    CHECK(buffer.memory().memory_bytes() == 3 * page);
    for (int i = 0; i < 7; ++i) CHECK(first_of_page(b, buffer, i) == 0);
    const auto write = [&](int at, float value) {
      launch(b.stream(), write_page, 1, 32, 0, buffer.data() + at * page_floats, value);
    };
    write(0, 100);
    for (int i = 1; i < 7; ++i) {
      write(i, float(i));
      CHECK(first_of_page(b, buffer, i) == float(i));
      if (i > 1) CHECK(first_of_page(b, buffer, i - 1) == float(i - 1));
      if (i > 2) CHECK(first_of_page(b, buffer, i - 2) == float(i));  // the memory belongs to another page by now
    }
    CHECK(first_of_page(b, buffer, 0) == 100);
    zero_and_discard(b, buffer.data() + 6 * page_floats, page_floats);
    CHECK(first_of_page(b, buffer, 6) == 0);
    CHECK(first_of_page(b, buffer, 5) == 5);
    commit_memory(b, buffer, six_parts());  // has its memory already, and what is in it
    CHECK(first_of_page(b, buffer, 0) == 100);
    FlatBuffer<float, DeviceBuffer> moved(std::move(buffer));
    CHECK(first_of_page(b, moved, 5) == 5);
  }
  CHECK(simt::device().used() == before);
}

TEST_CASE("a fully allocated buffer is unchanged by a partial use") {
  Backend b;
  FlatBuffer<float, DeviceBuffer> buffer(7 * page_floats, Pages::at_once);
  CHECK(buffer.memory().memory_bytes() == 7 * page);
  const float* const data = buffer.data();
  commit_memory(b, buffer, six_parts());
  CHECK(buffer.data() == data);
  CHECK(buffer.memory().memory_bytes() == 7 * page);
}

TEST_CASE("a partially backed buffer: unsupported GPU, out of memory, and sizes that are not multiples of a chunk") {
  Backend b;
  simt::device().maps_memory = false;
  CHECK_THROWS_WITH_AS(
      (FlatBuffer<float, DeviceBuffer>(page_floats, Pages::as_used)),
      doctest::Contains("GPU 0 does not support virtual memory management, which ZeRO stages 2 and 3 need"), Error);
  simt::device().maps_memory = true;

  const SmallChunks chunks;
  FlatBuffer<float, DeviceBuffer> buffer(7 * page_floats - 100, Pages::as_used);
  const std::size_t limit = simt::device().memory_bytes, used = simt::device().used();
  simt::device().memory_bytes = used + 2 * page;
  CHECK_THROWS_WITH_AS(commit_memory(b, buffer, six_parts()), doctest::Contains("use a smaller batch"), Error);
  simt::device().memory_bytes = limit;
  FlatBuffer<float, DeviceBuffer> again(7 * page_floats - 100, Pages::as_used);
  commit_memory(b, again, six_parts());
  CHECK(first_of_page(b, again, 6) == 0);
}

TEST_CASE("invalid calls of the driver are refused") {
  const SmallChunks chunks;
  auto& memory = simt::device().virtual_memory;
  std::byte* const at = memory.reserve(4 * page);
  REQUIRE(at);
  CHECK_FALSE(memory.reserve(page / 2));
  const unsigned long long piece = memory.create(page);
  REQUIRE(piece != 0);
  CHECK(memory.create(page + 1) == 0);
  CHECK(memory.map(at, page, piece));
  CHECK_FALSE(memory.map(at, page, piece));             // there is memory already
  CHECK_FALSE(memory.map(at + page, 2 * page, piece));  // more than the piece has
  CHECK_FALSE(memory.map(at + 4 * page, page, piece));  // not reserved
  CHECK_FALSE(memory.map(at + page, page, piece + 1));  // no such piece
  CHECK_FALSE(memory.set_access(at, 2 * page));         // the second has none
  CHECK_FALSE(memory.free_addresses(at, 4 * page));     // still mapped
  CHECK_FALSE(memory.unmap(at, 2 * page));
  CHECK(memory.unmap(at, page));
  CHECK(memory.release(piece));
  CHECK_FALSE(memory.release(piece));
  CHECK(memory.free_addresses(at, 4 * page));
}
