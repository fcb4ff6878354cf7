#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "io/expect_error.hpp"
#include "moderngpt2/core/host_name.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/run/ranks.hpp"
#include "support/faulty_backend.hpp"
#include "support/temporary_folder.hpp"
#include "training/rank_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using FaultyModel = CausalLM<any_shape, test::Faulty<cpu::Backend>>;
using FaultyRun = test::RankRun<FaultyModel>;
using FaultyRuns = test::GatheredRun<FaultyModel>;

constexpr int ranks = 3;

/// A run of three ranks whose rank 1 has a fault in a step.
FaultyRuns run_with(const TrainAndEval& data, const fs::path& folder, int stage, std::int64_t verify_steps,
                    TransientErrorAction action, int step = 0, const test::Fault& fault = {},
                    const std::function<void(int, const distributed::Collective&)>& received = {}) {
  std::vector<std::shared_ptr<test::FaultPlan>> plans(ranks);
  FaultyRun run{.data = data, .output_dir = folder, .max_steps = 6};
  run.adjust = [&](TrainingSettings& s) {
    s.verify_steps = verify_steps, s.on_transient_error = action, s.save_steps = 2;
  };
  run.on_model = [&](FaultyModel& model, int rank) { plans[std::size_t(rank)] = model.backend().faults; };
  run.after_step = [&](Trainer<FaultyModel>&, FaultyModel&, int rank, const StepReport& report) {
    plans[std::size_t(rank)]->set({rank == 1 && report.step == step - 1 ? fault : test::Fault{}});
  };
  run.plan.received = received;
  return run(ranks, stage);
}

/// Flips a bit of what `rank` receives in the first collective of a step whose name has `what`.
auto flip_received(std::atomic<int>& hits, int rank, std::int64_t step, std::string what) {
  return [&hits, rank, step, what](int receiver, const distributed::Collective& c) {
    if (receiver != rank || c.step != step || std::string(c.what).find(what) == std::string::npos || hits++ > 0) return;
    const std::int64_t own = c.kind == distributed::CollectiveKind::reduce_scatter ? rank * c.bytes() : 0;
    c.data[own + 2] ^= std::byte(0x40);  // a high bit of the mantissa of a float
  };
}

}  // namespace

TEST_CASE("a rank that computes a step differently is named by all, in every ZeRO stage") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    const fs::path folder = temporary / std::to_string(stage);
    const FaultyRuns plain = run_with(data, folder / "plain", stage, 0, TransientErrorAction::stop);
    REQUIRE(plain.thrown == "");
    const FaultyRuns healthy = run_with(data, folder / "healthy", stage, 2, TransientErrorAction::stop);
    CHECK(healthy.losses == plain.losses);
    CHECK(healthy.norms == plain.norms);
    CHECK(test::same_state(healthy, plain));
    for (const char* operation : {"matmul", "gated_activation", "matmul_backward_weight", "embedding_backward"}) {
      CAPTURE(std::string(operation));
      const test::Fault fault{.operation = operation};
      const FaultyRuns stopped = run_with(data, folder / operation, stage, 3, TransientErrorAction::stop, 3, fault);
      CHECK(
          test::contains(stopped.thrown, "transient: rank 1 on " + host_name() + " computed step 3 differently twice"));
      CHECK_FALSE(test::contains(stopped.thrown, "rank 0 on"));
      CHECK_FALSE(test::contains(stopped.thrown, "rank 2 on"));
      CHECK(stopped.losses.size() == 2);
      CHECK(fs::exists(folder / operation / "checkpoint-2"));
      CHECK_FALSE(fs::exists(folder / operation / "checkpoint-4"));
      const FaultyRuns continued =
          run_with(data, folder / "continued", stage, 3, TransientErrorAction::go_on, 3, fault);
      REQUIRE(continued.thrown == "");
      CHECK(continued.losses == plain.losses);
      CHECK(test::same_state(continued, plain));
    }
  }
}

TEST_CASE("a bit that flips in a rank's sum of gradients, loss or norm is found, with the rank") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  for (const int stage : {0, 1, 2, 3})
    for (const char* what : {"of bucket 1", "of norms and biases", "loss and gradient norm"}) {
      CAPTURE(stage);
      CAPTURE(std::string(what));
      const fs::path folder = temporary / std::to_string(stage);
      const bool is_sum = std::string(what) == "loss and gradient norm";
      const std::string name = is_sum ? what : std::string(stage == 0 ? "all-reduce " : "reduce-scatter ") + what;
      std::atomic<int> hits = 0;
      const FaultyRuns stopped =
          run_with(data, folder / "out", stage, 4, TransientErrorAction::stop, 0, {}, flip_received(hits, 2, 4, name));
      CHECK(hits > 0);
      CHECK(test::contains(stopped.thrown,
                           "transient: rank 2 on " + host_name() + " received different sums in step 4 twice"));
      hits = 0;
      const FaultyRuns plain = run_with(data, folder / "plain", stage, 0, TransientErrorAction::stop);
      const FaultyRuns continued = run_with(data, folder / "continued", stage, 4, TransientErrorAction::go_on, 0, {},
                                            flip_received(hits, 2, 4, name));
      REQUIRE(continued.thrown == "");
      CHECK(continued.losses == plain.losses);
      CHECK(test::same_state(continued, plain));
    }
}

TEST_CASE("a NaN of one rank in any step is computed again by all ranks") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  for (const int stage : {0, 1, 2, 3}) {
    CAPTURE(stage);
    const fs::path folder = temporary / std::to_string(stage);
    // In the loss, and in gradients alone.
    for (const char* operation : {"matmul", "embedding_backward"}) {
      const test::Fault nan{.operation = operation, .flipped = 0};
      const FaultyRuns stopped = run_with(data, folder / operation, stage, 1000, TransientErrorAction::stop, 3, nan);
      CHECK(test::contains(stopped.thrown, "transient: rank "));
      CHECK(test::contains(stopped.thrown, "step 3"));
      if (std::string(operation) == "matmul")
        CHECK(test::contains(stopped.thrown,
                             "rank 1 on " + host_name() + " computed step 3 differently twice (loss nan"));
      else
        CHECK(test::contains(stopped.thrown, "verify_steps 1 shows whether"));
    }
    // One rank alone receives a loss that is not finite.
    std::atomic<int> hits = 0;
    const auto received = [&](int rank, const distributed::Collective& c) {
      if (rank != 2 || c.step != 3 || std::string(c.what) != "loss and gradient norm" || hits++ > 0) return;
      const double nan = std::numeric_limits<double>::quiet_NaN();
      std::memcpy(c.data, &nan, sizeof nan);
    };
    const FaultyRuns alone = run_with(data, folder / "alone", stage, 1000, TransientErrorAction::stop, 0, {}, received);
    CHECK(test::contains(alone.thrown, "rank 2 on " + host_name() + " received different sums in step 3 twice"));
  }
}

TEST_CASE("all ranks end with the exit status of a hardware error, and one reports it") {
  std::atomic<int> reports = 0;
  std::vector<int> status(ranks);
  distributed::run_thread_ranks(ranks, {.timeout_seconds = 60}, [&](distributed::CommunicatorBase& communicator) {
    TrainingHooks hooks;
    hooks.complain = [&](const std::string& line) { reports += line == "rank 1 is faulty"; };
    status[std::size_t(communicator.rank())] = status_on_ranks(
        communicator, hooks, [&]() -> int { fail_together(communicator, HardwareError("rank 1 is faulty")); });
  });
  CHECK(status == std::vector<int>(ranks, 3));
  CHECK(reports == 1);
}
