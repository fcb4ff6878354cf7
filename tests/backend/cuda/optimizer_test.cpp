#define MODERNGPT2_CASES_ON_CUDA 1

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cases/optimizer.hpp"
#include "backend/cuda/check_cuda_case.hpp"

using namespace moderngpt2;

TEST_CASE("adamw, sum_of_squares, cast and fill on the GPU") { test::check_cuda_cases(cases::optimizer_cases()); }

TEST_CASE_TEMPLATE("AdamW on the GPU writes its weights rounded to T", T, bf16, f16) {
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

TEST_CASE("a decision in GPU memory replaces that of the host: same bits if the update applies, else no change") {
  const std::int64_t n = 1001;
  const cases::TensorSpec full{cases::Role::added, n, 1, true}, square{cases::Role::added, n, 1, true, true};
  const auto fresh = [&] { return cases::Tensors<bf16>({full, full, square, full, {cases::Role::added, n}}, 3); };
  struct Sums {
    double loss, squares;
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const std::uint64_t schedule : test::schedules)
    for (const UpdateRule& rule : {UpdateRule{}, {.max_grad_norm = 0.25}, {.max_grad_norm = 1, .loss_scale = 4096}})
      for (const Sums& sums :
           {Sums{2, 9}, {2, 0}, {infinity, 9}, {2, infinity}, {std::nan(""), 9}, {2, std::nan("")}}) {
        test::use_schedule(schedule);
        const double norm = std::sqrt(sums.squares) / rule.loss_scale;
        const bool applies = std::isfinite(sums.loss) && std::isfinite(norm);
        CAPTURE(rule.loss_scale);
        CAPTURE(sums.loss);
        CAPTURE(norm);
        cuda::Backend b;
        AdamWStep call{.learning_rate = 1e-2, .weight_decay = 0.1, .step = 3};
        const auto run = [&](const cases::Tensors<bf16>& t) {
          const cases::DeviceTensors<bf16> there(b, t);
          adamw(b, there.full(0), there.full(1), there.full(2), there.full(3), n, call, there[4]);
          cases::Tensors<bf16> got = fresh();
          there.download(got);
          CHECK(got.guards_stand());
          return got;
        };
        const auto before = fresh();
        call.gradient_scale = clip_coefficient(norm, rule.max_grad_norm) / rule.loss_scale;
        const auto want = applies ? run(before) : fresh();

        const cuda::DeviceArray<double> there(2);
        const cuda::DeviceArray<UpdateDecision> decision(1);
        cuda::copy(b.stream(), there.data(), &sums.loss, 1);
        cuda::copy(b.stream(), there.data() + 1, &sums.squares, 1);
        cuda::DecideUpdate<double>{
            .loss = there.data(), .squares = there.data() + 1, .rule = rule, .decision = decision.data()}
            .launch(b.stream());
        call.gradient_scale = 1e9, call.decision = decision.data();
        const auto got = run(before);
        int differ = 0;
        for (std::int64_t i = 0; i < n; ++i) {
          for (const int tensor : {0, 1, 2}) differ += got.full(tensor)[i] != want.full(tensor)[i];
          differ += got[4][i].bits != want[4][i].bits;
        }
        CHECK(differ == 0);
      }
}

TEST_CASE("the sums of a step on the GPU equal those of the host, and are read with one wait") {
  const std::int64_t n = 5000;
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    cuda::Backend b;
    const cuda::DeviceArray<float> x(n);
    const cuda::DeviceArray<double> losses(3);
    const double numbers[] = {0.1, 3.7, 1.0 / 3};
    cuda::copy(b.stream(), losses.data(), numbers, 3);
    const auto loss = [&](int i) { return cuda::Loss(b.stream(), losses.data() + i); };
    fill(b, x.data(), n, 0.3f);
    HostStepSums host(b);
    cuda::StepSums there(b);
    for (int step = 0; step < 2; ++step) {
      host.begin(b), there.begin(b);
      for (int pass = 0; pass < 2; ++pass) {
        host.add(b, numbers[0] * 0.5), there.add(b, loss(0) * 0.5);
        host.add(b, numbers[1] * 0.25 + numbers[2] * 2), there.add(b, loss(1) * 0.25 + loss(2) * 2);
        there.add(b, cuda::Loss());
      }
      for (const std::int64_t count : {n, std::int64_t(0), std::int64_t(77)})
        host.add_squares(b, x.data(), count), there.add_squares(b, x.data(), count);
#ifdef MODERNGPT2_CUDA_SIMULATED
      const std::int64_t waits = simt::device().waits;
      const StepTotals got = there.read(b);
      CHECK(simt::device().waits <= waits + 1);
#else
      const StepTotals got = there.read(b);
#endif
      CHECK(got.loss == host.read(b).loss);
      CHECK(got.squares == host.read(b).squares);
    }
    CHECK(double(loss(0) * 2 + loss(2)) == numbers[0] * 2 + numbers[2]);
    CHECK(double(cuda::Loss()) == 0);
    CHECK_THROWS_AS(loss(0) + loss(1) + loss(2), Error);
  }
}

TEST_CASE("hashes of gradients on the GPU depend on every bit and on positions, not on the schedule") {
  const std::int64_t n = std::int64_t(1024) * 256 * 4 + 5;  // some threads have two packs
  std::vector<float> x(std::size_t(n), 0.5f);
  std::vector<std::uint64_t> hashes;
  for (const std::uint64_t schedule : test::schedules) {
    test::use_schedule(schedule);
    cuda::Backend b;
    const cuda::DeviceMemory memory(std::size_t(n) * sizeof(float));
    auto* const there = static_cast<float*>(memory.data());
    cuda::GradientHash hash(b);
    const auto hash_of = [&](std::int64_t cut) {
      store(b, there, x.data(), n);
      hash.begin(b);
      hash.add(b, there + cut, n - cut);
      hash.add(b, there, cut);
      return hash.value(b);
    };
    hashes.push_back(hash_of(0));
    CHECK(hashes.back() == hashes[0]);
    CHECK(hash_of(3) == hashes[0]);  // equal elements at the same positions, by other loads
    for (const std::int64_t i : {std::int64_t(0), std::int64_t(1023), n - 1}) {
      const float kept = std::exchange(x[std::size_t(i)], std::nextafter(0.5f, 1.0f));
      hashes.push_back(hash_of(0));
      x[std::size_t(i)] = kept;
    }
  }
  REQUIRE(hashes.size() == 12);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(hashes[i] == hashes[i + 4]);
    for (std::size_t j = 0; j < i; ++j) CHECK(hashes[i] != hashes[j]);
  }
}

TEST_CASE("sum_of_squares on the GPU: several packs per thread, NaN, and no elements") {
  const std::int64_t n = std::int64_t(cuda::max_square_parts) * cuda::square_threads * 4 + 5;
  cuda::Backend b;
  const cuda::DeviceMemory memory(std::size_t(n) * sizeof(float));
  auto* const x = static_cast<float*>(memory.data());
  fill(b, x, n, 0.5f);
  CHECK(sum_of_squares(b, x, n) == 0.25 * double(n));
  CHECK(sum_of_squares(b, x, 0) == 0);
  fill(b, x + n - 1, 1, std::numeric_limits<float>::quiet_NaN());
  CHECK(std::isnan(sum_of_squares(b, x, n)));
}
