#include <atomic>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/model/heads.hpp"
#include "support/comes_true.hpp"
#include "support/temporary_folder.hpp"
#include "training/rank_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using RankModel = CausalLM<any_shape>;
using FloatRun = test::RankRun<RankModel>;
using FloatRuns = test::GatheredRun<RankModel>;

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]) / std::abs(b[i]));
  return worst;
}

std::vector<double> later(const std::vector<double>& losses) { return {losses.begin() + 10, losses.end()}; }

}  // namespace

TEST_CASE("ranks train the model that one process trains") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");  // 50 blocks: the last batch of an epoch has 2
  const FloatRuns one = FloatRun{data, temporary / "one"}(1, 1);
  REQUIRE(one.thrown == "");
  REQUIRE(one.losses.size() == 20);
  CHECK(one.losses[19] < one.losses[0] - 0.1);
  for (const int ranks : {2, 3, 4})
    for (const int stage : {0, 1, 2, 3}) {
      CAPTURE(ranks);
      CAPTURE(stage);
      const std::string name = std::to_string(ranks) + "-" + std::to_string(stage);
      const FloatRuns several = FloatRun{data, temporary / name}(ranks, stage);
      REQUIRE(several.thrown == "");
      CHECK(largest_difference(several.losses, one.losses) < 1e-6);
      CHECK(largest_difference(several.norms, one.norms) < 1e-4);
      CHECK(fs::exists(temporary / name / "model.safetensors"));
      const FloatRuns again = FloatRun{data, temporary / (name + "-again")}(ranks, stage);
      CHECK(again.losses == several.losses);
      CHECK(test::same_state(again, several));  // and all ranks have the same weights
    }
}

TEST_CASE("a step ends before all its new weights have arrived") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  for (const int stage : {1, 2}) {
    FloatRun run{.data = data, .output_dir = temporary / std::to_string(stage), .max_steps = 3};
    const FloatRuns usual = run(2, stage);
    run.output_dir = temporary / (std::to_string(stage) + "-late");
    // Rank 1 does not give its part of the last bucket before rank 0 has ended the step.
    std::atomic<bool> has_ended = false, gave_up = false;
    run.after_step = [&](Trainer<RankModel>&, RankModel&, int rank, const StepReport& report) {
      if (rank == 0 && report.step == 1) has_ended = true;
    };
    const RankModel model(test::tiny_config(), cpu::Backend(1), distributed::buffer_granule(2));
    const auto layout = layout_of(model, test::rank_settings(2, stage, run.output_dir), 2);
    REQUIRE(layout.matrices().size() > 2);
    const std::string last = fmt::format("all-gather of bucket {}", layout.matrices().size() - 1);
    run.plan.delay = [&](int rank, std::int64_t, const distributed::Collective& c) {
      if (rank == 1 && c.step == 1 && c.what == last) gave_up = !test::comes_true(has_ended);
      return 0.0;
    };
    const FloatRuns late = run(2, stage);
    REQUIRE(late.thrown == "");
    CHECK(has_ended);
    CHECK_FALSE(gave_up);
    CHECK(late.losses == usual.losses);
    CHECK(test::same_state(late, usual));
  }
}

TEST_CASE("a checkpoint of any number of ranks resumes at any other") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  const std::vector<int> stages{1, 1, 2, 3, 3};
  for (const int before : {1, 2, 3, 4}) {
    const fs::path whole_dir = temporary / ("whole" + std::to_string(before)), from = whole_dir / "checkpoint-10";
    // Rank `before - 1` receives a stop signal after step 10: all ranks save that step.
    const auto stop = [&](int rank, std::int64_t step) { return rank == before - 1 && step >= 10 ? 15 : 0; };
    const FloatRuns half = FloatRun{.data = data, .output_dir = whole_dir, .stop = stop}(before, stages[before]);
    REQUIRE(half.thrown == "");
    CHECK(half.status == std::vector<int>(std::size_t(before), 15));
    CHECK(half.losses.size() == 10);
    CHECK(fs::exists(from / "optimizer.safetensors") == (before == 1));
    CHECK(fs::exists(from / ("optimizer-rank-00001-of-0000" + std::to_string(before) + ".safetensors")) ==
          (before > 1));
    const FloatRuns whole = FloatRun{data, temporary / ("full" + std::to_string(before))}(before, stages[before]);
    for (const int after : {1, 2, 3, 4}) {
      CAPTURE(before);
      CAPTURE(after);
      const fs::path to = temporary / ("from" + std::to_string(before) + "to" + std::to_string(after));
      const FloatRuns loaded = FloatRun{data, to, from, 10}(after, stages[after]);
      REQUIRE(loaded.thrown == "");
      CHECK(test::same_state(loaded, half));
      const FloatRuns on = FloatRun{data, to, from}(after, stages[after]);
      REQUIRE(on.thrown == "");
      CHECK(largest_difference(on.losses, later(whole.losses)) < 1e-6);
      if (before == after) {
        CHECK(on.losses == later(whole.losses));
        CHECK(test::same_state(on, whole));
      }
    }
  }
}

TEST_CASE("what is not finite on one rank is skipped by all") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  // A weight of rank 1 is broken in steps 4 to 6: its own loss and gradients are then not numbers.
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int stage : {0, 1, 2, 3}) {
    FloatRun run{.data = data, .output_dir = temporary / std::to_string(stage), .max_steps = 8};
    float kept = 0;
    run.after_step = [&](Trainer<RankModel>& trainer, RankModel& model, int rank, const StepReport& report) {
      trainer.wait_for_updates();
      float& weight = model.weights().vectors[0];
      if (rank == 1 && report.step == 3) kept = std::exchange(weight, nan);
      if (rank == 1 && report.step == 6) weight = kept;
    };
    const FloatRuns broken = run(3, stage);
    REQUIRE(broken.thrown == "");
    CHECK(broken.applied == std::vector<bool>{true, true, true, false, false, false, true, true});
    CHECK(std::isnan(broken.losses[4]));
    CHECK(test::same_state(broken, broken));
  }
}

TEST_CASE("sharded weights with a head of its own and activations computed again") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  FloatRun run{.data = data, .output_dir = temporary / "one", .max_steps = 6};
  run.config.tied_head = false;
  run.gradient_checkpointing = true;
  const FloatRuns one = run(1, 1);
  run.output_dir = temporary / "three";
  const FloatRuns three = run(3, 3);
  REQUIRE(three.thrown == "");
  CHECK(largest_difference(three.losses, one.losses) < 1e-6);
  const auto last_evaluation = [&](const char* name) {  // the last step is evaluated
    return open_checkpoint(temporary / name / "checkpoint-6").state.log_history.back().at("eval_loss").get<double>();
  };
  CHECK(std::abs(last_evaluation("three") - last_evaluation("one")) < 1e-6);
}

TEST_CASE("moments of ranks that do not fit together are refused") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  FloatRun run{.data = data, .output_dir = temporary / "out", .max_steps = 2};
  REQUIRE(run(2, 1).thrown == "");
  const fs::path folder = temporary / "out" / "checkpoint-2";
  RankModel model(test::windowed_config(), cpu::Backend(1));
  ModelOptimizer<RankModel> optimizer(model, test::rank_settings(1, 0, temporary.path()));
  Checkpoint checkpoint = open_checkpoint(folder);
  load_checkpoint(checkpoint, model, optimizer);
  CHECK(optimizer.updates == 2);
  std::erase_if(checkpoint.state.files, [](const FileRecord& f) { return f.name.find("00002-of") != f.name.npos; });
  CHECK_ERROR(load_checkpoint(checkpoint, model, optimizer), "begins at element", "elements precede it");
  // Truncated: no complete checkpoint.
  fs::resize_file(folder / optimizer_file_of_rank(1, 2), 100);
  CHECK_ERROR(open_checkpoint(folder), "optimizer-rank-00002-of-00002.safetensors has 100 bytes");
}

TEST_CASE("weights that differ between ranks are found, with the rank") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  for (const int stage : {0, 1, 3}) {  // in stage 3 norms and biases are what all have
    FloatRun run{.data = data, .output_dir = temporary / std::to_string(stage), .max_steps = 8};
    run.check_replicas_steps = 2;
    CHECK(run(3, stage).thrown == "");
    run.after_step = [&](Trainer<RankModel>& trainer, RankModel& model, int rank, const StepReport& report) {
      trainer.wait_for_updates();
      float& weight = stage == 3 ? model.weights().vectors[20] : model.weights().matrices[100];
      if (rank == 2 && report.step == 6) weight += 1e-3f;
    };
    const std::string thrown = run(3, stage).thrown;
    CHECK(test::contains(thrown, "rank 2 has another set of weights than rank 0"));
    CHECK(test::contains(thrown, "resume from the last checkpoint"));
  }
}

TEST_CASE("a save that fails on one rank fails on all, and leaves the checkpoints before") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  FloatRun run{.data = data, .output_dir = temporary / "out", .max_steps = 4};
  run.after_step = [&](Trainer<RankModel>&, RankModel&, int rank, const StepReport& report) {
    if (rank != 0 || report.step != 4) return;
    fs::rename(temporary / "out", temporary / "away");
    write_file(temporary / "out", "no folder");
  };
  const std::string thrown = run(2, 1).thrown;
  CHECK(test::contains(thrown, "cannot make the folder"));
  CHECK(test::contains(thrown, "rank 0 failed"));
}
