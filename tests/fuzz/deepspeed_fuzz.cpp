// JSON config of DeepSpeed, with comments, applied to runs of 1 and 4 processes.
#include "json_mutator.hpp"
#include "moderngpt2/io/json_comments.hpp"
#include "moderngpt2/run/deepspeed_config.hpp"
#include "moderngpt2/run/deepspeed_settings.hpp"
#include "moderngpt2/training/validate_settings.hpp"

using namespace moderngpt2;

void fuzz::seed(Seeds& seeds) {
  seeds.add(R"({"train_batch_size": 16, "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": 2,
    "gradient_clipping": 1.0, "fp16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16},
    "bf16": {"enabled": true}, "zero_optimization": {"stage": 2, "reduce_bucket_size": 5e8, "offload_optimizer":
    {"device": "cpu"}}, "steps_per_print": 100, "wall_clock_breakdown": false})");
  seeds.add(R"({"optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.99], "eps": 1e-8,
    "weight_decay": "auto"}}, "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": 0,
    "warmup_max_lr": 1e-3,
    "warmup_num_steps": 10, "total_num_steps": 100, "warmup_type": "log"}}})");
  seeds.add("{ // comment\n \"zero_optimization\": true, /* x */ # y\n \"scheduler\": {\"type\": \"OneCycle\"}, }");
  seeds.words({"WarmupLR", "WarmupCosineLR", "linear", "auto", "//", "/*", "*/", "#", "zero_optimization", "stage",
               "data_types", "bfloat16", "betas", "4294967296", "9223372036854775807", "-1"});
}

void fuzz::run(std::string_view input) {
  const DeepSpeedConfig config = parse_deepspeed_config(parse_json(without_json_comments(input), "ds.json"), "ds.json");
  const TypedFlags flags{[](const std::string&) { return false; }};
  for (const int ranks : {1, 4}) {
    TrainingSettings settings;
    const auto effect = accepted([&] { return apply_deepspeed_config(config, ranks, settings, flags); });
    if (effect) (void)accepted([&] { return validate(settings), 0; });
  }
}
