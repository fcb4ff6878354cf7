// Values that training in bf16 keeps in fp32.
#include <cstdint>
#include <filesystem>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/dispatch.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/count_allocations.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;
namespace fs = std::filesystem;

namespace {

using Bf16Model = CausalLMInBf16;

struct Bf16Run {
  test::TemporaryFolder temporary;
  DatasetSplits data = test::make_data(temporary / "data");
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  Bf16Model model{test::tiny_config(), cpu::Backend(1)};

  Trainer<Bf16Model> trainer() {
    fs::create_directories(settings.output_dir);
    ModelCompanions companions;
    companions.config.config = test::tiny_config();
    return {model, data, companions, settings};
  }
};

std::vector<float> full_matrices(const Bf16Run& r, const Trainer<Bf16Model>& trainer) {
  const float* from = trainer.optimizer().masters().all(r.model).matrices;
  return {from, from + r.model.weights().matrices.size()};
}

/// Whether the model's matrices are its masters, rounded.
bool is_rounded(const Bf16Run& r, const std::vector<float>& masters) {
  for (std::size_t i = 0; i < masters.size(); ++i)
    if (r.model.weights().matrices[std::int64_t(i)].bits != bf16(masters[i]).bits) return false;
  return true;
}

}  // namespace

TEST_CASE("fresh masters are the weights that fp32 would begin with, and the model has them rounded") {
  Bf16Run r;
  Trainer<Bf16Model> trainer = r.trainer();
  trainer.initialize(5);
  CausalLM<any_shape> full(test::tiny_config(), cpu::Backend(1));
  full.initialize(5);
  const std::vector<float> masters = full_matrices(r, trainer);
  CHECK(masters == std::vector<float>(full.weights().matrices.begin(), full.weights().matrices.end()));
  CHECK(is_rounded(r, masters));
}

TEST_CASE("updates too small for bf16 add up in the masters") {
  Bf16Run r;
  r.settings.learning_rate = 1e-6, r.settings.weight_decay = 0;
  Trainer<Bf16Model> trainer = r.trainer();
  trainer.initialize(5);
  const std::vector<float> before = full_matrices(r, trainer);
  const std::vector<bf16> rounded_before(r.model.weights().matrices.begin(), r.model.weights().matrices.end());
  const LearningRateSchedule schedule("constant", Json::object(), 1e-6, 0, 40);
  for (int i = 0; i < 8; ++i) trainer.step(schedule);
  const std::vector<float> after = full_matrices(r, trainer);
  std::size_t moved = 0, rounded_moved = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    moved += after[i] != before[i];
    rounded_moved += r.model.weights().matrices[std::int64_t(i)].bits != rounded_before[i].bits;
  }
  CHECK(moved > after.size() / 2);
  CHECK(rounded_moved < moved / 4);
  CHECK(is_rounded(r, after));
}

TEST_CASE("the loss falls, and a saved model has the masters in fp32") {
  Bf16Run r;
  Trainer<Bf16Model> trainer = r.trainer();
  trainer.initialize(5);
  CHECK(trainer.run() == 0);
  const Json& history = trainer.state().log_history;
  CHECK(history.front().at("loss").get<double>() > history[history.size() - 2].at("loss").get<double>() + 0.1);
  const std::vector<float> masters = full_matrices(r, trainer);
  for (const char* folder : {"", "checkpoint-40"}) {
    const auto full = load_model<CausalLM<any_shape>>(r.settings.output_dir / folder, cpu::Backend(1));
    CHECK(std::vector<float>(full.weights().matrices.begin(), full.weights().matrices.end()) == masters);
    const auto rounded = load_model<Bf16Model>(r.settings.output_dir / folder, cpu::Backend(1));
    CHECK(test::same_bytes(rounded.weights().matrices, r.model.weights().matrices));
    CHECK(test::same_bytes(rounded.weights().vectors, full.weights().vectors));
  }
}

TEST_CASE("a step in bf16 allocates nothing once the data is read") {
  Bf16Run r;
  Trainer<Bf16Model> trainer = r.trainer();
  trainer.initialize(5);
  const LearningRateSchedule schedule = make_schedule(r.settings, 40);
  for (int i = 0; i < 18; ++i) trainer.step(schedule);  // the smaller last batch of an epoch is among them
  const test::AllocationCount count;
  for (int i = 0; i < 20; ++i) trainer.step(schedule);
  if (!cpu::has_bf16_products()) CHECK(count.since() == 0);  // oneDNN may allocate within its products
}

TEST_CASE("weights of a file in F16 or BF16 are taken as they are") {
  test::TemporaryFolder temporary;
  Bf16Model model(test::tiny_config(), cpu::Backend(1));
  model.initialize(9);
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    CausalLM<any_shape> full(test::tiny_config(), cpu::Backend(1));
    save_weights(temporary.path(), model);
    load_weights(full, CheckpointTensors(temporary.path()), ConfigFile{});
    std::vector<TensorSource> sources;
    for (const ParameterInfo& p : full.parameters())
      sources.push_back(tensor_source(p.name, p.shape, full.weights().at(p), dtype));
    write_safetensors(temporary / "model.safetensors", sources);
    Bf16Model again(test::tiny_config(), cpu::Backend(1));
    load_weights(again, CheckpointTensors(temporary.path()), ConfigFile{});
    for (std::int64_t i = 0; i < again.weights().matrices.size(); ++i) {
      const float original = model.weights().matrices[i];
      const float stored = dtype == Dtype::f16 ? float(f16(original)) : original;
      REQUIRE(again.weights().matrices[i].bits == bf16(stored).bits);
    }
  }
}
