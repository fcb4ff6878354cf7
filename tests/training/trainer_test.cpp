#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/count_allocations.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using TinyModel = CausalLM<any_shape>;

ModelCompanions companions() {
  ModelCompanions c;
  c.config.config = test::tiny_config();
  return c;
}

/// A model with its trainer.
struct Run {
  TinyModel model;
  Trainer<TinyModel> trainer;

  Run(const DatasetSplits& data, const TrainingSettings& settings, TrainingHooks hooks = {},
      const Config& config = test::tiny_config())
      : model(config, cpu::Backend(1)),
        trainer((model.initialize(settings.seed), model), data, companions(), settings, std::move(hooks)) {}
};

/// Trains to the end in pieces that end after the given steps; returns the last one.
struct Pieces {
  std::vector<std::string> said;

  std::unique_ptr<Run> train(const DatasetSplits& data, const TrainingSettings& settings,
                             std::vector<std::int64_t> stops = {}) {
    std::unique_ptr<Run> last;
    stops.push_back(std::numeric_limits<std::int64_t>::max());
    for (const std::int64_t stop : stops) {
      std::int64_t done = 0;
      TrainingHooks hooks{.say = [&](const std::string& line) { said.push_back(line); },
                          .on_step = [&](const StepReport& r) { done = r.step; },
                          .stop = [&] { return done >= stop ? 15 : 0; }};
      last = std::make_unique<Run>(data, settings, hooks);
      const auto from = latest_checkpoint(settings.output_dir, [](const std::string&) {});
      if (from) last->trainer.resume(*from);
      const int signal = last->trainer.run();
      CHECK(signal == (stop < settings.max_steps ? 15 : 0));
      if (signal) CHECK(fs::exists(settings.output_dir / ("checkpoint-" + std::to_string(stop))));
    }
    return last;
  }
};

/// The metrics without what depends on the clock.
std::string metrics(const fs::path& output) {
  std::string text;
  const std::string file = read_file(output / "metrics.jsonl");
  for (std::size_t begin = 0, end; (end = file.find('\n', begin)) != file.npos; begin = end + 1) {
    Json line = parse_json(file.substr(begin, end - begin), "metrics");
    for (const char* key : {"tokens_per_second", "matmul_utilization", "data_wait", "resident_bytes", "seconds_left"})
      line.erase(key);
    text += line.dump() + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("a run that is stopped and resumed is bit for bit the run that is not") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");  // 17 steps an epoch
  TrainingSettings settings = test::tiny_settings(temporary / "whole");
  fs::create_directory(settings.output_dir);
  const std::unique_ptr<Run> whole = Pieces().train(data, settings);
  CHECK(whole->trainer.state().step == 40);
  CHECK(whole->trainer.state().position.epoch == 2);
  const std::string lines = metrics(settings.output_dir);
  CHECK(lines.find("\"eval_loss\"") != lines.npos);

  const std::vector<std::vector<std::int64_t>> stops{{20}, {17}, {3, 4, 34, 35}};
  for (const auto& stop : stops) {
    CAPTURE(stop[0]);
    settings.output_dir = temporary / ("parts" + std::to_string(stop[0]));
    fs::create_directory(settings.output_dir);
    const std::unique_ptr<Run> parts = Pieces().train(data, settings, stop);
    CHECK(test::same_bytes(whole->model.weights().matrices, parts->model.weights().matrices));
    CHECK(test::same_bytes(whole->model.weights().vectors, parts->model.weights().vectors));
    CHECK(test::same_bytes(whole->trainer.optimizer().rule().first.matrices,
                           parts->trainer.optimizer().rule().first.matrices));
    CHECK(test::same_bytes(whole->trainer.optimizer().rule().second.matrices,
                           parts->trainer.optimizer().rule().second.matrices));
    CHECK(test::same_bytes(whole->trainer.optimizer().rule().second.vectors,
                           parts->trainer.optimizer().rule().second.vectors));
    CHECK(metrics(settings.output_dir) == lines);
    CHECK(fs::exists(settings.output_dir / "checkpoint-40" / "optimizer.safetensors"));
    CHECK(fs::exists(settings.output_dir / "model.safetensors"));
  }
  // The loss fell, or all of this would say little.
  const Json history = whole->trainer.state().log_history;
  CHECK(history.back().contains("eval_loss"));
  CHECK(history.front().at("loss").get<double>() > history[history.size() - 2].at("loss").get<double>() + 0.1);
}

TEST_CASE("a finished run says so, and other data and models are refused") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  settings.max_steps = 2;
  fs::create_directory(settings.output_dir);
  Pieces pieces;
  pieces.train(data, settings);
  pieces.train(data, settings);
  CHECK(test::contains(pieces.said.back(), "the run is complete"));
  const DatasetSplits other = test::make_data(temporary / "other", 51);
  Run stranger(other, settings);
  const Checkpoint checkpoint = open_checkpoint(settings.output_dir / "checkpoint-2");
  CHECK_ERROR(stranger.trainer.resume(checkpoint), "50 blocks", "51");
  Config config = test::tiny_config();
  config.rope_theta = 77;  // tensors of the same shapes
  Run other_model(data, settings, {}, config);
  CHECK_ERROR(other_model.trainer.resume(checkpoint), "checkpoint-2: rope_theta differs", "10000", "77");
}

TEST_CASE("the update does not depend on how a batch is cut") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary.path());
  std::unique_ptr<Run> whole;
  for (const auto& split : {std::pair(6, 1), std::pair(3, 2), std::pair(2, 3), std::pair(1, 6)}) {
    const int batch = split.first, accumulation = split.second;
    CAPTURE(batch);
    settings.per_device_train_batch_size = batch;
    settings.gradient_accumulation_steps = accumulation;
    auto run = std::make_unique<Run>(data, settings);
    const StepReport report = run->trainer.step(make_schedule(settings, 10));
    if (!whole) {
      whole = std::move(run);
      CHECK(report.grad_norm > 0.01);
      continue;
    }
    const auto& a = whole->trainer.optimizer().rule().first.matrices;
    const auto& b = run->trainer.optimizer().rule().first.matrices;
    double difference = 0, norm = 0;
    for (std::int64_t i = 0; i < a.size(); ++i)
      difference += std::pow(double(a[i]) - double(b[i]), 2), norm += std::pow(double(a[i]), 2);
    CHECK(norm > 0);
    CHECK(std::sqrt(difference / norm) < 1e-5);
    CHECK(run->trainer.state().position.samples == 6);
  }
}

TEST_CASE("a resumed run may use another batch: the position counts samples") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  fs::create_directory(settings.output_dir);
  settings.max_steps = -1;
  std::int64_t done = 0;
  {
    Run first(data, settings,
              {.on_step = [&](const StepReport& r) { done = r.step; }, .stop = [&] { return done == 4 ? 2 : 0; }});
    CHECK(first.trainer.run() == 2);
  }
  settings.per_device_train_batch_size = 5;
  Run second(data, settings);
  second.trainer.resume(open_checkpoint(settings.output_dir / "checkpoint-4"));
  CHECK(second.trainer.state().position.samples == 12);
  CHECK(second.trainer.last_step() == 4 + 7);  // 38 samples left, of 10 steps an epoch 3 are done
  CHECK(second.trainer.run() == 0);
}

TEST_CASE("steps that are not finite change nothing, and ten in a row end the run") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  settings.logging_steps = 1;
  fs::create_directory(settings.output_dir);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  {
    Run run(data, settings);
    const LearningRateSchedule schedule = make_schedule(settings, 10);
    run.trainer.step(schedule);
    const float kept = run.model.weights().vectors[0], other = run.model.weights().matrices[100];
    run.model.weights().vectors[0] = nan;
    const StepReport bad = run.trainer.step(schedule);
    CHECK_FALSE(bad.applied);
    CHECK(std::isnan(bad.loss));
    CHECK(run.model.weights().matrices[100] == other);
    CHECK(run.trainer.state().skipped == 1);
    CHECK(run.trainer.optimizer().updates == 1);
    run.model.weights().vectors[0] = kept;
    CHECK(run.trainer.step(schedule).applied);
    CHECK(run.trainer.state().skipped_in_a_row == 0);
    CHECK(run.trainer.state().step == 3);
  }
  std::vector<std::string> said;
  TinyModel* model = nullptr;
  Run run(data, settings,
          {.say = [&](const std::string& line) { said.push_back(line); },
           .on_step =
               [&](const StepReport& r) {
                 if (r.step == 3) model->weights().vectors[0] = nan;
               }});
  model = &run.model;
  CHECK_ERROR(run.trainer.run(), "10 steps in a row", "step 13");
  CHECK(test::contains(metrics(settings.output_dir), R"("loss":null)"));
  CHECK(fs::is_empty(settings.output_dir) == false);
  for (const auto& entry : fs::directory_iterator(settings.output_dir))
    CHECK(entry.path().filename() == "metrics.jsonl");
}

TEST_CASE("a batch without labels is skipped, not divided by zero") {
  test::TemporaryFolder temporary;
  test::write_blocks(temporary / "data", 6, 16, 0, true);
  test::write_blocks(temporary / "data" / "eval", 2, 16, 0, true);
  const DatasetSplits data = DatasetSplits::open(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary.path());
  Run run(data, settings);
  const StepReport report = run.trainer.step(make_schedule(settings, 10));
  CHECK_FALSE(report.applied);
  CHECK(std::isnan(report.loss));
  CHECK(run.trainer.state().skipped == 0);
  CHECK(run.trainer.state().unlabelled == 1);
  CHECK(std::isnan(run.trainer.evaluate()->loss));
}

TEST_CASE("a processor's steps are no graphs") {
  const test::TemporaryFolder folder;
  const DatasetSplits data = test::make_data(folder / "data");
  TrainingSettings settings = test::tiny_settings(folder / "out");
  settings.cuda_graph = true;
  CHECK_ERROR(Run(data, settings), "one process that trains on a GPU");
}

TEST_CASE("evaluation is the mean over labels, whatever the batch") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary.path());
  Run four(data, settings);
  settings.per_device_eval_batch_size = 100;
  Run all(data, settings);
  const Evaluation a = *four.trainer.evaluate(), b = *all.trainer.evaluate();
  CHECK(a.labels == b.labels);
  CHECK(a.labels > 7 * 15 / 3);
  CHECK(std::abs(a.loss - b.loss) < 1e-6);
  CHECK(std::abs(a.loss - std::log(64.0)) < 0.1);
  CHECK(a.perplexity() == std::exp(a.loss));
}

TEST_CASE("a step allocates nothing once the data is read") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  for (const bool recompute : {false, true}) {
    TrainingSettings settings = test::tiny_settings(temporary.path());
    settings.gradient_accumulation_steps = 2;
    settings.gradient_checkpointing = recompute;
    Run run(data, settings);
    const LearningRateSchedule schedule = make_schedule(settings, 40);
    for (int i = 0; i < 3; ++i) run.trainer.step(schedule);
    const test::AllocationCount count;
    for (int i = 0; i < 20; ++i) run.trainer.step(schedule);  // the smaller last batch of an epoch is among them
    CHECK(count.since() == 0);
  }
  const test::AllocationCount count;
  ::operator delete(::operator new(4));  // a call that no compiler leaves out
  CHECK(count.since() == 1);
}
