#include <cmath>
#include <cstdint>
#include <string>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"
#include "moderngpt2/training/schedule.hpp"
#include "moderngpt2/training/settings.hpp"
#include "moderngpt2/training/validate_settings.hpp"

using namespace moderngpt2;

TEST_CASE("every schedule gives Hugging Face's rates") {
  const Json golden = read_json_file(std::string(MODERNGPT2_TEST_DATA) + "/golden/lr_schedules.json");
  CHECK(golden.size() == schedule_names.size());
  for (const auto& item : golden.items()) {
    const std::string& name = item.key();
    const Json& entry = item.value();
    CAPTURE(name);
    const LearningRateSchedule schedule(name, entry.at("kwargs"), entry.at("base_lr").get<double>(),
                                        entry.at("num_warmup_steps").get<std::int64_t>(),
                                        entry.at("num_training_steps").get<std::int64_t>());
    std::int64_t step = 0;
    for (const Json& expected : entry.at("lr")) {
      CAPTURE(step);
      CHECK(std::abs(schedule.at(step++) - expected.get<double>()) < 1e-15);
    }
  }
}

TEST_CASE("schedules of random arguments give Hugging Face's rates") {
  const Json sweep = read_json_file(std::string(MODERNGPT2_TEST_DATA) + "/golden/lr_schedules_sweep.json");
  CHECK(sweep.size() > 100);
  for (const Json& entry : sweep) {
    CAPTURE(entry.dump().substr(0, 200));
    const LearningRateSchedule schedule(entry[0].get<std::string>(), entry[4], entry[1].get<double>(),
                                        entry[2].get<std::int64_t>(), entry[3].get<std::int64_t>());
    for (const Json& point : entry[5]) {
      CAPTURE(point.dump());
      const double expected = point[1].get<double>();
      CHECK(std::abs(schedule.at(point[0].get<std::int64_t>()) - expected) <= 1e-15 + 1e-13 * std::abs(expected));
    }
  }
}

TEST_CASE("a schedule refuses what it does not know") {
  const auto make = [](const char* name, const char* kwargs) {
    return LearningRateSchedule(name, parse_json(kwargs, "kwargs"), 1e-3, 6, 40);
  };
  CHECK_ERROR(make("cosinus", "{}"), "cosinus", "inverse_sqrt");
  CHECK_ERROR(make("cosine", R"({"num_cycle": 1})"), "num_cycle", "it has num_cycles");
  CHECK_ERROR(make("linear", R"({"a": 1})"), "linear has no argument \"a\"");
  CHECK_ERROR(make("cosine", R"({"num_cycles": "x"})"), "num_cycles", "number");
  CHECK_ERROR(make("cosine", "[1]"), "object");
  CHECK_ERROR(make("cosine_with_min_lr", "{}"), "min_lr");
  CHECK_ERROR(make("cosine_with_min_lr", R"({"min_lr": 1e-5, "min_lr_rate": 0.1})"), "min_lr");
  CHECK_ERROR(make("warmup_stable_decay", "{}"), "num_decay_steps");
  CHECK_ERROR(make("warmup_stable_decay", R"({"num_decay_steps": 3, "decay_type": "exp"})"), "exp");
  CHECK_ERROR(make("polynomial", R"({"lr_end": 1})"), "lr_end");
  CHECK_ERROR(make("inverse_sqrt", R"({"timescale": 0})"), "timescale");
  CHECK_ERROR(make("cosine_with_min_lr", R"({"min_lr": -1})"), "min_lr is -1");
  CHECK_ERROR(make("warmup_stable_decay", R"({"num_decay_steps": -1})"), "num_decay_steps is -1");
  CHECK_ERROR(make("warmup_stable_decay", R"({"num_decay_steps": 3, "min_lr_ratio": -0.1})"), "min_lr_ratio");
  CHECK_ERROR(make("warmup_stable_decay", R"({"num_decay_steps": 3, "num_steps": 4})"), "no argument \"num_steps\"");
  CHECK_ERROR(LearningRateSchedule("cosine_with_min_lr", parse_json(R"({"min_lr": 0})", "k"), 0, 1, 9), "min_lr_rate");
}

TEST_CASE("steps and warm-up") {
  CHECK(warmup_steps_of_ratio(0.05, 100) == 5);
  CHECK(warmup_steps_of_ratio(0.05, 101) == 6);
  CHECK(warmup_steps_of_ratio(0.1, 30) == 3);  // 0.1 * 30 is above 3 in doubles
  CHECK(warmup_steps_of_ratio(0, 30) == 0);
  TrainingSettings s;
  CHECK(warmup_steps(s, 1000) == 50);
  s.warmup_steps = 7;
  CHECK(warmup_steps(s, 1000) == 7);
  s.warmup_steps = 0.1;  // as in Transformers 5, a fraction
  CHECK(warmup_steps(s, 1000) == 100);
  CHECK(warmup_steps(s, 101) == 11);
  s.warmup_steps = 0;
  CHECK(warmup_steps(s, 1000) == 0);
  s.warmup_steps = 1;
  CHECK(warmup_steps(s, 1000) == 1);
  s.warmup_steps = 2.5;
  CHECK_ERROR(validate(s), "warmup_steps is 2.5", "whole number");
  s.warmup_steps.reset();

  s.per_device_train_batch_size = 3;
  s.gradient_accumulation_steps = 2;
  CHECK(steps_per_epoch(50, 6) == 9);
  CHECK(last_step(s, 50) == 9);
  s.num_train_epochs = 2.5;
  CHECK(last_step(s, 50) == 23);
  CHECK(last_step(s, 50, 9, {1, 0}) == 23);
  CHECK(last_step(s, 50, 12, {1, 18}) == 23);
  s.per_device_train_batch_size = 1;  // 25 steps an epoch: 63 in all, of which 1 epoch and 9 steps are done
  CHECK(last_step(s, 50, 12, {1, 18}) == 12 + 63 - 34);
  for (const double epochs : {1e17, 1e300}) {
    s.num_train_epochs = epochs;
    CHECK_ERROR(last_step(s, 50), "num_train_epochs", "too large");
    s.total_train_samples = 30;
    CHECK_ERROR(last_step(s, 50), "num_train_epochs", "too large");
    s.total_train_samples = -1;
  }
  s.max_steps = 5;
  CHECK(last_step(s, 50, 12, {1, 18}) == 5);
}

TEST_CASE("clipping is PyTorch's") {
  CHECK(clip_coefficient(0.5, 1) == 1);
  CHECK(clip_coefficient(4, 1) == 1 / (4 + 1e-6));
  CHECK(clip_coefficient(1, 1) == 1 / (1 + 1e-6));
  CHECK(clip_coefficient(1e9, 0) == 1);
}

TEST_CASE("operations a token") {
  constexpr std::int64_t blocks = 12 * (4 * 768 * 768 + 3 * 768 * 3072), head = 768 * 50257;
  constexpr CausalLM<any_shape>::Layers layers(small_config);
  static_assert(layers.matmul_parameters() == blocks + head);
  static_assert(layers.training_flops_per_token(1023) == 6.0 * double(blocks + head) + 12.0 * 12 * 768 * 512);
  static_assert(SequenceClassifier<any_shape>::Layers(small_config).matmul_parameters() == blocks);
}
