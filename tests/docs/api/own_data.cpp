#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>

#include <moderngpt2/moderngpt2.hpp>

using namespace moderngpt2;

/// Blocks that are computed when they are read: sequences that count up, modulo 64.
class CountingBlocks final : public BlockSource {
 public:
  std::int64_t size() const override { return 1000; }  // blocks
  int block_size() const override { return 32; }       // tokens of each
  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) override {
    for (std::size_t t = 0; t < ids.size(); ++t) ids[t] = std::int32_t((std::size_t(index) * 7 + t) % 64);
    std::ranges::fill(mask, std::int8_t{1});  // 0 marks padding: no attention, no label
  }
};

int main() {
  Config config = size_config(1, 32, 2, 64);
  config.n_positions = 32;
  CausalLM<any_shape> model(config);
  const TrainAndEval data = hold_out(std::make_shared<CountingBlocks>(), 20);
  Trainer trainer(model, data, {}, {.max_steps = 60, .learning_rate = 1e-2});
  trainer.initialize(42);
  const LearningRateSchedule schedule("cosine", Json::object(), 1e-2, 5, 60);
  double loss = 0;
  for (int step = 0; step < 60; ++step) loss = trainer.step(schedule).loss;  // writes no files, unlike run()
  std::printf("loss %.3f, on held-out blocks %.3f\n", loss, trainer.evaluate()->loss);
  return 0;
}
