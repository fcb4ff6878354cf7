#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/config/presets.hpp"
#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/generate.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/model/heads.hpp"
#include "moderngpt2/training/trainer.hpp"
#include "support/on_threads.hpp"
#include "support/temporary_folder.hpp"

using namespace moderngpt2;

namespace {

using ThreadsModel = CausalLM<any_shape>;

Config two_layers() {
  Config c = size_config(2, 16, 2, 64);
  c.n_positions = 32;
  c.n_inner = 32;
  c.n_kv_head = 1;
  return c;
}

const std::string used_by_another = "this model is in use by another thread";

BlockDataset random_blocks(int count, int time) {
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < count * time; ++i) tokens.push_back(3 + int(mix64(std::uint64_t(i / 2)) % 60));
  return {std::make_shared<MemoryBlocks>(std::move(tokens), time), 0, count};
}

/// SGD that calls a function before each update.
class WatchedSgd {
 public:
  static constexpr const char* name = "WatchedSgd";
  static constexpr bool needs_whole_matrices = false;

  explicit WatchedSgd(const TrainingSettings&) {}
  template <class Self, class Visitor>
  static void describe_state(Self&, Visitor&&) {}
  template <class Piece>
  void update(cpu::Backend&, const Piece& piece, const UpdateStep& step) {
    if (before_update) before_update();
    for (std::int64_t i = 0; i < piece.count; ++i) piece.weights[i] -= float(step.learning_rate) * piece.gradients[i];
  }

  std::function<void()> before_update;
};

/// Weight source that has all weights, and calls a function when a pass acquires the first unit.
class WatchedSource final : public WeightSource {
 public:
  void acquire(Unit unit, Unit) override {
    if (unit == Unit::embedding() && on_acquire) std::exchange(on_acquire, nullptr)();
  }
  std::function<void()> on_acquire;
};

}  // namespace

TEST_CASE("while one thread trains, others can neither use the model nor change it") {
  const Config config = two_layers();
  ThreadsModel model(config, cpu::Backend(1));
  model.initialize(1);
  test::TemporaryFolder folder;
  ConfigFile file;
  file.config = config;
  save_weights(folder.path(), model);
  const CheckpointTensors tensors(folder.path());
  ModelOptimizer<ThreadsModel, WatchedSgd> optimizer(model, {});
  ModelOptimizer<ThreadsModel> others(model, {});
  const std::vector<int> ids{5, 9, 13, 2, 40, 41, 42, 43};
  auto work = model.workspace(2, 4, Mode::train), work_there = model.workspace(2, 4, Mode::train);
  auto gradients = model.make_gradients(), gradients_there = model.make_gradients();
  const Pass<float> pass{.batch = 2, .time = 4, .training = true};
  Session<ThreadsModel> session(model, 2, 4);

  const std::vector<std::pair<const char*, std::function<void()>>> uses{
      {"generate", [&] { generate(model, ids, {.max_new_tokens = 2}); }},
      {"session", [&] { session.loss(ids.data(), {ids.data()}, {.batch = 2, .time = 4}); }},
      {"loss", [&] { model.loss(work_there, ids.data(), {ids.data()}, {.batch = 2, .time = 4}); }},
      {"gradients", [&] { model.loss_and_gradients(work_there, ids.data(), {ids.data()}, gradients_there, pass); }},
      {"step", [&] { others.step(model, gradients_there, 0.1); }},
      {"initialize", [&] { model.initialize(2); }},
      {"load", [&] { load_weights(model, tensors, file); }},
      {"fill", [&] { others.fill(model, FileWeights(tensors, file)); }},
      {"save", [&] { save_weights(folder / "other", model); }},
      {"evaluate", [&] { evaluate<LanguageModelling>(model, random_blocks(3, 4), 2); }}};
  std::filesystem::create_directory(folder / "other");
  const auto check_uses = [&](const std::string& message) {
    for (const auto& use : uses) {
      CAPTURE(use.first);
      CHECK(test::on_other_thread(use.second) == message);
    }
  };

  int checks = 0;
  const auto refused = [&] { ++checks, check_uses(used_by_another); };
  model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients, pass, [&](Unit unit) {
    if (unit == Unit::half_block(0)) refused();
  });
  CHECK(checks == 1);
  optimizer.rule().before_update = [&] { refused(), optimizer.rule().before_update = nullptr; };
  CHECK(optimizer.step(model, gradients, 0.01).applied);
  CHECK(checks == 2);
  {
    const auto use = model.exclusive_use();  // for several calls of this thread
    refused();
    model.loss_and_gradients(work, ids.data(), {ids.data()}, gradients, pass);
    generate(model, ids, {.max_new_tokens = 2});
    CHECK(optimizer.step(model, gradients, 0.01).applied);
  }
  check_uses("");
}

TEST_CASE("a session is for one thread, and a model with a weight source for one pass at a time") {
  ThreadsModel model(two_layers(), cpu::Backend(1));
  model.initialize(1);
  const std::vector<int> ids{5, 9, 13};
  const Pass<float> pass{.batch = 1, .time = 3};
  Session<ThreadsModel> session(model, 1, 3), other(model, 1, 3);
  const double alone = session.loss(ids.data(), {ids.data()}, pass);
  WatchedSource source;
  const WeightSourceUse<ThreadsModel> in_use(model, source);
  int calls = 0;
  source.on_acquire = [&] {
    ++calls;
    CHECK(test::on_other_thread([&] { session.forward(ids.data(), pass); }) ==
          "this session is in use by another thread");
    CHECK(test::on_other_thread([&] { other.forward(ids.data(), pass); }) == used_by_another);
    CHECK(test::on_other_thread([&] { generate(model, ids, {.max_new_tokens = 2}); }) == used_by_another);
  };
  CHECK(double(session.loss(ids.data(), {ids.data()}, pass)) == alone);
  CHECK(calls == 1);
  // One after the other they work, as samples do that a trainer draws between two steps.
  CHECK(test::on_other_thread([&] { CHECK(double(other.loss(ids.data(), {ids.data()}, pass)) == alone); }) == "");
}

TEST_CASE("threads evaluate and generate with one model at once, and get the results of one") {
  const BlockDataset data = random_blocks(11, 16);
  ThreadsModel model(two_layers(), cpu::Backend(2));
  model.initialize(1);
  const ThreadsModel& shared = model;
  const Evaluation alone = evaluate<LanguageModelling>(shared, data, 4);
  const std::vector<int> text = generate(shared, std::vector<int>{5, 9}, {.max_new_tokens = 12}).tokens;
  auto work = model.workspace(4, 16, Mode::infer);
  TokenBatch batch(data, 4, model.config());
  const auto own = evaluate(model, work, batch, data, 4, LanguageModelling::Scores(data, model.config()),
                            [](std::int64_t) { return true; });
  CHECK(own->loss == alone.loss);
  CHECK(alone.labels == 11 * 15);
  CHECK(alone.scores == own->scores);
  std::vector<int> wrong(8, 0);
  test::on_threads(8, [&](int i) {
    for (int k = 0; k < 5; ++k) {
      wrong[std::size_t(i)] += evaluate<LanguageModelling>(shared, data, 4).loss != alone.loss;
      wrong[std::size_t(i)] += generate(shared, std::vector<int>{5, 9}, {.max_new_tokens = 12}).tokens != text;
    }
  });
  CHECK(wrong == std::vector<int>(8, 0));
  CHECK_THROWS_WITH_AS(evaluate<LanguageModelling>(shared, data, 0), "evaluate: batch_size is 0, it must be positive",
                       Error);
  CHECK_THROWS_WITH_AS(evaluate<LanguageModelling>(shared, BlockDataset(), 1), "evaluate: the data set is empty",
                       Error);
}

TEST_CASE("a step excludes other threads from begin to end, a trainer may change its thread") {
  test::TemporaryFolder folder;
  const TrainAndEval data{random_blocks(20, 16), random_blocks(4, 16)};
  TrainingSettings settings;
  settings.output_dir = folder.path();
  settings.per_device_train_batch_size = 3;
  settings.learning_rate = 1e-2;
  ThreadsModel model(two_layers(), cpu::Backend(1)), same(two_layers(), cpu::Backend(1));
  ModelCompanions companions;
  companions.config.config = model.config();
  int spans = 0;
  TrainingHooks hooks{.on_span = [&](const char* what, double, double) {
    ++spans;
    CAPTURE(what);
    CHECK(test::on_other_thread([&] { generate(model, std::vector<int>{5}, {.max_new_tokens = 2}); }) ==
          used_by_another);
  }};
  std::unique_ptr<Trainer<ThreadsModel>> trainer;
  CHECK(test::on_other_thread([&] {
          trainer = std::make_unique<Trainer<ThreadsModel>>(model, data, companions, settings, hooks);
          trainer->initialize(1);
        }) == "");
  Trainer<ThreadsModel> expected(same, data, companions, settings);
  expected.initialize(1);
  const LearningRateSchedule schedule = make_schedule(settings, 4);
  std::vector<std::vector<int>> samples, samples_expected;
  for (int step = 0; step < 4; ++step) {
    double loss = 0;
    if (step % 2 == 0)
      loss = trainer->step(schedule).loss;
    else
      CHECK(test::on_other_thread([&] { loss = trainer->step(schedule).loss; }) == "");
    CHECK(loss == expected.step(schedule).loss);
    // Samples see the weights of the step before.
    samples.push_back(generate(model, std::vector<int>{5}, {.max_new_tokens = 12}).tokens);
    samples_expected.push_back(generate(same, std::vector<int>{5}, {.max_new_tokens = 12}).tokens);
  }
  CHECK(spans >= 4);
  CHECK(samples == samples_expected);
  CHECK(samples[0] != samples[3]);
}
