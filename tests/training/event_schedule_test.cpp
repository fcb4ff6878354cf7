#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/training/event_schedule.hpp"
#include "moderngpt2/training/run_events.hpp"
#include "moderngpt2/training/validate_settings.hpp"

using namespace moderngpt2;

namespace {

using Steps = std::vector<std::int64_t>;

template <class E>
E value_of(const Json& word) {
  for (const auto& [text, value] : words_of(E()))
    if (text == word.get<std::string>()) return value;
  FAIL("unknown word");
  return {};
}

/// Settings of a case of training_events.json.
TrainingSettings settings_of(const Json& c) {
  TrainingSettings s;
  s.logging_strategy = value_of<IntervalStrategy>(c["logging_strategy"]),
  s.logging_steps = c["logging_steps"].get<std::int64_t>();
  s.logging_first_step = c["logging_first_step"];
  s.eval_strategy = value_of<IntervalStrategy>(c["eval_strategy"]), s.eval_steps = c["eval_steps"].get<std::int64_t>();
  s.eval_delay = c["eval_delay"];
  s.save_strategy = value_of<SaveStrategy>(c["save_strategy"]), s.save_steps = c["save_steps"].get<std::int64_t>();
  s.load_best_model_at_end = c["load_best_model_at_end"];
  if (!c["metric"].is_null()) s.metric_for_best_model = "eval_" + c["metric"].get<std::string>();
  if (c["evaluations"] > 0)
    s.early_stopping_patience = c["evaluations"].get<int>(), s.early_stopping_threshold = c["threshold"];
  return s;
}

struct Course {
  Steps log, eval, save;
  TrainerState state;
};

/// Events of a run whose evaluations give `values` in turn.
Course simulate(const TrainingSettings& s, std::int64_t steps, std::int64_t steps_per_epoch,
                const std::vector<double>& values) {
  Course course;
  TrainerState& state = course.state;
  state.blocks = steps_per_epoch;
  const TrainingHooks hooks;
  distributed::CommunicatorBase& ranks = distributed::ranks_or_single(nullptr);
  RunLog log(state, hooks);
  RunControl control(hooks, ranks);
  RunEvents events(s, state, control, log, ranks);
  events.begin_run(steps);
  CHECK(events.due() == StepEvents());
  while (!events.ends_here()) {
    ++state.step;
    if (++state.position.samples == steps_per_epoch) ++state.position.epoch, state.position.samples = 0;
    const StepEvents due = events.due();
    bool is_best = false;
    control.agree(false);
    if (events.wants_evaluation(due)) {
      const double value = values[course.eval.size() % values.size()];
      is_best = events.compare({.loss = value, .labels = 1, .scores = {{"accuracy", value}}, .step = state.step});
      course.eval.push_back(state.step);
      control.agree(false);
    }
    if (due.log || events.ends_here()) course.log.push_back(state.step);
    if (!events.wants_save(due, is_best)) continue;
    events.add_checkpoint();
    course.save.push_back(state.step);
  }
  return course;
}

/// Steps and a last one.
Steps with(Steps steps, std::int64_t last) {
  if (steps.empty() || steps.back() != last) steps.push_back(last);
  return steps;
}

}  // namespace

TEST_CASE("events of random strategies are those of Transformers' Trainer") {
  const Json golden = read_json_file(std::string(MODERNGPT2_TEST_DATA) + "/golden/training_events.json");
  CHECK(golden["cases"].size() == 80);
  for (const Json& c : golden["cases"]) {
    CAPTURE(c.dump());
    const TrainingSettings s = settings_of(c);
    validate(s);
    const Course got = simulate(s, c["max_steps"], c["steps_per_epoch"], c["values"]);
    const Json& want = c["expected"];
    // Here the last step is also logged and, despite eval_delay, evaluated; an early stop is also saved.
    const auto last = want["steps"].get<std::int64_t>();
    CHECK(got.state.step == last);
    CHECK(got.log == with(want["log"], last));
    CHECK(got.eval == (evaluates_at_end(s) ? with(want["eval"], last) : want["eval"].get<Steps>()));
    CHECK(got.save == (saves_at_end(s) ? with(want["save"], last) : want["save"].get<Steps>()));
    if (got.eval != want["eval"].get<Steps>() || !follows_metric(s)) continue;
    const BestState& best = got.state.best;
    CHECK(best.without_improvement * (s.early_stopping_patience ? 1 : 0) == want["counter"]);
    REQUIRE(best.metric.has_value() == !want["best_metric"].is_null());
    if (best.metric) CHECK(*best.metric == want["best_metric"]);
    if (!want["best_step"].is_null()) CHECK(best.step == want["best_step"]);
    // Transformers loads no better checkpoint after the best evaluation if that has none.
    if (want["best_checkpoint"] == want["best_step"] && !want["best_step"].is_null())
      CHECK(best.saved_step == want["best_checkpoint"]);
  }
}

TEST_CASE("intervals adapt to the length of the run; a setting stands") {
  TrainingSettings s;
  CHECK(step_intervals(s, 1) == StepIntervals{1, 1, 1});
  CHECK(step_intervals(s, 39) == StepIntervals{1, 1, 1});
  CHECK(step_intervals(s, 50) == StepIntervals{2, 2, 2});
  CHECK(step_intervals(s, 10'000) == StepIntervals{500, 500, 500});
  CHECK(step_intervals(s, 30'000) == StepIntervals{500, 500, 1500});
  CHECK(step_intervals(s, 1'000'000) == StepIntervals{500, 500, 5000});
  s.logging_steps = 500, s.eval_steps = 0, s.save_steps = 5000;
  CHECK(step_intervals(s, 50) == StepIntervals{500, 0, 5000});
  s.eval_strategy = IntervalStrategy::epoch, s.logging_strategy = IntervalStrategy::no, s.save_steps.reset();
  CHECK(step_intervals(s, 50) == StepIntervals{0, 0, 2});
}

TEST_CASE("with load_best_model_at_end, each checkpoint has an evaluation by default") {
  TrainingSettings s;
  s.load_best_model_at_end = true;
  CHECK(step_intervals(s, 30'000).save == 500);
  s.eval_steps = 70;
  CHECK(step_intervals(s, 30'000).save == 70);
  s.eval_steps.reset(), s.save_steps = 1000;
  CHECK(step_intervals(s, 30'000).eval == 500);
  s.save_steps = 750;
  CHECK(step_intervals(s, 30'000).eval == 750);
  validate(s);
}

TEST_CASE("steps below 1 are fractions of all steps, rounded up as in Transformers") {
  TrainingSettings s;
  s.logging_steps = 0.001, s.eval_steps = 0.1, s.save_steps = 0.3;
  CHECK(step_intervals(s, 101) == StepIntervals{.logging = 1, .eval = 11, .save = 31});
  s.load_best_model_at_end = true;
  validate(s);
  CHECK(step_intervals(s, 101).save == 33);  // an evaluation at each checkpoint
  CHECK(step_intervals(s, 2) == StepIntervals{.logging = 1, .eval = 1, .save = 3});
  s.save_steps = 0.25;
  CHECK_ERROR(validate(s), "save_steps is 0.25", "multiple of eval_steps 0.1");
  s.save_steps = 20;
  CHECK_ERROR(validate(s), "multiple of eval_steps 0.1");
  s.save_steps.reset(), s.eval_steps = 1.5;
  CHECK_ERROR(validate(s), "eval_steps is 1.5", "whole number");
}

TEST_CASE("settings of events that contradict each other are errors") {
  using S = TrainingSettings;
  const auto refused = [](auto&& change) {
    S s;
    change(s);
    return test::error_of([&] { validate(s); });
  };
  CHECK(refused([](S& s) { s.load_best_model_at_end = true, s.eval_strategy = IntervalStrategy::no; }) ==
        "load_best_model_at_end needs evaluations, but eval_strategy is no");
  CHECK(refused([](S& s) { s.early_stopping_patience = 3, s.eval_steps = 0; }) ==
        "early_stopping_patience needs evaluations, but eval_strategy is steps and eval_steps is 0");
  CHECK(test::contains(refused([](S& s) { s.load_best_model_at_end = true, s.save_strategy = SaveStrategy::epoch; }),
                       "save_strategy is epoch and eval_strategy is steps"));
  CHECK(test::contains(refused([](S& s) { s.load_best_model_at_end = true, s.save_steps = 0; }), "with save_steps 0"));
  CHECK(test::contains(refused([](S& s) { s.load_best_model_at_end = true, s.save_steps = 150, s.eval_steps = 100; }),
                       "save_steps is 150, it must be a multiple of eval_steps 100"));
  CHECK(test::contains(refused([](S& s) { s.early_stopping_threshold = 0.1; }), "give early_stopping_patience"));
  CHECK(test::contains(refused([](S& s) { s.early_stopping_patience = 0; }), "must be at least 1"));
  CHECK(test::contains(refused([](S& s) { s.label_smoothing_factor = 1.5; }), "at least 0 and at most 1"));
  CHECK(test::contains(refused([](S& s) { s.metric_for_best_model = "eval_"; }), "metric of the evaluation"));
  S s;  // accepted by Transformers
  s.load_best_model_at_end = true, s.save_strategy = SaveStrategy::best, s.eval_strategy = IntervalStrategy::epoch;
  validate(s);
}

TEST_CASE("a greater metric is better, except for losses and errors") {
  TrainingSettings s;
  const auto greater = [&](const char* name) {
    s.metric_for_best_model = name;
    return greater_is_better(s);
  };
  CHECK_FALSE(greater_is_better(s));
  CHECK_FALSE(greater("eval_loss"));
  CHECK_FALSE(greater("perplexity"));
  CHECK_FALSE(greater("mse"));
  CHECK(greater("accuracy"));
  CHECK(greater("eval_f1"));
  s.greater_is_better = false;
  CHECK_FALSE(greater("accuracy"));
}

TEST_CASE("the summary says when a run logs, evaluates and saves") {
  TrainingSettings s;
  CHECK(events_text(s, step_intervals(s, 100)) ==
        "log every 5 steps; evaluation every 5 steps and at the end; checkpoint every 5 steps and at the end");
  s.logging_strategy = IntervalStrategy::no, s.eval_strategy = IntervalStrategy::epoch, s.eval_on_start = true;
  s.save_strategy = SaveStrategy::best, s.early_stopping_patience = 2;
  CHECK(events_text(s, step_intervals(s, 100)) ==
        "log at the end; evaluation at the start, every epoch and at the end; checkpoint after each new best "
        "evaluation; best by loss, less is better; stops after 2 evaluations without improvement");
}
