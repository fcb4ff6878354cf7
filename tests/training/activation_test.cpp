// Activations that a program registers, in a whole run.
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include <doctest/doctest.h>

#include "backend/user_activations.hpp"
#include "io/expect_error.hpp"
#include "moderngpt2/backend/register_activation.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;

namespace {

/// Model whose type contains the activation.
using InType = CausalLM<any_shape, cpu::Backend, Fp32, Blocks<Standard, GatedMlpWith<test::StarRelu>>>;

/// Trains to step 5 with a checkpoint after step 3, or resumes from that of `from`.
template <class M>
M train_five_steps(const Config& config, const DatasetSplits& data, const std::filesystem::path& folder,
                   const std::filesystem::path& from = {}) {
  TrainingSettings settings = test::tiny_settings(folder);
  settings.max_steps = 5, settings.save_steps = 3;
  std::filesystem::create_directories(folder);
  ModelCompanions companions;
  companions.config.config = config;
  M model(config, cpu::Backend(1));
  Trainer<M> trainer(model, data, companions, settings);
  if (from.empty())
    trainer.initialize(5);
  else
    trainer.resume(open_checkpoint(from / "checkpoint-3"));
  CHECK(trainer.run() == 0);
  return model;
}

/// RunTime: the model that reads the activation from the config.
template <class M, class RunTime = M>
void check_run() {
  const test::TemporaryFolder temporary;
  const DatasetSplits data = test::make_data(temporary / "data");
  Config config = test::tiny_config();
  config.activation = register_activation<test::StarRelu>();
  M model = train_five_steps<M>(config, data, temporary / "out");
  const M resumed = train_five_steps<M>(config, data, temporary / "resumed", temporary / "out");
  CHECK(test::same_bytes(resumed.weights().matrices, model.weights().matrices));
  CHECK(test::same_bytes(resumed.weights().vectors, model.weights().vectors));

  CHECK(read_json_file(temporary / "out/config.json")["activation_function"] == "star_relu");
  M loaded = load_model<M>(temporary / "out", cpu::Backend(1));
  CHECK(loaded.config().activation == config.activation);
  CHECK(test::same_bytes(loaded.weights().matrices, model.weights().matrices));
  const std::vector<int> prompt{3, 9, 27};
  const GenerationOptions greedy{.max_new_tokens = 8, .do_sample = false};
  CHECK(generate(loaded, prompt, greedy).tokens == generate(model, prompt, greedy).tokens);

  RunTime at_run_time = load_model<RunTime>(temporary / "out", cpu::Backend(1));
  CHECK(generate(at_run_time, prompt, greedy).tokens == generate(model, prompt, greedy).tokens);

  Json json = read_json_file(temporary / "out/config.json");
  json["activation_function"] = "relu2";
  write_json_file(temporary / "out/config.json", json);
  if constexpr (std::is_same_v<M, InType>) {
    CHECK_ERROR(load_model<M>(temporary / "out"), "built for activation_function star_relu, the config says relu2");
  } else {
    M other = load_model<M>(temporary / "out", cpu::Backend(1));
    const Pass<float> pass{.batch = 1, .time = 3};
    auto work = model.workspace(1, 3, Mode::infer), other_work = other.workspace(1, 3, Mode::infer);
    CHECK(model.forward(work, prompt.data(), pass).row(2)[0] !=
          other.forward(other_work, prompt.data(), pass).row(2)[0]);
  }
}

}  // namespace

TEST_CASE("a model with an activation of a program is trained, resumed, saved, loaded, and generates") {
  SUBCASE("fp32") { check_run<CausalLM<any_shape>>(); }
  SUBCASE("bf16") { check_run<CausalLMInBf16>(); }
  SUBCASE("functor in the model's type") { check_run<InType, CausalLM<any_shape>>(); }
}

TEST_CASE("a config with an activation that is not registered is an error of one line on each rank") {
  const test::TemporaryFolder temporary;
  ConfigFile file;
  file.json = config_to_json(file);
  file.json["activation_function"] = "never_registered";
  write_json_file(temporary / "config.json", file.json);
  const std::vector<std::string> thrown = distributed::run_thread_ranks(
      2, {.timeout_seconds = 10}, [&](distributed::CommunicatorBase&) { read_config(temporary.path()); });
  CHECK(thrown.size() == 2);
  for (const std::string& message : thrown) {
    CHECK(test::contains(message, "config.json: activation_function \"never_registered\" is unknown"));
    CHECK(test::contains(message, "register_activation()"));
  }
}
