#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using UnlabelledModel = CausalLM<any_shape>;

/// Runs on blocks of which only the first `labelled` have tokens other than padding.
struct UnlabelledRun {
  test::TemporaryFolder temporary;
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  std::vector<Json> lines;
  std::vector<StepReport> reports;

  static BlockDataset blocks(int count, int labelled, int time = 16) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < count * time; ++i) tokens.push_back(i < labelled * time ? 3 + i % 40 : 0);
    return BlockDataset(std::make_shared<MemoryBlocks>(std::move(tokens), time), 0, count);
  }
  int run(TrainAndEval data) {
    lines.clear(), reports.clear();
    settings.logging_steps = 1, settings.per_device_train_batch_size = 1;
    UnlabelledModel model(test::tiny_config(), cpu::Backend(1));
    TrainingHooks hooks;
    hooks.on_log = [this](const Json& line) { lines.push_back(line); };
    hooks.on_step = [this](const StepReport& report) { reports.push_back(report); };
    Trainer trainer(model, data, {}, settings, hooks);
    trainer.initialize(settings.seed);
    return trainer.run();
  }
};

}  // namespace

TEST_CASE("a run that can learn nothing ends with an error, after at most an epoch, and writes no model") {
  UnlabelledRun run;
  for (const int steps : {3, 40}) {
    run.settings.max_steps = steps;
    CHECK_ERROR(run.run({UnlabelledRun::blocks(6, 0), {}}), "the training data has no labels: all",
                std::to_string(std::min(steps, 6)) + " steps were skipped");
    CHECK(run.reports.size() == std::size_t(std::min(steps, 6)));
    for (const Json& line : run.lines) {
      CHECK(line.at("loss").is_null());
      CHECK(line.at("grad_norm").is_null());
      CHECK(line.at("unlabelled_steps") == line.at("step"));
    }
    CHECK_FALSE(fs::exists(run.settings.output_dir / "model.safetensors"));
  }
}

TEST_CASE("steps without labels do not lower the loss of the log") {
  UnlabelledRun run;
  run.settings.max_steps = 8, run.settings.eval_steps = 4;
  CHECK(run.run({UnlabelledRun::blocks(8, 4), UnlabelledRun::blocks(3, 0)}) == 0);
  int empty = 0;
  for (const Json& line : run.lines) {
    if (line.contains("eval_loss")) {
      CHECK(line.at("eval_loss").is_null());
      CHECK_FALSE(line.contains("eval_perplexity"));
    } else if (line.at("loss").is_null()) {
      ++empty;
    } else {
      CHECK(line.at("loss") > 1);
    }
  }
  CHECK(empty == 4);
  CHECK(run.lines.back().contains("eval_loss"));
  for (const StepReport& report : run.reports) CHECK(std::isnan(report.loss) == (report.labels == 0));
  // One line for all steps: the mean over those with labels.
  double sum = 0;
  for (const StepReport& report : run.reports) sum += report.labels > 0 ? report.loss : 0;
  const double mean = sum / 4;
  run.settings.output_dir = run.temporary / "one";
  run.settings.logging_strategy = IntervalStrategy::no;
  CHECK(run.run({UnlabelledRun::blocks(8, 4), {}}) == 0);
  REQUIRE(run.lines.size() == 1);
  CHECK(run.lines[0].at("loss").get<double>() == doctest::Approx(mean));
  CHECK(run.lines[0].at("unlabelled_steps") == 4);
}

TEST_CASE("blocks of one token have no next token to learn from") {
  UnlabelledRun run;
  CHECK_ERROR(run.run({UnlabelledRun::blocks(6, 6, 1), {}}), "blocks of 1 token", "at least 2");
}
