#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "moderngpt2/training/validate_settings.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using SettingsModel = CausalLM<any_shape>;

BlockDataset blocks_in_memory(int count, int time = 8) {
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < count * time; ++i) tokens.push_back(3 + i % 50);
  return {std::make_shared<MemoryBlocks>(std::move(tokens), time), 0, count};
}

static_assert(
    std::is_constructible_v<Trainer<SettingsModel>, SettingsModel&, TrainAndEval&, ModelCompanions, TrainingSettings>);
static_assert(
    !std::is_constructible_v<Trainer<SettingsModel>, SettingsModel&, TrainAndEval, ModelCompanions, TrainingSettings>,
    "a trainer refers to its data, which must not be a temporary");

/// Run of a user's project: a model, blocks in memory, settings, and {} for the companions.
struct UserRun {
  test::TemporaryFolder temporary;
  SettingsModel model{test::tiny_config(), cpu::Backend(1)};
  TrainAndEval data{blocks_in_memory(20), {}};
  TrainingSettings settings;
  TrainingHooks hooks;

  UserRun() {
    model.initialize(1);
    settings.max_steps = 2;
    settings.output_dir = temporary / "new" / "folder";
  }

  int run() {
    Trainer trainer(model, data, {}, settings, hooks);
    return trainer.run();
  }
};

/// The Error for a change of the default settings; the constructor must throw it, and nothing may be written.
std::string refused(const std::function<void(TrainingSettings&)>& change) {
  UserRun user;
  change(user.settings);
  const std::string own = test::error_of([&] { validate(user.settings); });
  const std::string message = test::error_of([&] { Trainer(user.model, user.data, {}, user.settings); });
  CHECK(message == own);
  CHECK(fs::is_empty(user.temporary.path()));
  return message;
}

}  // namespace

TEST_CASE("a setting out of range is an error that names it and what is accepted") {
  using S = TrainingSettings;
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  CHECK(refused([](S& s) { s.eval_steps = -1; }) == "eval_steps is -1, it must be at least 0");
  CHECK(refused([](S& s) { s.logging_steps = -2; }) == "logging_steps is -2, it must be at least 0");
  CHECK(refused([](S& s) { s.save_steps = -5; }) == "save_steps is -5, it must be at least 0");
  CHECK(refused([](S& s) { s.check_replicas_steps = -1; }) == "check_replicas_steps is -1, it must be at least 0");
  CHECK(refused([](S& s) { s.learning_rate = -1; }) == "learning_rate is -1, it must be at least 0");
  CHECK(refused([&](S& s) { s.learning_rate = nan; }) == "learning_rate is nan, it must be finite, at least 0");
  CHECK(refused([&](S& s) { s.max_grad_norm = infinity; }) == "max_grad_norm is inf, it must be finite, at least 0");
  CHECK(refused([&](S& s) { s.loss_scaling.loss_scale = nan; }) == "loss_scale is nan, it must be finite, at least 0");
  CHECK(refused([](S& s) { s.per_device_train_batch_size = 0; }) ==
        "per_device_train_batch_size is 0, it must be at least 1");
  CHECK(refused([](S& s) { s.per_device_train_batch_size = -1; }) ==
        "per_device_train_batch_size is -1, it must be at least 1");
  CHECK(refused([](S& s) { s.per_device_eval_batch_size = 0; }) ==
        "per_device_eval_batch_size is 0, it must be at least 1");
  CHECK(refused([](S& s) { s.gradient_accumulation_steps = 0; }) ==
        "gradient_accumulation_steps is 0, it must be at least 1");
  CHECK(refused([](S& s) { s.max_steps = -1, s.num_train_epochs = -1; }) ==
        "num_train_epochs is -1, it must be more than 0");
  CHECK(refused([](S& s) { s.max_steps = -2; }) == "max_steps is -2, it must be at least -1 and at most 1000000000000");
  CHECK(refused([](S& s) { s.adam_beta1 = 1; }) == "adam_beta1 is 1, it must be at least 0 and at most 0.999999");
  CHECK(refused([](S& s) { s.adam_epsilon = 0; }) == "adam_epsilon is 0, it must be more than 0");
  CHECK(refused([](S& s) { s.warmup_steps = -1; }) == "warmup_steps is -1, it must be at least 0");
  CHECK(refused([](S& s) { s.warmup_ratio = 1.5; }) == "warmup_ratio is 1.5, it must be at least 0 and at most 1");
  CHECK(refused([](S& s) { s.save_total_limit = -1; }) == "save_total_limit is -1, it must be at least 0");
  CHECK(refused([](S& s) { s.zero_stage = 4; }) == "zero_stage is 4, it must be at least 0 and at most 3");
  CHECK(refused([](S& s) { s.world_size = 0; }) == "world_size is 0, it must be at least 1");
  CHECK(refused([](S& s) { s.bucket_elements = 0; }) == "reduce_bucket_size is 0, it must be at least 1");
  CHECK(refused([](S& s) { s.output_dir = ""; }) == "output_dir is empty, it must name a folder");
  CHECK(test::contains(refused([](S& s) { s.lr_scheduler_type = "cosin"; }), "lr_scheduler_type \"cosin\" is unknown"));
  CHECK(test::contains(refused([](S& s) { s.lr_scheduler_kwargs = "{\"cycles\": 1}"; }), "has no argument \"cycles\""));
  CHECK(test::contains(refused([](S& s) { s.loss_scaling.initial_scale_power = -1; }), "initial_scale_power is -1"));
  CHECK(test::contains(refused([](S& s) {
                         s.per_device_train_batch_size = s.gradient_accumulation_steps =
                             std::numeric_limits<int>::max();
                       }),
                       "sequences a step"));
  CHECK(refused([](S& s) { s.verify_steps = -1; }) == "verify_steps is -1, it must be at least 0");
  CHECK(refused([](S& s) { s.on_transient_error = TransientErrorAction::go_on; }) ==
        "on_transient_error is continue, but verify_steps is 0: no error is detected. Set verify_steps to 100, for "
        "example");
  CHECK(test::contains(refused([](S& s) { s.cuda_graph = true, s.world_size = 2; }), "cuda_graph is for one process"));
}

TEST_CASE("the defaults are valid, and names of settings have the prefix of the program") {
  validate(TrainingSettings());
  setting_prefix = "--";
  TrainingSettings settings;
  settings.eval_steps = -1;
  CHECK_ERROR(validate(settings), "--eval_steps is -1");
  setting_prefix = "";
}

TEST_CASE("ranks, data and model must fit the settings") {
  UserRun user;
  user.settings.world_size = 2;
  CHECK_ERROR(user.run(), "world_size is 2, but the trainer has no other ranks");
  user.settings.world_size = 1;
  user.data.train = blocks_in_memory(20, 64);
  CHECK_ERROR(user.run(), "sequences of 64 tokens", "n_positions is 32");
  user.data.train = {};
  CHECK_ERROR(user.run(), "the data set has no training examples");
  CHECK(fs::is_empty(user.temporary.path()));
  const auto source = std::make_shared<MemoryBlocks>(std::vector<std::int32_t>(160, 3), 8);
  CHECK_ERROR(BlockDataset(source, 0, 21), "blocks 0 to 21", "it has 20");
  CHECK_ERROR(BlockDataset(source, 3, 2), "blocks 3 to 2");
}

TEST_CASE("0 means never: no log before the last step, no evaluation, no checkpoint; the model is always written") {
  UserRun user;
  user.data.eval = blocks_in_memory(3);
  TrainingSettings& s = user.settings;
  s.logging_steps = s.eval_steps = s.save_steps = s.check_replicas_steps = 0;
  s.max_steps = 7;
  std::vector<Json> lines;
  user.hooks.on_log = [&](const Json& line) { lines.push_back(line); };
  CHECK(user.run() == 0);
  REQUIRE(lines.size() == 1);  // as Hugging Face's Trainer, which always logs at the end
  CHECK(lines[0].at("step") == 7);
  CHECK(lines[0].contains("loss"));
  CHECK(fs::exists(s.output_dir / "model.safetensors"));
  CHECK_FALSE(fs::exists(s.output_dir / "checkpoint-7"));

  s.output_dir = user.temporary / "stopped";  // but a signal saves what was done
  std::int64_t done = 0;
  user.hooks.on_step = [&](const StepReport& report) { done = report.step; };
  user.hooks.stop = [&] { return done == 3 ? 15 : 0; };
  CHECK(user.run() == 15);
  CHECK(fs::exists(s.output_dir / "checkpoint-3" / "trainer_state.json"));
}

TEST_CASE("save_total_limit 0 keeps all checkpoints") {
  UserRun user;
  user.settings.max_steps = 5, user.settings.save_steps = 1;
  for (const int limit : {0, 2}) {
    user.settings.save_total_limit = limit;
    user.settings.output_dir = user.temporary / std::to_string(limit);
    CHECK(user.run() == 0);
    for (int step = 1; step <= 5; ++step)
      CHECK(fs::exists(checkpoint_path(user.settings.output_dir, step)) == (limit == 0 || step >= 4));
  }
}

TEST_CASE("without companions, saved models have the model's config") {
  UserRun user;
  CHECK(user.run() == 0);
  const fs::path out = user.settings.output_dir;
  for (const fs::path& folder : {out, out / "checkpoint-2"}) {
    CAPTURE(folder.string());
    const ConfigFile config = read_config(folder);
    CHECK(config.config.n_embd == 16);
    CHECK(config.config.vocab_size == 64);
    CHECK(config.config.eos_token_id == 2);
    CHECK(config.architecture == "ModernGPT2LMHeadModel");
    CHECK(test::same_bytes(load_model<SettingsModel>(folder).weights().matrices, user.model.weights().matrices));
  }
}
