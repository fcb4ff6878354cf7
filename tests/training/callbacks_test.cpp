#include <cstdint>
#include <filesystem>
#include <limits>
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

using WatchedModel = CausalLM<any_shape>;

/// Runs of 40 steps with evaluation data; each has a new model.
struct WatchedRun {
  test::TemporaryFolder temporary;
  DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  TrainingHooks hooks;
  std::vector<std::string> events;

  WatchedRun() {
    hooks.on_train_begin = [this](const TrainerState& state) { note("begin", state.step); };
    hooks.on_step = [this](const StepReport& report) { step_ = report.step; };
    hooks.on_log = [this](const Json& line) {
      if (line.contains("loss")) note("log", line.at("step").get<std::int64_t>());
    };
    hooks.on_evaluate = [this](const Evaluation& evaluation) { note("evaluate", evaluation.step); };
    hooks.on_save = [this](const fs::path& folder) { events.push_back("save " + folder.filename().string()); };
    hooks.on_train_end = [this](const TrainerState& state) { note("end", state.step); };
  }
  void note(const char* what, std::int64_t step) { events.push_back(what + (" " + std::to_string(step))); }

  int run(bool resumes = false) {
    events.clear();
    WatchedModel model(test::tiny_config(), cpu::Backend(1));
    Trainer trainer(model, data, {}, settings, hooks);
    const auto from = latest_checkpoint(settings.output_dir, [](const std::string&) {});
    if (resumes && from)
      trainer.resume(*from);
    else
      trainer.initialize(settings.seed);
    return trainer.run();
  }
  std::string text() const { return fmt::format("{}", fmt::join(events, ", ")); }
  std::vector<std::int64_t> evaluated_steps() const {
    std::vector<std::int64_t> steps;
    const std::string file = read_file(settings.output_dir / "metrics.jsonl");
    for (const std::string_view line : complete_lines(file))
      if (const Json json = parse_json(line, "metrics"); json.contains("eval_loss")) steps.push_back(json.at("step"));
    return steps;
  }

  std::int64_t step_ = 0;
};

}  // namespace

TEST_CASE("callbacks come in the order of a run") {
  WatchedRun watched;
  watched.settings.max_steps = 4, watched.settings.logging_steps = 2;
  watched.settings.eval_steps = 3, watched.settings.save_steps = 2;
  CHECK(watched.run() == 0);
  CHECK(watched.text() ==
        "begin 0, log 2, save checkpoint-2, evaluate 3, log 4, evaluate 4, save checkpoint-4, save out, end 4");
}

TEST_CASE("the last step is evaluated if there is evaluation data") {
  WatchedRun watched;
  watched.settings.max_steps = 5, watched.settings.eval_steps = 500;
  CHECK(watched.run() == 0);
  CHECK(watched.evaluated_steps() == std::vector<std::int64_t>{5});
  CHECK(read_json_file(watched.settings.output_dir / "checkpoint-5" / "trainer_state.json")
            .at("log_history")
            .back()
            .contains("eval_perplexity"));
  CHECK(watched.run(true) == 0);  // complete: nothing is repeated
  CHECK(watched.text() == "save out");
  CHECK(watched.evaluated_steps() == std::vector<std::int64_t>{5});
}

TEST_CASE("a run that a signal stops in its last evaluation evaluates when it is resumed") {
  WatchedRun watched;
  watched.settings.max_steps = 5, watched.settings.eval_steps = 500;
  bool evaluating = false;
  watched.hooks.on_evaluation_progress = [&](std::int64_t, std::int64_t) { evaluating = true; };
  watched.hooks.stop = [&] { return evaluating ? 15 : 0; };
  CHECK(watched.run() == 15);
  CHECK(watched.evaluated_steps().empty());
  CHECK(fs::exists(watched.settings.output_dir / "model.safetensors"));
  watched.hooks.stop = {};
  CHECK(watched.run(true) == 0);
  CHECK(watched.text() == "evaluate 5, save checkpoint-5, save out");
  CHECK(watched.evaluated_steps() == std::vector<std::int64_t>{5});
  CHECK(watched.run(true) == 0);
  CHECK(watched.text() == "save out");
  CHECK(watched.evaluated_steps() == std::vector<std::int64_t>{5});
}

TEST_CASE("early stopping on the evaluation loss") {
  WatchedRun watched;
  watched.settings.eval_steps = 2, watched.settings.logging_steps = 100;
  double best = std::numeric_limits<double>::infinity();
  int worse = 0;
  std::int64_t stopped_at = 0;
  watched.settings.learning_rate = 0.1;  // too large: the loss rises after about 16 steps
  watched.hooks.on_evaluate = [&](const Evaluation& evaluation, TrainingControl& control) {
    worse = evaluation.loss < best ? 0 : worse + 1;
    best = std::min(best, evaluation.loss);
    if (worse < 2) return;
    control.should_training_stop = true;
    stopped_at = evaluation.step;
  };
  CHECK(watched.run() == 0);
  REQUIRE(stopped_at > 0);
  CHECK(stopped_at < 40);
  const std::string last = std::to_string(stopped_at);
  CHECK(watched.text() == "begin 0, save checkpoint-" + last + ", save out, end " + last);
  CHECK(watched.evaluated_steps().back() == stopped_at);
  CHECK(watched.evaluated_steps().size() == std::size_t(stopped_at / 2));  // not twice at the end
  CHECK(fs::exists(watched.settings.output_dir / "model.safetensors"));
  watched.hooks.on_evaluate = {};  // a resumed run continues to the last step
  CHECK(watched.run(true) == 0);
  CHECK(watched.events.front() == "begin " + last);
  CHECK(watched.events.back() == "end 40");
}

TEST_CASE("callbacks ask for a log line, an evaluation, a checkpoint and the end") {
  WatchedRun watched;
  watched.settings.logging_steps = watched.settings.eval_steps = watched.settings.save_steps = 0;
  watched.hooks.on_step = [&](const StepReport& report, TrainingControl& control) {
    control.should_log = report.step == 2;
    control.should_evaluate = report.step == 3;
    control.should_save = report.step == 4;
    control.should_training_stop = report.step == 6;
  };
  CHECK(watched.run() == 0);
  // With steps of 0, the end is neither evaluated nor saved as a checkpoint.
  CHECK(watched.text() == "begin 0, log 2, evaluate 3, save checkpoint-4, log 6, save out, end 6");
  watched.settings.eval_steps = watched.settings.save_steps = 100;
  watched.settings.output_dir = watched.temporary / "again";
  CHECK(watched.run() == 0);
  CHECK(watched.text() ==
        "begin 0, log 2, evaluate 3, save checkpoint-4, log 6, evaluate 6, save checkpoint-6, save again, end 6");
  watched.data.eval = {};
  CHECK_ERROR(watched.run(), "no evaluation examples");
}

TEST_CASE("a callback is optional, and takes the control only if it wants it") {
  TrainingCallback<int> callback;
  CHECK_FALSE(callback);
  callback = std::function<void(int)>();
  CHECK_FALSE(callback);
  int seen = 0;
  callback = [&](int number) { seen = number; };
  REQUIRE(callback);
  callback(3);
  CHECK(seen == 3);
  callback = [](int number, TrainingControl& control) { control.should_save = number == 4; };
  const TrainingCallback<int> copy = callback;
  TrainingControl control;
  copy(4, control);
  CHECK(control.should_save);
  CHECK_FALSE(control.should_training_stop);
}

TEST_CASE("a request of one rank holds for all") {
  test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  std::vector<std::int64_t> ends(2), evaluations(2);
  const auto run_rank = [&](distributed::CommunicatorBase& ranks) {
    const auto rank = std::size_t(ranks.rank());
    TrainingSettings settings = test::tiny_settings(temporary / "out");
    settings.world_size = 2, settings.eval_steps = settings.save_steps = 0;
    TrainingHooks hooks;
    if (rank == 1)
      hooks.on_step = [](const StepReport& report, TrainingControl& control) {
        control.should_evaluate = control.should_save = report.step == 2;
      };
    hooks.on_evaluate = [&](const Evaluation& evaluation, TrainingControl& control) {
      evaluations[rank] = evaluation.step;
      control.should_training_stop = rank == 0;
    };
    WatchedModel model(test::tiny_config(), cpu::Backend(1), distributed::buffer_granule(2));
    Trainer trainer(model, data, {}, settings, hooks, &ranks);
    trainer.initialize(settings.seed);
    CHECK(trainer.run() == 0);
    ends[rank] = trainer.state().step;
  };
  for (const std::string& message : distributed::run_thread_ranks(2, {.timeout_seconds = 60}, run_rank))
    CHECK(message == "");
  CHECK(ends == std::vector<std::int64_t>{2, 2});
  CHECK(evaluations == std::vector<std::int64_t>{2, 2});
  CHECK(fs::exists(temporary / "out" / "checkpoint-2"));
}
