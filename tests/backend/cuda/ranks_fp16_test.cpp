#include <algorithm>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "backend/cuda/ranks_run.hpp"

// Takes half a minute to compile; for AddressSanitizer one precision is enough.
#if !defined(MODERNGPT2_SIMT_TSAN) && !defined(__SANITIZE_ADDRESS__)

using namespace moderngpt2;

TEST_CASE("several GPUs train in fp16 like one: master weights, overflows, loss scale") {
  using Gpus = test::RanksTask<CausalLM<any_shape, cuda::Backend, Fp16>>;
  const test::TemporaryFolder folder;
  Gpus task{.folder = folder / "one", .data = test::blocks_of_ranks()};
  task.loss_scaling = {.initial_scale_power = 13, .loss_scale_window = 1, .hysteresis = 1};
  task.steps = 6;
  const test::RanksRun want = task.alone();
  // Each step without overflow doubles the scale, and the next overflows.
  CHECK(std::count(want.applied.begin(), want.applied.end(), true) >= 2);
  CHECK(std::count(want.applied.begin(), want.applied.end(), false) >= 2);
  for (const int stage : {1, 2, 3}) {
    CAPTURE(stage);
    task.folder = folder / std::to_string(stage);
    const test::RanksRun got = task.on_gpus(2, stage, std::uint64_t(stage));
    test::check_ranks(got, want, 2e-3);
    test::check_mapped(task, got, stage);
    CHECK(got.loss_scales == want.loss_scales);
  }
}

#endif
