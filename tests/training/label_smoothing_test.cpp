#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/temporary_folder.hpp"
#include "training/tiny_run.hpp"

using namespace moderngpt2;

namespace {

using SmoothModel = CausalLM<any_shape>;

struct SmoothRun {
  test::TemporaryFolder temporary;
  TrainingSettings settings = test::tiny_settings(temporary / "out");
  TrainAndEval data{blocks(12), blocks(4)};

  static BlockDataset blocks(int count, int time = 16) {
    std::vector<std::int32_t> tokens;
    for (int i = 0; i < count * time; ++i) tokens.push_back(i % 5 == 0 ? 0 : 3 + i % 50);  // 0: pad
    return BlockDataset(std::make_shared<MemoryBlocks>(std::move(tokens), time), 0, count);
  }
  /// Losses of the first step and of the evaluation before it.
  std::pair<double, double> losses(double smoothing) {
    settings.label_smoothing_factor = smoothing;
    SmoothModel model(test::tiny_config(), cpu::Backend(1));
    Trainer trainer(model, data, {}, settings);
    trainer.initialize(settings.seed);
    const double evaluated = trainer.evaluate()->loss;
    return {trainer.step(make_schedule(settings, 10)).loss, evaluated};
  }
};

}  // namespace

TEST_CASE("label smoothing mixes the loss of the labels with the mean over the vocabulary, in training only") {
  SmoothRun run;
  run.settings.gradient_accumulation_steps = 2;
  const auto [sharp, sharp_evaluated] = run.losses(0);
  const auto [uniform, uniform_evaluated] = run.losses(1);
  const auto [mixed, mixed_evaluated] = run.losses(0.1);
  CHECK(sharp != doctest::Approx(uniform).epsilon(1e-4));
  CHECK(mixed == doctest::Approx(0.9 * sharp + 0.1 * uniform).epsilon(1e-5));
  CHECK(uniform_evaluated == sharp_evaluated);
  CHECK(mixed_evaluated == sharp_evaluated);
}

TEST_CASE("a pass with label smoothing has the smoothed loss with and without gradients") {
  SmoothModel model(test::tiny_config(), cpu::Backend(1));
  model.initialize(1);
  auto work = model.workspace(2, 16, Mode::train);
  SmoothModel::Gradients gradients = model.make_gradients();
  std::vector<int> ids;
  for (int i = 0; i < 32; ++i) ids.push_back(3 + i % 40);
  Pass<float> pass{.batch = 2, .time = 16, .label_smoothing = 0.3f};
  const double without = double(model.loss(work, ids, ids, pass));
  CHECK(double(model.loss_and_gradients(work, ids, ids, gradients, pass)) == doctest::Approx(without));
  pass.label_smoothing = 0;
  CHECK(double(model.loss(work, ids, ids, pass)) != doctest::Approx(without).epsilon(1e-4));
}
