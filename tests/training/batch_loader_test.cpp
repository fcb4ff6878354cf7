#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "io/expect_error.hpp"
#include "moderngpt2/training/batch.hpp"
#include "moderngpt2/training/batch_loader.hpp"
#include "moderngpt2/training/loss_spikes.hpp"
#include "moderngpt2/training/settings.hpp"

using namespace moderngpt2;

namespace {

/// 20 blocks of 4 ids, each its own number; one of them cannot be read.
class WatchedBlocks final : public BlockSource {
 public:
  std::int64_t size() const override { return 20; }
  int block_size() const override { return 4; }
  void get(std::int64_t index, std::span<std::int32_t> ids, std::span<std::int8_t> mask) override {
    if (index == broken) throw Error("block {} is broken", index);
    foreign_reads += std::this_thread::get_id() != caller;
    std::fill(ids.begin(), ids.end(), std::int32_t(index));
    std::fill(mask.begin(), mask.end(), std::int8_t{1});
  }
  std::int64_t broken = -1;
  std::thread::id caller = std::this_thread::get_id();
  std::atomic<int> foreign_reads{0};
};

std::vector<int> ids(const TokenBatch& batch) {
  std::vector<int> all;
  for (std::int64_t row = 0; row < batch.rows(); ++row) all.push_back(batch.ids(row)[0]);
  return all;
}

}  // namespace

TEST_CASE("batches are the same whether they are read ahead or not") {
  for (const bool ahead : {false, true}) {
    const auto source = std::make_shared<WatchedBlocks>();
    const BlockDataset data(source, 0, 20);
    BatchLoader loader(data, TokenBatch(6, 4, std::nullopt), ahead);
    const EpochOrder order(7, 20);
    const auto expect = [&](const BatchPlace& place, const BatchPlace& next) {
      std::vector<int> expected;
      for (std::int64_t i = 0; i < place.rows; ++i) expected.push_back(int(order.at(place.epoch, place.first + i)));
      CHECK(ids(loader.load(place, next)) == expected);
    };
    expect({7, 0, 0, 6}, {7, 0, 6, 6});
    expect({7, 0, 6, 6}, {7, 0, 12, 6});
    CHECK((source->foreign_reads > 0) == ahead);
    expect({7, 0, 18, 2}, {7, 1, 0, 6});  // not what was announced, as after a resume
    expect({7, 1, 0, 6}, {7, 1, 6, 6});
  }
}

TEST_CASE("a block that cannot be read is an error of the step that needs it") {
  for (const bool ahead : {false, true}) {
    const auto source = std::make_shared<WatchedBlocks>();
    source->broken = EpochOrder(7, 20).at(0, 8);
    const BlockDataset data(source, 0, 20);
    BatchLoader loader(data, TokenBatch(6, 4, std::nullopt), ahead);
    CHECK(loader.load({7, 0, 0, 6}, {7, 0, 6, 6}).rows() == 6);
    CHECK_ERROR(loader.load({7, 0, 6, 6}, {7, 0, 12, 6}), "is broken");
    CHECK_ERROR(loader.load({7, 0, 6, 6}, {7, 0, 12, 6}), "is broken");
    CHECK(loader.load({7, 0, 12, 6}, {7, 0, 6, 6}).rows() == 6);
  }
}

TEST_CASE("a loss spike is reported, a falling or noisy loss is not") {
  LossSpikes spikes;
  for (int i = 0; i < 400; ++i) CHECK_FALSE(spikes.add(3 * std::exp(-i / 100.0) + 2 + 0.1 * ((i * 7) % 5)));
  CHECK(spikes.add(6));
  CHECK(spikes.mean() < 3);
  CHECK_FALSE(spikes.add(std::nan("")));
  CHECK_FALSE(spikes.add(2.2));
}

TEST_CASE("so many samples make so many steps, at whichever epoch they begin") {
  TrainingSettings s;
  s.per_device_train_batch_size = 6;
  s.total_train_samples = 20;
  CHECK(last_step(s, 50) == 4);
  s.total_train_samples = 50;
  CHECK(last_step(s, 50) == 9);
  s.total_train_samples = 120;  // 9 steps an epoch of 50
  CHECK(last_step(s, 50) == 9 + 9 + 4);
  CHECK(last_step(s, 50, 10, {1, 6}) == 22);
  CHECK(last_step(s, 50, 40, {3, 6}) == 40);
  s.num_train_epochs = 0.5;
  CHECK(last_step(s, 50) == 9 + 2);
  s.max_steps = 3;
  CHECK(last_step(s, 50) == 3);
}
