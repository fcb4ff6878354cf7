#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/model_optimizer.hpp"

using namespace moderngpt2;

TEST_CASE("five AdamW steps are those of the PyTorch reference") {
  const std::filesystem::path folder = std::filesystem::path(MODERNGPT2_TEST_DATA) / "golden" / "mha";
  const Json recipe = read_json_file(folder / "case.json").at("train");
  TrainingSettings settings;
  settings.learning_rate = recipe.at("learning_rate").get<double>();
  settings.adam_beta1 = recipe.at("betas")[0].get<double>();
  settings.adam_beta2 = recipe.at("betas")[1].get<double>();
  settings.adam_epsilon = recipe.at("eps").get<double>();
  settings.weight_decay = recipe.at("weight_decay").get<double>();
  settings.max_grad_norm = recipe.at("max_grad_norm").get<double>();

  using TinyModel = CausalLM<any_shape>;
  TinyModel model = load_model<TinyModel>(folder);
  const SafetensorsFile expected(folder / "expected.safetensors");
  const std::vector<std::int64_t>& shape = expected.at("train.batches").shape;  // (steps, B, T)
  const std::vector<int> ids = expected.read_vector<int>("train.batches");
  const std::vector<float> losses = expected.read_vector<float>("train.losses");
  const std::vector<float> norms = expected.read_vector<float>("train.grad_norms");
  const int batch = int(shape[1]), time = int(shape[2]);
  ModelOptimizer<TinyModel> optimizer(model, settings);
  auto work = model.workspace(batch, time, Mode::train);
  for (std::size_t step = 0; step < losses.size(); ++step) {
    CAPTURE(step);
    const int* now = ids.data() + step * std::size_t(batch * time);
    auto gradients = model.make_gradients();
    const double loss =
        model.loss_and_gradients(work, now, TinyModel::Head::Labels{now}, gradients, {.batch = batch, .time = time});
    CHECK(std::abs(loss - double(losses[step])) < 1e-4);
    const auto outcome = optimizer.step(model, gradients, settings.learning_rate);
    CHECK(outcome.applied);
    CHECK(std::abs(outcome.grad_norm / double(norms[step]) - 1) < 1e-3);
  }
  CHECK(optimizer.updates == 5);
  std::int64_t near = 0, all = 0;
  for (const ParameterInfo& p : model.parameters()) {
    const std::vector<float> wanted = expected.read_vector<float>("train.final." + p.name);
    for (std::size_t i = 0; i < wanted.size(); ++i, ++all)
      near += std::abs(model.weights().at(p)[i] - wanted[i]) < 2e-4f;
  }
  CHECK(all == model.parameter_count());
  CHECK(double(near) >= 0.999 * double(all));
}
