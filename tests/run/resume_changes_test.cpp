#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/run/resume_changes.hpp"

using namespace moderngpt2;

namespace {

/// A state as a checkpoint of `settings` has it.
TrainerState state_of(const TrainingSettings& settings) {
  TrainerState state;
  state.step = 10, state.max_steps = 100, state.blocks = 50;
  state.files = {{"weights", 1, "x"}};
  state.origin = {.precision = "fp32", .train_data = "1", .eval_data = "2"};
  return parse_trainer_state(to_json(state, settings), "state");
}

}  // namespace

TEST_CASE("each changed setting has a line, and unchanged ones have none") {
  TrainingSettings s;
  const TrainerState before = state_of(s);
  const RunOrigin same{.precision = "fp32", .train_data = "1", .eval_data = "2"};
  CHECK(detail::resume_changes(before, s, same, 100).empty());

  s.learning_rate = 1e-3, s.lr_scheduler_type = "linear", s.warmup_steps = 5, s.world_size = 2, s.zero_stage = 3;
  s.per_device_train_batch_size = 4, s.gradient_accumulation_steps = 2;
  s.output_dir = "elsewhere", s.seed = 7;  // no settings of the computation; the checkpoint's seed stays
  const std::vector<std::string> lines =
      detail::resume_changes(before, s, {.precision = "bf16", .train_data = "1", .eval_data = "3"}, 200);
  std::string text;
  for (const std::string& line : lines) {
    CHECK(line.starts_with("changed since the checkpoint: "));
    text += line + "\n";
  }
  CHECK(lines.size() == 10);
  for (const char* part :
       {"learning_rate was 0.00025 and is now 0.001", "lr_scheduler_type was cosine and is now linear",
        "warmup_steps was unset and is now 5", "per_device_train_batch_size was 8 and is now 4",
        "gradient_accumulation_steps was 1 and is now 2", "world_size was 1 and is now 2",
        "zero_stage was 1 and is now 3", "precision was fp32 and is now bf16", "the last step was 100 and is now 200",
        "the evaluation data"})
    CHECK_MESSAGE(test::contains(text, part), std::string(part));
}

TEST_CASE("every described setting is compared") {
  const TrainerState before = state_of({});
  int rows = 0;
  const TrainingSettings standard;
  describe(standard, [&](const auto&, const Field& field) {
    ++rows;
    TrainerState other = before;
    for (auto& [name, text] : other.origin.settings)
      if (name == field.name) text = "another";
    const auto lines = detail::resume_changes(other, {}, before.origin, 100);
    const std::string name = field.name;
    CHECK_MESSAGE(lines.size() == (name != "output_dir" && name != "seed"), name);
  });
  CHECK(before.origin.settings.size() == std::size_t(rows));
}

TEST_CASE("a checkpoint of an earlier version says nothing, and other data of the same size is refused") {
  Json json = to_json(state_of({}), {});
  for (const char* key : {"settings", "precision", "train_data", "eval_data"}) json["moderngpt2"].erase(key);
  const TrainerState old = parse_trainer_state(json, "state");
  TrainingSettings s;
  s.learning_rate = 1;
  CHECK(detail::resume_changes(old, s, {.precision = "bf16", .train_data = "9"}, 100).empty());
  CHECK_NOTHROW(detail::require_same_data({"c", old}, {.train_data = "9"}, 50));
  const Checkpoint checkpoint{"c", state_of({})};
  CHECK_NOTHROW(detail::require_same_data(checkpoint, {.train_data = "1"}, 50));
  CHECK_NOTHROW(detail::require_same_data(checkpoint, {.train_data = "9"}, 51));  // Trainer::resume() names the sizes
  CHECK_ERROR(detail::require_same_data(checkpoint, {.train_data = "9"}, 50), "other data of the same size",
              "model_path");
}
