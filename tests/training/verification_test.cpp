#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "io/expect_error.hpp"
#include "moderngpt2/core/host_name.hpp"
#include "moderngpt2/distributed/gradient_hash.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/faulty_backend.hpp"
#include "support/temporary_folder.hpp"
#include "training/count_allocations.hpp"
#include "training/rank_run.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using FaultyModel = CausalLM<any_shape, test::Faulty<cpu::Backend>>;

constexpr int passes = 2;  // micro-batches of a step
constexpr const char* operations[]{"matmul", "gated_activation", "matmul_backward_weight", "embedding_backward"};

TrainingSettings settings_of(const fs::path& folder, std::int64_t verify_steps = 1,
                             TransientErrorAction action = TransientErrorAction::stop) {
  TrainingSettings s = test::tiny_settings(folder);
  s.max_steps = 8, s.eval_steps = 0, s.save_steps = 2, s.logging_steps = 1;
  s.gradient_accumulation_steps = passes;
  s.verify_steps = verify_steps, s.on_transient_error = action;
  return s;
}

/// A run of one process.
struct OneRun {
  std::vector<std::string> said;
  std::vector<StepReport> reports;
  std::vector<Json> lines;
  std::unique_ptr<FaultyModel> model;
  std::optional<HardwareError> thrown;
  std::map<std::string, int> calls;  ///< calls of each operation in the last step
  int hits = 0;                      ///< damaged results

  /// `faults`: of each step that has some.
  OneRun(const TrainAndEval& data, const TrainingSettings& settings,
         const std::map<std::int64_t, std::vector<test::Fault>>& faults = {}) {
    fs::create_directories(settings.output_dir);
    model = std::make_unique<FaultyModel>(test::tiny_config(), test::Faulty<cpu::Backend>(1));
    test::FaultPlan& plan = *model->backend().faults;
    const auto plan_step = [&](std::int64_t step) {
      const auto found = faults.find(step);
      plan.set(found == faults.end() ? std::vector<test::Fault>() : found->second);
    };
    plan_step(1);
    ModelCompanions companions;
    companions.config.config = test::tiny_config();
    TrainingHooks hooks;
    hooks.say = [&](const std::string& line) { said.push_back(line); };
    hooks.on_step = [&](const StepReport& report) {
      reports.push_back(report);
      for (const char* operation : operations) calls[operation] = plan.calls(operation);
      plan_step(report.step + 1);
    };
    hooks.on_log = [&](const Json& line) { lines.push_back(line); };
    Trainer<FaultyModel> trainer(*model, data, companions, settings, hooks);
    trainer.initialize(settings.seed);
    try {
      trainer.run();
    } catch (const HardwareError& error) {
      thrown = error;
    }
    hits = plan.hits();
  }

  bool has_said(const std::string& text) const {
    return std::any_of(said.begin(), said.end(), [&](const std::string& line) { return test::contains(line, text); });
  }
};

bool same_weights(const OneRun& a, const OneRun& b) {
  return test::same_bytes(a.model->weights().matrices, b.model->weights().matrices) &&
         test::same_bytes(a.model->weights().vectors, b.model->weights().vectors);
}

}  // namespace

TEST_CASE("a healthy run has the same bits with and without verification, and a verified step allocates nothing") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  const OneRun plain(data, settings_of(temporary / "0", 0));
  CHECK(plain.reports.size() == 8);
  for (const std::int64_t steps : {1, 3}) {
    const OneRun verified(data, settings_of(temporary / std::to_string(steps), steps));
    CHECK_FALSE(verified.thrown.has_value());
    CHECK(same_weights(verified, plain));
    REQUIRE(verified.reports.size() == 8);
    for (std::size_t i = 0; i < 8; ++i) {
      CHECK(verified.reports[i].verified == (std::int64_t(i + 1) % steps == 0));
      CHECK_FALSE(plain.reports[i].verified);
      CHECK(verified.reports[i].loss == plain.reports[i].loss);
      CHECK(verified.reports[i].grad_norm == plain.reports[i].grad_norm);
    }
    CHECK_FALSE(verified.lines.back().contains("transient_errors"));
  }

  const TrainingSettings settings = settings_of(temporary / "2", 2);
  FaultyModel model(test::tiny_config(), test::Faulty<cpu::Backend>(1));
  Trainer<FaultyModel> trainer(model, data, {}, settings);
  const LearningRateSchedule schedule = make_schedule(settings, 40);
  for (int i = 0; i < 3; ++i) trainer.step(schedule);
  const test::AllocationCount count;
  for (int i = 0; i < 8; ++i) trainer.step(schedule);
  CHECK(count.since() == 0);
}

TEST_CASE("a bit that flips in a product, an activation or a gradient ends the run; saved files are unchanged") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  OneRun plain(data, settings_of(temporary / "plain", 0));
  int number = 0;
  for (const char* operation : operations) {
    const int calls = plain.calls[operation];
    REQUIRE(calls >= passes);
    for (const int call : {0, calls - 1, calls, 2 * calls - 1}) {  // in the first computation, and in the second
      CAPTURE(std::string(operation));
      CAPTURE(call);
      const std::string name = std::to_string(number++);
      const test::Fault fault{.operation = operation, .call = call};
      const OneRun stopped(data, settings_of(temporary / name, 5), {{5, {fault}}});
      CHECK(stopped.hits == 1);
      REQUIRE(stopped.thrown.has_value());
      const std::string message = stopped.thrown->what();
      CHECK(message.starts_with("transient: this machine computed step 5 differently twice (loss "));
      CHECK(test::contains(message, "host " + host_name()));
      CHECK(test::contains(message, "nothing was saved"));
      CHECK(stopped.reports.size() == 4);
      CHECK(fs::exists(temporary / name / "checkpoint-4"));
      CHECK_FALSE(fs::exists(temporary / name / "checkpoint-5"));
      CHECK_FALSE(fs::exists(temporary / name / "model.safetensors"));

      const OneRun continued(data, settings_of(temporary / (name + "c"), 5, TransientErrorAction::go_on),
                             {{5, {fault}}});
      CHECK(continued.hits == 1);
      CHECK_FALSE(continued.thrown.has_value());
      CHECK(same_weights(continued, plain));
      CHECK(continued.has_said("warning: transient: this machine computed step 5 differently twice"));
      REQUIRE(continued.reports.size() == 8);
      CHECK(continued.reports[4].loss == plain.reports[4].loss);
      CHECK_FALSE(continued.reports[4].verified);
      CHECK(continued.lines.back().at("transient_errors") == 1);
    }
  }
}

TEST_CASE("the lowest bit of one gradient is enough") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  const test::Fault fault{.operation = "embedding_backward", .call = passes - 1, .row = 20, .flipped = 1};
  CHECK(OneRun(data, settings_of(temporary / "out"), {{5, {fault}}}).thrown.has_value());
}

TEST_CASE("a second transient error ends the run, and so does a third computation that differs from both") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  const test::Fault first{.operation = "embedding_backward"};
  const OneRun two(data, settings_of(temporary / "two", 1, TransientErrorAction::go_on), {{3, {first}}, {6, {first}}});
  REQUIRE(two.thrown.has_value());
  CHECK(test::contains(two.thrown->what(), "step 6 differently twice"));
  CHECK(two.has_said("computed step 3 differently twice"));
  CHECK(two.reports.size() == 5);
  CHECK(HardwareError::exit_status == 3);

  test::Fault second = first;
  second.call = passes;  // the first pass of the second computation
  const OneRun same(data, settings_of(temporary / "same", 1, TransientErrorAction::go_on), {{3, {first, second}}});
  CHECK_FALSE(same.thrown.has_value());  // an error that repeats is not detected
  second.column = 4;
  const OneRun odd(data, settings_of(temporary / "odd", 1, TransientErrorAction::go_on), {{3, {first, second}}});
  REQUIRE(odd.thrown.has_value());
  CHECK(test::contains(odd.thrown->what(), "and a third computation gave yet another result"));
}

TEST_CASE("a NaN is computed again before it is believed, in any step") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  const OneRun plain(data, settings_of(temporary / "plain", 0));
  for (const char* operation : {"matmul", "embedding_backward"}) {
    const test::Fault nan{.operation = operation, .flipped = 0};
    const OneRun stopped(data, settings_of(temporary / "stop", 1000), {{2, {nan}}});
    REQUIRE(stopped.thrown.has_value());
    CHECK(test::contains(stopped.thrown->what(), "computed step 2 differently twice (loss "));
    CHECK(test::contains(stopped.thrown->what(), "gradient norm nan, then "));
    const OneRun continued(data, settings_of(temporary / "continue", 1000, TransientErrorAction::go_on), {{2, {nan}}});
    CHECK(same_weights(continued, plain));
    CHECK_FALSE(continued.has_said("skipped"));
  }
}

TEST_CASE("a loss spike is computed again before it is believed, in any step") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  for (const bool is_transient : {true, false}) {
    TrainingSettings settings = settings_of(temporary / "out", 1000);
    settings.max_steps = 62, settings.save_steps = 0;
    fs::create_directories(settings.output_dir);
    FaultyModel model(test::tiny_config(), test::Faulty<cpu::Backend>(1));
    float* const gains = model.weights().vectors.data();
    std::vector<float> kept;
    std::vector<std::string> said;
    TrainingHooks hooks;
    hooks.say = [&](const std::string& line) { said.push_back(line); };
    hooks.on_step = [&](const StepReport& report) {
      if (report.step != 59) return;
      kept.assign(gains, gains + model.weights().vectors.size());
      for (std::size_t i = 0; i < kept.size(); ++i) gains[i] += 20;
    };
    hooks.on_span = [&](const char* phase, double, double) {  // after the first pass of step 60
      if (!is_transient || kept.empty() || std::string(phase) != "forward and backward") return;
      std::copy(kept.begin(), kept.end(), gains);
      kept.clear();
    };
    ModelCompanions companions;
    companions.config.config = test::tiny_config();
    Trainer<FaultyModel> trainer(model, data, companions, settings, hooks);
    trainer.initialize(settings.seed);
    if (is_transient) {
      CHECK_ERROR(trainer.run(), "transient: this machine computed step 60 differently twice");
      continue;
    }
    CHECK(trainer.run() == 0);
    CHECK(std::any_of(said.begin(), said.end(), [](const std::string& line) {
      return line.starts_with("warning: step 60: loss spike: ") &&
             line.ends_with(" (persistent: computed twice with the same bits)");
    }));
  }
}

TEST_CASE("what is computed equal twice is reported as without verification") {
  test::TemporaryFolder temporary;
  const TrainAndEval data = test::full_blocks();
  for (const std::int64_t steps : {0, 1, 1000}) {
    const test::Fault nan{.operation = "matmul", .count = 1 << 20, .flipped = 0};
    const OneRun run(data, settings_of(temporary / std::to_string(steps), steps), {{3, {nan}}});
    CHECK_FALSE(run.thrown.has_value());
    REQUIRE(run.reports.size() == 8);
    CHECK_FALSE(run.reports[2].applied);
    CHECK(run.reports[2].verified == (steps > 0));
    CHECK(run.reports[2].transient_errors == 0);
    CHECK(run.has_said("step 3: loss nan and gradient norm nan: the step is skipped"));
    CHECK(run.has_said("(persistent: computed twice with the same bits)") == (steps > 0));
    CHECK(run.has_said("1 steps of 8 were skipped"));
  }
}

TEST_CASE("hashes of gradients depend on every bit and on the order, not on threads") {
  cpu::Backend one(1), two(2);
  std::vector<float> x(100000, 0.5f);
  const auto hash_of = [&](cpu::Backend& b, std::int64_t cut) {
    HostGradientHash hash(b);
    hash.begin(b);
    hash.add(b, x.data() + cut, std::int64_t(x.size()) - cut);
    hash.add(b, x.data(), cut);
    return hash.value(b);
  };
  const std::uint64_t before = hash_of(one, 0);
  CHECK(hash_of(two, 0) == before);
  CHECK(hash_of(one, 1000) == hash_of(two, 1000));
  for (const std::size_t i : {std::size_t(0), std::size_t(70000), x.size() - 1}) {
    const float kept = std::exchange(x[i], std::nextafter(0.5f, 1.0f));
    CHECK(hash_of(one, 0) != before);
    x[i] = kept;
  }
  x[0] = 0.0f;
  const std::uint64_t positive = hash_of(one, 0);
  x[0] = -0.0f;
  CHECK(hash_of(one, 0) != positive);
}
