#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "moderngpt2/data/blocks.hpp"
#include "moderngpt2/data/order.hpp"
#include "moderngpt2/training/batch.hpp"

namespace moderngpt2 {

/// Which blocks a batch holds: `rows` of them from the `first` of an epoch on, in that epoch's order.
struct BatchPlace {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0, first = 0, rows = 0;

  bool operator==(const BatchPlace&) const = default;
};

/// Loads the batches of a run one after another; a thread of its own reads the next while the present one is in use.
/// Neither order nor content depends on that.
class BatchLoader {
 public:
  /// `ahead` false: everything is read in the caller's thread. The data set must outlive the loader.
  BatchLoader(const BlockDataset& data, std::int64_t most_rows, std::optional<int> unlabelled_id, bool ahead)
      : data_(data),
        batches_{TokenBatch(most_rows, data.block_size(), unlabelled_id),
                 TokenBatch(ahead ? most_rows : 0, data.block_size(), unlabelled_id)},
        ahead_(ahead) {
    if (ahead_) thread_ = std::thread([this] { work(); });
  }
  ~BatchLoader() {
    if (!ahead_) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      quit_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  BatchLoader(const BatchLoader&) = delete;
  BatchLoader& operator=(const BatchLoader&) = delete;

  /// The batch at `place`, to be used until the next call; `next` is what that will likely ask for. Throws what reading
  /// the blocks threw.
  const TokenBatch& load(const BatchPlace& place, const BatchPlace& next) {
    if (!ahead_) {
      read(batches_[0], place);
      return batches_[0];
    }
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return !busy_; });
    const bool is_there = wanted_ == place;
    if (is_there && failure_) {
      wanted_ = {.rows = -1};
      std::rethrow_exception(std::exchange(failure_, nullptr));
    }
    const std::size_t back = 1 - front_;
    if (!is_there) read(batches_[back], place);
    front_ = back;
    wanted_ = next;
    failure_ = nullptr;
    busy_ = true;
    lock.unlock();
    changed_.notify_all();
    return batches_[front_];
  }

 private:
  void read(TokenBatch& batch, const BatchPlace& place) {
    const EpochOrder order(place.seed, data_.size());
    batch.load(data_, place.rows, [&](std::int64_t i) { return order.at(place.epoch, place.first + i); });
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return busy_ || quit_; });
      if (quit_) return;
      const BatchPlace place = wanted_;
      TokenBatch& batch = batches_[1 - front_];
      lock.unlock();
      std::exception_ptr failure;
      try {
        read(batch, place);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      failure_ = failure;
      busy_ = false;
      changed_.notify_all();
    }
  }

  const BlockDataset& data_;
  std::array<TokenBatch, 2> batches_;
  std::size_t front_ = 0;  // the one in use; the other is being read
  bool ahead_;
  std::mutex mutex_;
  std::condition_variable changed_;
  BatchPlace wanted_{.rows = -1};
  bool busy_ = false, quit_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace moderngpt2
