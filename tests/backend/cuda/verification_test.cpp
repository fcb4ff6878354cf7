#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "backend/cuda/ranks_run.hpp"
#include "moderngpt2/core/host_name.hpp"
#include "support/faulty_backend.hpp"

// Steps that are computed twice, on simulated GPUs. Not for ThreadSanitizer, which cannot distinguish the work of
// ranks.
#ifndef MODERNGPT2_SIMT_TSAN

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using FaultyGpu = CausalLM<any_shape, test::Faulty<cuda::Backend>, Fp32>;
using Runs = test::RanksTask<FaultyGpu>;

/// A run of three steps whose rank `faulty_rank` has a fault in step 2.
Runs run_with(const fs::path& folder, const TrainAndEval& data, std::int64_t verify_steps, TransientErrorAction action,
              const test::Fault& fault = {}, bool cuda_graph = false, int faulty_rank = 0) {
  Runs run{.folder = folder, .data = data, .steps = 3};
  run.adjust = [=](TrainingSettings& s) {
    s.verify_steps = verify_steps, s.on_transient_error = action, s.cuda_graph = cuda_graph;
  };
  run.before_step = [=](FaultyGpu& model, int rank, std::int64_t step) {
    model.backend().faults->set({step == 2 && rank == faulty_rank ? fault : test::Fault{}});
  };
  return run;
}

std::string error_of(const Runs& run) {
  try {
    run.alone();
  } catch (const HardwareError& error) {
    return error.what();
  }
  return {};
}

void check_same(const test::RanksRun& got, const test::RanksRun& want, const fs::path& got_folder,
                const fs::path& want_folder) {
  CHECK(got.thrown == "");
  CHECK(got.losses == want.losses);
  CHECK(got.norms == want.norms);
  CHECK(got.sampled == want.sampled);
  CHECK(read_file(got_folder / "model.safetensors") == read_file(want_folder / "model.safetensors"));
}

}  // namespace

TEST_CASE("a step that a GPU computes differently twice is found, with graphs too, and healthy runs keep their bits") {
  const test::TemporaryFolder folder;
  const TrainAndEval data = test::blocks_of_ranks();
  const test::RanksRun plain = run_with(folder / "plain", data, 0, TransientErrorAction::stop).alone();
  REQUIRE(plain.losses.size() == 3);
  for (const bool graph : {false, true}) {
    CAPTURE(graph);
    const test::RanksRun healthy = run_with(folder / "healthy", data, 1, TransientErrorAction::stop, {}, graph).alone();
    check_same(healthy, plain, folder / "healthy", folder / "plain");
    for (const char* operation : {"matmul", "embedding_backward"}) {
      CAPTURE(std::string(operation));
      const test::Fault fault{.operation = operation};
      CHECK(error_of(run_with(folder / "stop", data, 2, TransientErrorAction::stop, fault, graph))
                .starts_with("transient: this machine computed step 2 differently twice"));
      const test::RanksRun on =
          run_with(folder / "continue", data, 2, TransientErrorAction::go_on, fault, graph).alone();
      check_same(on, plain, folder / "continue", folder / "plain");
    }
    // A step that is not due, and whose update the GPU must not have made when the host sees the NaN.
    const test::Fault nan{.operation = "matmul", .flipped = 0};
    CHECK(error_of(run_with(folder / "nan", data, 1000, TransientErrorAction::stop, nan, graph)).find("loss nan") !=
          std::string::npos);
    check_same(run_with(folder / "nan", data, 1000, TransientErrorAction::go_on, nan, graph).alone(), plain,
               folder / "nan", folder / "plain");
  }
}

TEST_CASE("several GPUs name the rank that computes a step differently, or receives another sum") {
  const test::TemporaryFolder folder;
  const TrainAndEval data = test::blocks_of_ranks();
  for (const int stage : {1, 3}) {  // the others: training/ranks_verification_test.cpp
    CAPTURE(stage);
    const test::RanksRun plain = run_with(folder / "plain", data, 0, TransientErrorAction::stop).on_gpus(2, stage, 1);
    REQUIRE(plain.thrown == "");
    check_same(run_with(folder / "healthy", data, 1, TransientErrorAction::stop).on_gpus(2, stage, 1), plain,
               folder / "healthy", folder / "plain");
    const test::Fault fault{.operation = "matmul_backward_weight"};
    const test::RanksRun stopped =
        run_with(folder / "stop", data, 2, TransientErrorAction::stop, fault, false, 1).on_gpus(2, stage, 1);
    CHECK(stopped.thrown.find("transient: rank 1 on " + host_name() + " computed step 2 differently twice") !=
          std::string::npos);
    CHECK(stopped.losses.size() == 1);
    check_same(
        run_with(folder / "continue", data, 2, TransientErrorAction::go_on, fault, false, 1).on_gpus(2, stage, 1),
        plain, folder / "continue", folder / "plain");

    // The first sum that rank 1 receives from the other GPU.
    std::atomic<bool> is_hit = false;
    const distributed::ThreadPlan plan{.received = [&](int rank, const distributed::Collective& c) {
      const bool is_sum = c.kind == distributed::CollectiveKind::reduce_scatter ||
                          (c.kind == distributed::CollectiveKind::all_reduce && c.count > 1);
      if (rank != 1 || !is_sum || is_hit.exchange(true)) return;
      const std::int64_t own = c.kind == distributed::CollectiveKind::reduce_scatter ? c.bytes() : 0;
      c.data[own + 2] ^= std::byte(0x40);
    }};
    test::SimulatedNccl::plan = &plan;
    const test::RanksRun summed = run_with(folder / "sum", data, 1, TransientErrorAction::stop).on_gpus(2, stage, 1);
    test::SimulatedNccl::plan = nullptr;
    CHECK(is_hit);
    CHECK(summed.thrown.find("transient: rank 1 on " + host_name() + " received different sums in step 1 twice") !=
          std::string::npos);
  }
}

#endif
