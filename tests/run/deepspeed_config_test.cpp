#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/run/deepspeed_config.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

DeepSpeedConfig parse(const std::string& text) {
  return parse_deepspeed_config(parse_json(without_json_comments(text), "ds.json"), "ds.json");
}

/// The command line: flags that were typed, and the settings with their values.
struct CommandLine {
  std::set<std::string> typed;
  std::optional<std::string> precision;
  TrainingSettings settings;
  int ranks = 1;

  LauncherEffect apply(const std::string& text) {
    return apply_deepspeed_config(parse(text), ranks, settings,
                                  {[this](const std::string& flag) { return typed.contains(flag); }, precision});
  }
};

std::string lines(const LauncherEffect& effect) { return fmt::format("{}", fmt::join(effect.lines, "\n")); }

}  // namespace

TEST_CASE("each setting that a DeepSpeed config names is one of the training settings") {
  const DeepSpeedConfig config;
  const TrainingSettings settings;
  describe(config, [&](const auto&, const Field& row, const InDeepSpeed& rules) {
    int found = 0;
    describe(settings, [&](const auto&, const Field& field) { found += rules.setting == field.name; });
    CHECK_MESSAGE(found == (rules.setting.empty() ? 0 : 1), row.name);
  });
}

TEST_CASE("comments and last commas") {
  const std::string text = "{ # one\n \"a\": \"# // /* ,]\", // two\n \"b\": [1, 2, /* three\n , */ ],\n}\n";
  const std::string plain = without_json_comments(text);
  CHECK(plain.size() == text.size());
  CHECK(parse_json(plain, "x").dump() == R"({"a":"# // /* ,]","b":[1,2]})");
  CHECK_ERROR(parse_json(without_json_comments("{\n# x\n\"a\": 1,, }"), "x"), "line 3");
  CHECK_ERROR(parse_json(without_json_comments("[,]"), "x"), "line 1");
  CHECK_ERROR(parse_json(without_json_comments("[1] /* open"), "x"), "line 1");
  CHECK_ERROR(parse_json(without_json_comments("{\"a\": 1, \"a\": 2}"), "x"), "\"a\" occurs twice");
  CHECK(without_json_comments("\"a\\\"") == "\"a\\\"");
  CHECK(without_json_comments("\"a\\") == "\"a\\");
}

TEST_CASE("the usual three lines: auto and silence take the command line's values") {
  CommandLine line;
  line.settings.learning_rate = 3e-4;
  line.settings.per_device_train_batch_size = 16;
  const TrainingSettings before = line.settings;
  const LauncherEffect effect = line.apply(R"({"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
      "gradient_accumulation_steps": "auto", "zero_optimization": {"stage": 1},
      "optimizer": {"type": "AdamW", "params": {"lr": "auto"}}, "bf16": {"enabled": "auto"}})");
  CHECK(line.settings.learning_rate == 3e-4);
  CHECK(line.settings.adam_beta2 == 0.95);
  CHECK(line.settings.weight_decay == 0.01);
  CHECK(line.settings.global_batch() == before.global_batch());
  CHECK_FALSE(effect.precision);
  CHECK(lines(effect) == "ZeRO stage 1: one process, there is nothing to shard");
  CHECK(parse("{\"zero_optimization\": true}").zero.stage == 1);
  CHECK(parse("{\"zero_optimization\": false}").zero.stage == 0);
  line = {};
  line.ranks = 2;
  line.settings.zero_stage = 2;
  for (const char* silent : {"{}", R"({"zero_optimization": {}})", R"({"zero_optimization": {"stage": "auto"}})"})
    CHECK(lines(line.apply(silent)) == "");
  CHECK(line.settings.zero_stage == 2);
}

TEST_CASE("what ranks share, and in what portions") {
  CommandLine line;
  line.ranks = 2;
  CHECK(lines(line.apply(R"({"zero_optimization": {"stage": 2, "reduce_bucket_size": 5e6, "overlap_comm": true,
                             "allgather_bucket_size": 5e6, "contiguous_gradients": true}})")) ==
        "ds.json sets zero_stage 2, reduce_bucket_size 5000000");
  CHECK(line.settings.zero_stage == 2);
  CHECK(line.settings.bucket_elements == 5'000'000);
  line.apply(R"({"zero_optimization": {"reduce_bucket_size": "auto"}})");
  CHECK(line.settings.bucket_elements == 1);  // a block at a time
  line.settings.bucket_elements = 5;
  line.apply(R"({"zero_optimization": {"reduce_bucket_size": 0, "allgather_bucket_size": 0}})");
  CHECK(line.settings.bucket_elements == 1);  // 0 is allowed in DeepSpeed: each gradient by itself
  line.typed = {"zero_stage"};
  CHECK_ERROR(line.apply(R"({"zero_optimization": true})"), "zero_optimization.stage is 1, --zero_stage 2");
}

TEST_CASE("the file overrides defaults, and reports that") {
  CommandLine line;
  const LauncherEffect effect = line.apply(R"({"train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 3,
      "gradient_clipping": 0.5, "bfloat16": {"enabled": true},
      "optimizer": {"type": "adam", "params": {"lr": 1e-3, "betas": [0.8, "auto"], "eps": 1e-6,
                                                  "weight_decay": 0.1}}})");
  const TrainingSettings& s = line.settings;
  CHECK(s.per_device_train_batch_size == 4);
  CHECK(s.gradient_accumulation_steps == 3);
  CHECK(s.max_grad_norm == 0.5);
  CHECK(s.learning_rate == 1e-3);
  CHECK(s.adam_beta1 == 0.8);
  CHECK(s.adam_beta2 == 0.95);
  CHECK(s.adam_epsilon == 1e-6);
  CHECK(s.weight_decay == 0.1);
  CHECK(effect.precision == "bf16");
  CHECK(lines(effect) ==
        "ds.json sets per_device_train_batch_size 4, gradient_accumulation_steps 3, max_grad_norm 0.5, learning_rate "
        "0.001, adam_beta1 0.8, adam_epsilon 1e-06, weight_decay 0.1");
}

TEST_CASE("typed flags contradict it: one error lists all") {
  CommandLine line;
  line.typed = {"learning_rate", "adam_beta2", "per_device_train_batch_size", "max_grad_norm"};
  line.precision = "fp16";
  try {
    line.apply(R"({"train_micro_batch_size_per_gpu": 4, "gradient_clipping": 1, "bf16": {"enabled": true},
                   "optimizer": {"type": "AdamW", "params": {"lr": 1e-3, "betas": [0.9, 0.999]}}})");
    FAIL("not refused");
  } catch (const UsageError& error) {
    CHECK(std::string(error.what()) ==
          "ds.json and the command line contradict each other: train_micro_batch_size_per_gpu is 4, "
          "--per_device_train_batch_size 8; optimizer.params.lr is 0.001, --learning_rate 0.00025; "
          "optimizer.params.betas[1] is 0.999, --adam_beta2 0.95; bf16.enabled is true, --precision fp16: leave one of "
          "the two out (\"auto\" in the file)");
  }
  line = {};
  line.typed = {"learning_rate"};
  CHECK_ERROR(line.apply(R"({"optimizer": {"type": "Adam", "params": {"lr": 1e-3}},
                             "scheduler": {"type": "WarmupLR", "params": {"warmup_max_lr": 2e-3}}})"),
              "optimizer.params.lr is 0.001, --learning_rate 0.00025; scheduler.params.warmup_max_lr is 0.002, "
              "--learning_rate 0.00025");
  line = {};
  line.precision = "bf16";
  CHECK(line.apply(R"({"bf16": {"enabled": true}, "fp16": {"enabled": false}})").precision == "bf16");
  CHECK_ERROR(line.apply(R"({"bf16": {"enabled": false}})"), "bf16.enabled is false, --precision bf16");
}

TEST_CASE("batch sizes: any two give the third, and the product is checked") {
  const auto batch = [](const std::string& text, int ranks = 1, std::set<std::string> typed = {}) {
    CommandLine line;
    line.ranks = ranks;
    line.typed = std::move(typed);
    line.settings.per_device_train_batch_size = 6;
    line.settings.gradient_accumulation_steps = 2;
    line.apply(text);
    return std::pair(line.settings.per_device_train_batch_size, line.settings.gradient_accumulation_steps);
  };
  using Pair = std::pair<int, int>;
  CHECK(batch("{}") == Pair{6, 2});
  CHECK(batch(R"({"train_batch_size": 24, "train_micro_batch_size_per_gpu": 3})", 2) == Pair{3, 4});
  CHECK(batch(R"({"train_batch_size": 24, "gradient_accumulation_steps": 3})") == Pair{8, 3});
  CHECK(batch(R"({"train_micro_batch_size_per_gpu": 5, "gradient_accumulation_steps": 7})") == Pair{5, 7});
  CHECK(batch(R"({"train_batch_size": 24})", 2) == Pair{12, 1});
  CHECK(batch(R"({"train_batch_size": 24})", 2, {"per_device_train_batch_size"}) == Pair{6, 2});
  CHECK(batch(R"({"train_batch_size": 24})", 1, {"gradient_accumulation_steps"}) == Pair{12, 2});
  CHECK_ERROR(
      batch(R"({"train_batch_size": 32, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 4})"),
      "train_batch_size is 32, but 4 a device x 4 accumulated x 1 process = 16");
  CHECK_ERROR(batch(R"({"train_batch_size": 10, "train_micro_batch_size_per_gpu": 4})", 2),
              "train_batch_size is 10, but 4 a device x n accumulated x 2 processes = 8 n");
  CHECK_ERROR(batch(R"({"train_batch_size": 10})", 1, {"gradient_accumulation_steps", "per_device_train_batch_size"}),
              "6 a device x 2 accumulated x 1 process = 12");
  CHECK_ERROR(batch(R"({"train_batch_size": "8"})"), "train_batch_size must be an integer, found \"8\"");
  CHECK_ERROR(batch(R"({"train_batch_size": 0})"), "must be positive");
  CHECK_ERROR(batch(R"({"train_batch_size": 9e14})"), "too large");
  // Products of the file's numbers that overflow.
  for (const int ranks : {1, 2, 4, 1 << 20}) {
    CHECK_ERROR(batch(R"({"train_batch_size": 8, "train_micro_batch_size_per_gpu": 4611686018427387904})", ranks),
                "a batch size of 4611686018427387904 is too large");
    CHECK_ERROR(batch(R"({"train_batch_size": 8, "gradient_accumulation_steps": 9223372036854775807})", ranks),
                "too large");
  }
  const std::string large =
      R"("train_micro_batch_size_per_gpu": 1073741824, "gradient_accumulation_steps": 1073741824)";
  for (const std::string& text : {"{" + large + "}", R"({"train_batch_size": 8, )" + large + "}"})
    CHECK_ERROR(batch(text, 16), "1073741824 a device x 1073741824 accumulated x 16 processes", "at most 1e15");
}

TEST_CASE("bad files") {
  CHECK_ERROR(parse("[]"), "ds.json", "the file must be an object");
  CHECK_ERROR(parse(R"({"fp16": {"enabled": true}, "bf16": {"enabled": true}})"), "fp16 and bf16 are both enabled");
  CHECK_ERROR(parse(R"({"bf16": {}, "bfloat16": {}})"), "bf16 and bfloat16");
  CHECK_ERROR(parse(R"({"bf16": {"enabled": "true"}})"), "bf16.enabled must be true or false");
  CHECK_ERROR(parse(R"({"bf16": true})"), "bf16 must be an object");
  CHECK_ERROR(parse(R"({"optimizer": {"type": "Lamb"}})"), "optimizer.type is \"Lamb\", supported are Adam and AdamW");
  CHECK_ERROR(parse(R"({"optimizer": {"params": {}}})"), "optimizer.type is missing");
  CHECK_ERROR(parse(R"({"optimizer": {"type": "Adam", "params": {"lr": "1e-3"}}})"), "optimizer.params.lr");
  CHECK_ERROR(parse(R"({"optimizer": {"type": "Adam", "params": {"eps": 0}}})"), "eps is 0");
  CHECK_ERROR(parse(R"({"optimizer": {"type": "Adam", "params": {"betas": [0.9]}}})"), "betas must be a list of two");
  CHECK_ERROR(parse(R"({"optimizer": {"type": "Adam", "params": {"betas": [0.9, 1.5]}}})"), "betas contains 1.5");
  CHECK_ERROR(parse(R"({"scheduler": {"type": "OneCycle"}})"),
              "scheduler.type is \"OneCycle\", supported are WarmupLR,");
  CHECK_ERROR(parse(R"({"scheduler": {"type": "WarmupLR", "params": {"warmup_type": "cubic"}}})"), "known are log and");
  CHECK_ERROR(parse(R"({"zero_optimization": {"stage": 4}})"), "zero_optimization.stage is 4");
  CHECK_ERROR(parse(R"({"zero_optimization": {"stage": "1"}})"), "zero_optimization.stage must be an integer");
  CHECK_ERROR(parse(R"({"zero_optimization": {"reduce_bucket_size": 0.5}})"), "reduce_bucket_size");
  CHECK_ERROR(parse(R"({"zero_optimization": {"reduce_bucket_size": "5e8"}})"),
              "reduce_bucket_size must be an integer");
  CHECK_ERROR(parse(R"({"zero_optimization": {"allgather_bucket_size": -1}})"), "allgather_bucket_size is -1");
  CHECK_ERROR(parse(R"({"zero_optimization": {"overlap_comm": "no"}})"), "overlap_comm must be true or false");
  CHECK_ERROR(parse(R"({"zero_optimization": [1]})"), "zero_optimization must be an object");
  CHECK_ERROR(parse(R"({"gradient_accumulation_steps": "2"})"), "gradient_accumulation_steps must be an integer");
  CHECK_ERROR(parse(R"({"train_micro_batch_size_per_gpu": 1.5})"), "train_micro_batch_size_per_gpu must be an integer");
  CHECK_ERROR(parse(R"({"fp16": {"loss_scale_window": 0}})"), "fp16.loss_scale_window is 0");
  CHECK_ERROR(parse(R"({"gradient_clipping": -1})"), "gradient_clipping is -1");
  CommandLine line;
  CHECK_ERROR(line.apply(R"({"optimizer": {"type": "Adam", "params": {"adam_w_mode": false}}})"), "adam_w_mode");
  line.settings.weight_decay = 0;
  CHECK_NOTHROW(line.apply(R"({"optimizer": {"type": "Adam", "params": {"adam_w_mode": false}}})"));
  line = {};  // AdamW ignores it, as in DeepSpeed
  CHECK(lines(line.apply(R"({"optimizer": {"type": "AdamW", "params": {"adam_w_mode": false}}})")) == "");
  test::TemporaryFolder folder;
  CHECK_ERROR(read_deepspeed_config(folder / "none.json"), "none.json");
}

TEST_CASE("fields that are not honoured are named, with likely typos") {
  const DeepSpeedConfig config = parse(R"({"zero_optimisation": {"stage": 2}, "steps_per_print": 10,
      "wall_clock_breakdown": false, "flops_profiler": {"enabled": false, "profile_step": 1},
      "tensorboard": {"enabled": true}, "activation_checkpointing": {"partition_activations": false},
      "zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8, "offload_optimizer": {"device": "cpu"},
                            "overlap_com": true, "contiguous_gradients": true},
      "data_types": {"grad_accum_dtype": "bf16"}, "fp16": {"enabled": false, "loss_scale_windows": 100},
      "gradient_predivide_factor": 1.0, "xyz": 1})");
  CHECK(config.zero.stage == 2);
  CHECK(config.zero.reduce_bucket_size == 500'000'000);
  CHECK(fmt::format("{}", fmt::join(config.ignored, "\n")) ==
        "fp16.loss_scale_windows (did you mean loss_scale_window?)\n"
        "zero_optimization.offload_optimizer.device (nothing is offloaded)\n"
        "zero_optimization.overlap_com (did you mean overlap_comm?)\n"
        "data_types.grad_accum_dtype (gradients are summed in fp32)\n"
        "steps_per_print (use --logging_steps)\n"
        "tensorboard (use --report_to)\n"
        "zero_optimisation (did you mean zero_optimization?)\n"
        "xyz");
  const DeepSpeedConfig third = parse(R"({"zero_optimization": {"stage": 3, "stage3_prefetch_bucket_size": "auto",
      "stage3_max_live_parameters": 1e9, "stage3_gather_16bit_weights_on_model_save": true, "sub_group_size": 1e9}})");
  CHECK(third.zero.stage == 3);
  CHECK(fmt::format("{}", fmt::join(third.ignored, "\n")) ==
        "zero_optimization.stage3_max_live_parameters (half blocks are gathered, one ahead; norms and biases are "
        "replicated)\n"
        "zero_optimization.sub_group_size (half blocks are gathered, one ahead; norms and biases are replicated)");
  CHECK(fmt::format("{}", fmt::join(parse(R"({"zero_optimization": {"stage": 1, "allgather_bucket_size": 2e8,
      "reduce_bucket_size": 1e8, "overlap_comm": false, "round_robin_gradients": true, "contiguous_gradients": false,
      "reduce_scatter": false, "allgather_partitions": false, "stage3_max_live_parameters": 1e9,
      "stage3_gather_16bit_weights_on_model_save": true, "elastic_checkpoint": true}})")
                                        .ignored,
                                    "\n")) ==
        "zero_optimization.allgather_bucket_size (reduce_bucket_size applies to both)\n"
        "zero_optimization.overlap_comm (exchanges always overlap the backward pass)\n"
        "zero_optimization.round_robin_gradients (each process has a slice of every bucket)\n"
        "zero_optimization.contiguous_gradients (gradients always are)\n"
        "zero_optimization.reduce_scatter (stages 1 and 2 always do)\n"
        "zero_optimization.allgather_partitions (weights always are gathered)\n"
        "zero_optimization.stage3_max_live_parameters");
  CHECK(fmt::format("{}", fmt::join(parse(R"({"scheduler": {"type": "WarmupLR", "params": {"last_batch_iteration": 7}},
      "comms_logger": {"enabled": true}, "elasticity": {"enabled": true}, "aio": {"block_size": 1048576},
      "prescale_gradients": true, "gradient_predivide_factor": 2.0, "communication_data_type": "fp16",
      "checkpoint": {"tag_validation": "Warn"}, "activation_checkpointing": {"cpu_checkpointing": true},
      "memory_breakdown": true, "wandb": {"enabled": true}})")
                                        .ignored,
                                    "\n")) ==
        "scheduler.params.last_batch_iteration (use --resume_from_checkpoint)\n"
        "communication_data_type (gradients are exchanged in fp32)\n"
        "activation_checkpointing (use --gradient_checkpointing)\n"
        "wandb (use --report_to)\n"
        "memory_breakdown\ncomms_logger\nelasticity\naio\ncheckpoint\n"
        "prescale_gradients\ngradient_predivide_factor");
  CommandLine line;
  CHECK(lines(line.apply(R"({"xyz": 1, "dump_state": true})")) == "warning: ds.json: not honoured: dump_state, xyz");
}

TEST_CASE("DeepSpeed's schedules") {
  CommandLine line;
  const LauncherEffect effect = line.apply(R"({"scheduler": {"type": "WarmupDecayLR", "params": {"total_num_steps": 100,
      "warmup_min_lr": 1e-5, "warmup_max_lr": 1e-3, "warmup_num_steps": 10}}})");
  CHECK(lines(effect) == "ds.json sets learning_rate 0.001, lr_scheduler_type WarmupDecayLR, warmup_steps 10");
  CHECK(line.settings.max_steps == -1);  // only the schedule ends there
  const LearningRateSchedule decay = make_schedule(line.settings, 50);
  CHECK(decay.at(0) == 1e-5);
  CHECK(decay.at(1) == 1e-5);
  CHECK(decay.at(6) == doctest::Approx(1e-5 + (1e-3 - 1e-5) * std::log(6) / std::log(10)));
  CHECK(decay.at(11) == 1e-3);
  CHECK(decay.at(56) == doctest::Approx(1e-5 + (1e-3 - 1e-5) * 0.5));
  CHECK(decay.at(200) == 1e-5);

  line = {};
  line.settings.warmup_steps = 4;
  line.apply(R"({"scheduler": {"type": "WarmupLR", "params": {"warmup_type": "linear", "warmup_max_lr": "auto"}}})");
  const LearningRateSchedule constant = make_schedule(line.settings, 50);
  CHECK(constant.at(3) == doctest::Approx(2.5e-4 / 2));
  CHECK(constant.at(49) == 2.5e-4);
  line = {};
  line.apply(R"({"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_num_steps": 0, "cos_min_ratio": 0.1}}})");
  const LearningRateSchedule cosine = make_schedule(line.settings, 42);
  CHECK(cosine.at(2) == doctest::Approx(2.5e-4));  // ln(2) / ln(2): two steps at the least
  CHECK(cosine.at(22) == doctest::Approx(2.5e-4 * (0.1 + 0.9 * 0.5)));
  CHECK(cosine.at(42) == doctest::Approx(2.5e-5));

  line = {};
  line.typed = {"lr_scheduler_type", "lr_scheduler_kwargs", "warmup_ratio", "max_steps"};
  line.settings.max_steps = 7;
  CHECK_ERROR(line.apply(R"({"scheduler": {"type": "WarmupDecayLR",
                             "params": {"warmup_num_steps": 5, "total_num_steps": 8}}})"),
              "scheduler.type is WarmupDecayLR, --lr_scheduler_type cosine", "scheduler and --lr_scheduler_kwargs",
              "scheduler.params.warmup_num_steps and --warmup_ratio",
              "scheduler.params.total_num_steps is 8, --max_steps 7");
}
