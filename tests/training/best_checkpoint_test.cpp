#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using BestModel = CausalLM<any_shape>;
using Steps = std::vector<std::int64_t>;

TrainAndEval data_of_blocks() {
  const auto blocks = [](int count, std::uint64_t salt) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < count * 16; ++i) tokens.push_back(3 + int(mix64(salt + std::uint64_t(i / 3)) % 60));
    return BlockDataset(std::make_shared<MemoryBlocks>(std::move(tokens), 16), 0, count);
  };
  return {blocks(50, 0), blocks(7, 1000)};
}

/// Runs whose loss falls. The greatest is taken as the best, so that an early step wins. Each run() has a new model.
struct BestRun {
  test::TemporaryFolder temporary;
  TrainAndEval data = data_of_blocks();
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  TrainingHooks hooks;
  std::vector<std::string> said;
  std::int64_t step = 0;
  std::unique_ptr<BestModel> model;

  BestRun() {
    settings.greater_is_better = true;
    settings.max_steps = 24, settings.eval_steps = 2, settings.save_steps.reset();
    hooks.say = [this](const std::string& line) { said.push_back(line); };
    hooks.on_step = [this](const StepReport& report) { step = report.step; };
  }
  int run(bool resumes = false) {
    said.clear();
    model = std::make_unique<BestModel>(test::tiny_config(), cpu::Backend(1));
    Trainer trainer(*model, data, {}, settings, hooks);
    const auto from = latest_checkpoint(settings.output_dir, [](const std::string&) {});
    if (resumes && from)
      trainer.resume(*from);
    else
      trainer.initialize(settings.seed);
    return trainer.run();
  }
  /// Lines of metrics.jsonl with a field.
  std::vector<Json> lines(const char* field) const {
    std::vector<Json> found;
    const std::string file = read_file(settings.output_dir / "metrics.jsonl");
    for (const std::string_view line : complete_lines(file))
      if (Json json = parse_json(line, "metrics"); json.contains(field)) found.push_back(std::move(json));
    return found;
  }
  Steps steps_with(const char* field) const {
    Steps steps;
    for (const Json& line : lines(field)) steps.push_back(line.at("step"));
    return steps;
  }
  Steps checkpoints() const {
    Steps steps;
    for (const Checkpoint& c : find_checkpoints(settings.output_dir, [](const std::string&) {}))
      steps.push_back(c.state.step);
    std::sort(steps.begin(), steps.end());
    return steps;
  }
  Json state(std::int64_t at) const {
    return read_json_file(checkpoint_path(settings.output_dir, at) / "trainer_state.json");
  }
  std::string weights(const fs::path& folder) const { return read_file(folder / "model.safetensors"); }
  std::string text() const { return fmt::format("{}", fmt::join(said, "\n")); }
  /// Step and loss of the best evaluation of the log.
  std::pair<std::int64_t, double> best() const {
    std::pair<std::int64_t, double> best{0, 0};
    for (const Json& line : lines("eval_loss"))
      if (line.at("step") > 0 && line.at("eval_loss") > best.second) best = {line.at("step"), line.at("eval_loss")};
    return best;
  }
};

Steps multiples(std::int64_t of, std::int64_t last) {
  Steps steps;
  for (std::int64_t step = of; step <= last; step += of) steps.push_back(step);
  return steps;
}

}  // namespace

TEST_CASE("the best checkpoint outlives rotation and becomes the final model") {
  BestRun run;
  run.settings.load_best_model_at_end = true;
  CHECK(run.run() == 0);
  const auto [step, loss] = run.best();
  REQUIRE(step > 0);
  REQUIRE(step < 20);
  CHECK(run.checkpoints() == Steps{step, 24});
  const fs::path out = run.settings.output_dir, folder = checkpoint_path(out, step);
  CHECK(run.weights(out) == run.weights(folder));
  CHECK(run.weights(out) != run.weights(out / "checkpoint-24"));
  CHECK(test::same_bytes(load_model<BestModel>(out).weights().matrices, run.model->weights().matrices));
  const Json state = run.state(24);
  CHECK(state.at("best_metric") == loss);
  CHECK(state.at("best_global_step") == step);
  CHECK(state.at("best_model_checkpoint") == folder.string());
  CHECK(test::contains(run.text(), "the best model is that of step " + std::to_string(step)));
  // A completed run that is resumed has the same final model.
  fs::remove(out / "model.safetensors");
  CHECK(run.run(true) == 0);
  CHECK(run.weights(out) == run.weights(folder));
  fs::remove_all(folder);
  CHECK(run.run(true) == 0);
  CHECK(test::contains(run.text(), "its checkpoint cannot be read: the final model is that of step 24"));
  CHECK(run.weights(out) == run.weights(out / "checkpoint-24"));
}

TEST_CASE("save_total_limit 1 keeps the best and the newest checkpoint") {
  BestRun run;
  run.settings.metric_for_best_model = "loss", run.settings.save_steps = 2, run.settings.save_total_limit = 1;
  CHECK(run.run() == 0);
  CHECK(run.checkpoints() == Steps{run.best().first, 24});
  CHECK(run.weights(run.settings.output_dir) == run.weights(run.settings.output_dir / "checkpoint-24"));
}

TEST_CASE("save_strategy best writes a checkpoint after each better evaluation") {
  BestRun run;
  run.settings.save_strategy = SaveStrategy::best, run.settings.save_total_limit = 0;
  run.settings.load_best_model_at_end = true;
  CHECK(run.run() == 0);
  Steps better;
  double best = 0;
  for (const Json& line : run.lines("eval_loss"))
    if (line.at("eval_loss") > best) best = line.at("eval_loss"), better.push_back(line.at("step"));
  CHECK(run.checkpoints() == better);
  CHECK(run.weights(run.settings.output_dir) == run.weights(checkpoint_path(run.settings.output_dir, better.back())));
}

TEST_CASE("a metric of which more is better, and one that does not exist") {
  BestRun run;
  run.settings.metric_for_best_model = "perplexity";
  run.settings.save_steps = 2, run.settings.save_total_limit = 1, run.settings.max_steps = 8;
  CHECK(run.run() == 0);
  double most = 0;
  for (const Json& line : run.lines("eval_perplexity")) most = std::max(most, line.at("eval_perplexity").get<double>());
  CHECK(run.state(8).at("best_metric") == most);
  // Another metric has no best value yet.
  run.settings.metric_for_best_model = "loss", run.settings.greater_is_better.reset(), run.settings.max_steps = 10;
  CHECK(run.run(true) == 0);
  CHECK(run.state(10).at("best_global_step") == 10);
  run.settings.metric_for_best_model = "f1";
  CHECK_ERROR(run.run(), "metric_for_best_model is \"f1\", the evaluation computes loss, perplexity");
  run.settings.metric_for_best_model.reset();
  run.settings.load_best_model_at_end = true;
  run.data.eval = {};
  CHECK_ERROR(run.run(), "load_best_model_at_end needs evaluation examples");
}

TEST_CASE("the time limit leaves room for the checkpoint of a new best evaluation") {
  TrainingSettings s;
  s.save_strategy = SaveStrategy::best;
  const TrainingHooks hooks;
  TrainerState state;
  state.step = 5, state.max_steps = 10;
  RunLog log(state, hooks);
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(nullptr);
  RunControl control(hooks, ranks);
  const RunEvents events(s, state, control, log, ranks);
  CHECK(events.work_ahead({.evaluate = true}).saves == 2);
  CHECK(events.work_ahead({}).saves == 1);
}

TEST_CASE("NaN and infinity are never the best") {
  TrainingSettings s;
  BestState best;
  for (const double loss : {HUGE_VAL, double(NAN)}) {
    CHECK_FALSE(add_evaluation(best, s, {.loss = loss}, 2));
    add_saved(best, s, {.loss = loss}, 2);
  }
  CHECK(best.saved_step == 0);
  CHECK(best.without_improvement == 2);
  CHECK(add_evaluation(best, s, {.loss = 5}, 3));
}

TEST_CASE("early stopping, and a run that was interrupted stops at the same step with the same model") {
  BestRun run;
  run.settings.load_best_model_at_end = true, run.settings.early_stopping_patience = 2;
  CHECK(run.run() == 0);
  const std::int64_t last = run.step;
  REQUIRE(last < 24);
  CHECK(last == run.best().first + 4);
  CHECK(test::contains(run.text(), "loss has not improved in 2 evaluations"));
  CHECK(run.state(last).at("stateful_callbacks").at("EarlyStoppingCallback").at("attributes") ==
        Json{{"early_stopping_patience_counter", 2}});
  const std::string model = run.weights(run.settings.output_dir);
  const Steps evaluated = run.steps_with("eval_loss");
  CHECK(run.run(true) == 0);
  CHECK(test::contains(run.text(), "the run is complete: early stopping at step " + std::to_string(last)));
  CHECK(run.steps_with("eval_loss") == evaluated);

  run.settings.output_dir = run.temporary / "again";
  const TrainingHooks plain = run.hooks;
  for (std::int64_t stop = 1; stop <= last; ++stop) {
    run.hooks.stop = [&] { return run.step == stop ? 15 : 0; };
    (void)run.run(true);
  }
  run.hooks = plain;
  CHECK(run.run(true) == 0);
  CHECK(run.steps_with("eval_loss") == evaluated);
  CHECK(run.weights(run.settings.output_dir) == model);
}

TEST_CASE("a run that early stopping ended continues with a larger limit") {
  BestRun run;
  run.settings.early_stopping_patience = 1;
  CHECK(run.run() == 0);
  const std::int64_t last = run.step;
  run.settings.early_stopping_patience = 100;
  CHECK(run.run(true) == 0);
  CHECK(last < 24);
  CHECK(run.step == 24);
}

TEST_CASE("a checkpoint without optimizer state is smaller, and resuming it says how to use its weights") {
  BestRun run;
  run.settings.save_only_model = true, run.settings.max_steps = 4;
  CHECK(run.run() == 0);
  const fs::path folder = run.settings.output_dir / "checkpoint-4";
  CHECK_FALSE(fs::exists(folder / "optimizer.safetensors"));
  verify_checkpoint(open_checkpoint(folder));
  BestModel model(test::tiny_config(), cpu::Backend(1));
  Trainer trainer(model, run.data, {}, run.settings);
  CHECK_ERROR(trainer.resume(open_checkpoint(folder)), "save_only_model", "model_path " + folder.string());
  std::vector<std::string> skipped;
  CHECK_FALSE(latest_checkpoint(
      run.settings.output_dir, [&](const std::string& line) { skipped.push_back(line); }, true));
  CHECK(skipped.size() == 2);
  run.hooks.stop = [&] { return run.step == 3 ? 15 : 0; };
  CHECK(run.run() == 15);
  CHECK(test::contains(run.text(), "save_only_model keeps no optimizer state"));
}

TEST_CASE("an evaluation before the first step, which does not count as the best") {
  BestRun run;
  run.settings.eval_on_start = true, run.settings.metric_for_best_model = "loss", run.settings.max_steps = 5;
  CHECK(run.run() == 0);
  CHECK(run.steps_with("eval_loss") == Steps{0, 2, 4, 5});
  CHECK(run.state(5).at("best_global_step") > 0);
  run.settings.max_steps = 6;
  CHECK(run.run(true) == 0);
  CHECK(run.steps_with("eval_loss") == Steps{0, 2, 4, 5, 6});
}

TEST_CASE("without a word about steps, a short run logs, evaluates and saves") {
  BestRun run;
  run.settings.logging_steps.reset(), run.settings.eval_steps.reset(), run.settings.save_total_limit = 0;
  run.settings.max_steps = 45;
  CHECK(run.run() == 0);
  Steps want = multiples(2, 45);
  want.push_back(45);
  CHECK(run.steps_with("loss") == want);
  CHECK(run.steps_with("eval_loss") == want);
  CHECK(run.checkpoints() == want);
  CHECK(run.state(44).at("eval_steps") == 2);
}

TEST_CASE("events at the end of epochs and of the run, also over a resume") {
  BestRun run;
  run.settings.logging_strategy = run.settings.eval_strategy = IntervalStrategy::epoch;
  run.settings.save_strategy = SaveStrategy::epoch, run.settings.save_total_limit = 0;
  run.settings.max_steps = 40, run.settings.learning_rate = 1e-3;  // 17 steps an epoch
  run.settings.logging_first_step = true;
  run.hooks.stop = [&] { return run.step == 20 ? 15 : 0; };
  CHECK(run.run() == 15);
  run.hooks.stop = {};
  CHECK(run.run(true) == 0);
  CHECK(run.steps_with("loss") == Steps{1, 17, 34, 40});
  CHECK(run.steps_with("eval_loss") == Steps{17, 34, 40});
  CHECK(run.checkpoints() == Steps{17, 20, 34, 40});
}

TEST_CASE("the best checkpoint of several ranks, in each ZeRO stage") {
  for (const int stage : {0, 3}) {
    BestRun run;
    run.settings.world_size = 2, run.settings.zero_stage = stage, run.settings.load_best_model_at_end = true;
    run.settings.early_stopping_patience = 2;
    const auto run_rank = [&](distributed::CommunicatorBase& ranks) {
      BestModel model(test::tiny_config(), cpu::Backend(1), distributed::buffer_granule(2));
      Trainer trainer(model, run.data, {}, run.settings, ranks.rank() == 0 ? run.hooks : TrainingHooks(), &ranks);
      trainer.initialize(run.settings.seed);
      CHECK(trainer.run() == 0);
    };
    for (const std::string& message : distributed::run_thread_ranks(2, {.timeout_seconds = 60}, run_rank))
      CHECK(message == "");
    const auto [step, loss] = run.best();
    REQUIRE(step < run.step);
    CHECK(run.weights(run.settings.output_dir) == run.weights(checkpoint_path(run.settings.output_dir, step)));
  }
}
