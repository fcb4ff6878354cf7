#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"
#include "moderngpt2/training/loss_scale.hpp"
#include "moderngpt2/training/state.hpp"

using namespace moderngpt2;

namespace {

/// The scale after each step, of which those marked x overflow.
std::vector<double> scales(const LossScaling& settings, const char* steps) {
  LossScale scale(settings);
  std::vector<double> values;
  for (const char* step = steps; *step; ++step) {
    scale.update(*step == 'x');
    values.push_back(scale.value());
  }
  return values;
}

}  // namespace

TEST_CASE("a dynamic loss scale: doubled after a window, halved by the overflows after the first") {
  LossScaling s{.min_loss_scale = 2, .initial_scale_power = 4, .loss_scale_window = 3};
  CHECK(LossScale(s).value() == 16);
  CHECK(scales(s, "...x..x...") == std::vector<double>{16, 16, 32, 32, 32, 32, 16, 16, 16, 32});
  CHECK(scales(s, "xxxxxx") == std::vector<double>{16, 8, 4, 2, 2, 2});
  // The hysteresis is restored after a window, or after any step.
  CHECK(scales(s, "x...x.x") == std::vector<double>{16, 16, 16, 32, 32, 32, 16});
  s.consecutive_hysteresis = true;
  CHECK(scales(s, "x.x.xx") == std::vector<double>{16, 16, 16, 16, 16, 8});
  s.hysteresis = 1;
  CHECK(scales(s, "x.x") == std::vector<double>{8, 8, 4});
  s.loss_scale = 128;
  CHECK(scales(s, "xx....") == std::vector<double>(6, 128.0));
  CHECK_FALSE(LossScale(s).can_shrink());
  CHECK_ERROR(LossScale({.initial_scale_power = 2000}), "initial_scale_power is 2000");
}

TEST_CASE("a loss scale stands in a checkpoint's state, and DeepSpeed's config sets it") {
  TrainerState state;
  state.files = {{"model.safetensors", 1, "0"}};
  CHECK_FALSE(to_json(state, {})["moderngpt2"].contains("loss_scale"));
  LossScale scale(LossScaling{});
  scale.update(true), scale.update(false);
  state.loss_scale = scale.state();
  const TrainerState read = parse_trainer_state(to_json(state, {}), "here");
  REQUIRE(read.loss_scale);
  CHECK(read.loss_scale->scale == 65536);
  CHECK(read.loss_scale->good_steps == 1);
  CHECK(read.loss_scale->overflows_left == 1);
  LossScale resumed(LossScaling{});
  resumed.resume(*read.loss_scale);
  resumed.update(true);
  CHECK(resumed.value() == 32768);

  TrainingSettings settings;
  const Json json = parse_json(R"({"fp16": {"enabled": true, "loss_scale_window": 7, "hysteresis": 1}})", "here");
  apply_deepspeed_config(parse_deepspeed_config(json, "here"), 1, settings, {[](const std::string&) { return false; }});
  CHECK(settings.loss_scaling == LossScaling{.loss_scale_window = 7, .hysteresis = 1});
}
