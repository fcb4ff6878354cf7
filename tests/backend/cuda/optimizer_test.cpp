#define MODERNGPT2_CASES_ON_CUDA 1

#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include "backend/cases/optimizer.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("adamw, sum_of_squares, cast and fill on the GPU") { test::check_cuda_cases(cases::optimizer_cases()); }

TEST_CASE_TEMPLATE("AdamW on the GPU writes exactly its weights, rounded", T, bf16, f16) {
  const std::int64_t n = 1001;
  const cases::TensorSpec full{cases::Role::added, n, 1, true}, square{cases::Role::added, n, 1, true, true};
  const cases::Tensors<T> t({full, full, square, full, {cases::Role::output, n}}, 3),
      alone({full, full, square, full}, 3);
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    cuda::Backend b;
    const cases::DeviceTensors<T> there(b, t), there_alone(b, alone);
    const AdamWStep step{.learning_rate = 1e-2, .weight_decay = 0.1};
    adamw(b, there.full(0), there.full(1), there.full(2), there.full(3), n, step, there[4]);
    adamw(b, there_alone.full(0), there_alone.full(1), there_alone.full(2), there_alone.full(3), n, step);
    const cases::Tensors<T> got({full, full, square, full, {cases::Role::output, n}}, 3),
        got_alone({full, full, square, full}, 3);
    there.download(got), there_alone.download(got_alone);
    for (std::int64_t i = 0; i < n; ++i) {
      REQUIRE(got.full(0)[i] == got_alone.full(0)[i]);
      REQUIRE(got[4][i].bits == T(got.full(0)[i]).bits);
    }
    CHECK(got.guards_stand());
  }
}

TEST_CASE("sum_of_squares on the GPU: more than one round of packs, NaN and nothing") {
  const std::int64_t n = std::int64_t(cuda::most_square_parts) * cuda::square_threads * 4 + 5;
  cuda::Backend b;
  const cuda::DeviceMemory memory(std::size_t(n) * sizeof(float));
  auto* const x = static_cast<float*>(memory.data());
  fill(b, x, n, 0.5f);
  CHECK(sum_of_squares(b, x, n) == 0.25 * double(n));
  CHECK(sum_of_squares(b, x, 0) == 0);
  fill(b, x + n - 1, 1, std::numeric_limits<float>::quiet_NaN());
  CHECK(std::isnan(sum_of_squares(b, x, n)));
}
