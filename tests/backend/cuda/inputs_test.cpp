#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/simulated_kernel.hpp"
#include "moderngpt2/backend/cuda/inputs.hpp"

using namespace moderngpt2;

namespace {

/// Uploads three arrays whose numbers identify pass and position, 100 KiB * scale in all, and copies them to `results`
/// in GPU memory.
void pass_arrays(cuda::Inputs& inputs, const cuda::Stream& stream, std::int32_t* results, int pass, double scale = 1) {
  inputs.begin();
  std::int32_t next = 1000 * pass;
  for (const int kib : {10, 70, 20}) {
    const auto n = std::int64_t(kib * 256 * scale);
    const std::int32_t* const there =
        inputs.add<std::int32_t>(stream, n, [&](std::int32_t* to) { std::fill_n(to, n, next++); });
    cuda::copy(stream, results, there, n);
    results += n;
  }
}

std::vector<std::int32_t> expected_arrays(int pass) {
  std::vector<std::int32_t> all;
  for (const int kib : {10, 70, 20})
    all.insert(all.end(), std::size_t(kib) * 256, 1000 * pass + int(all.size() > 0) + int(all.size() > 10 * 256));
  return all;
}

}  // namespace

TEST_CASE("arrays larger than a chunk arrive, in consecutive passes, and no memory is freed") {
  constexpr int n = 100 * 256, passes = 4;
  for (const std::uint64_t seed : {0, 1, 2, 3}) {
    simt::machine().seed(seed);
    const cuda::Stream stream;
    cuda::Inputs inputs;
    const cuda::DeviceArray<std::int32_t> results(passes * n);
    const std::size_t before = simt::device().used();
    std::int64_t allocations = 0;
    for (int pass = 0; pass < passes; ++pass) {
      pass_arrays(inputs, stream, results.data() + pass * n, pass);
      if (pass > 0) CHECK(simt::device().allocations == allocations);
      allocations = simt::device().allocations;
    }
    CHECK(simt::device().used() >= before + inputs.bytes());
    CHECK(inputs.bytes() < 300 << 10);
    std::vector<std::int32_t> got(passes * n);
    cuda::copy(stream, got.data(), static_cast<const std::int32_t*>(results.data()), passes * n);
    stream.synchronize();
    for (int pass = 0; pass < passes; ++pass)
      CHECK(std::vector(got.begin() + pass * n, got.begin() + (pass + 1) * n) == expected_arrays(pass));
  }
}

TEST_CASE("reserved inputs: passes of the reserved size allocate nothing, larger ones do") {
  simt::machine().seed(1);
  const cuda::Stream stream;
  const cuda::DeviceArray<std::int32_t> results(1000 * 256);
  cuda::Inputs inputs;
  constexpr std::size_t size = 100 << 10;
  inputs.reserve(size);
  CHECK(inputs.bytes() == size);
  const std::int64_t allocations = simt::device().allocations;
  inputs.reserve(size - 1);
  for (int pass = 0; pass < 3; ++pass) pass_arrays(inputs, stream, results.data(), pass);
  CHECK(simt::device().allocations == allocations);
  CHECK(inputs.bytes() == size);

  for (int tenth = 10; tenth < 40; ++tenth) pass_arrays(inputs, stream, results.data(), tenth, 0.1 * tenth);
  CHECK(inputs.bytes() < 3 * 4 * size);  // however slowly passes grow
  stream.synchronize();
  CHECK(cuda::Inputs::slot_bytes(0) == 256);
  CHECK(cuda::Inputs::slot_bytes(257) == 512);
}
