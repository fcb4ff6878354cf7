#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/core/start_thread.hpp"
#include "moderngpt2/data/order.hpp"

namespace moderngpt2 {

/// Examples of a batch (blocks of text, for language models): [first, first + rows) in an epoch's order. They are one
/// rank's part of the step's examples of all ranks, [step_first, step_first + step_rows).
struct BatchPlace {
  std::uint64_t seed = 0;
  std::int64_t epoch = 0, first = 0, rows = 0;
  std::int64_t step_first = 0, step_rows = 0;

  bool operator==(const BatchPlace&) const = default;
};

/// Loads the batches of a run in order. A background thread reads the next batch while the current one is in use; order
/// and content do not depend on it. Batch: TokenBatch, or a batch of training/tasks/. Threads: one at a time.
template <class Batch>
class BatchLoader {
 public:
  using Data = typename Batch::Data;

  /// `empty`: a batch with room for all rows. `ahead`: whether to read in a background thread. The data set must
  /// outlive the loader.
  BatchLoader(const Data& data, Batch empty, bool ahead) : data_(data), ahead_(ahead) {
    batches_.reserve(2);
    if (ahead_) batches_.push_back(empty);
    batches_.push_back(std::move(empty));
    if (ahead_) thread_ = start_thread([this] { work(); });
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

  /// Returns the batch at `place`, valid until the next call, and prefetches `next`. Throws what reading the examples
  /// threw.
  const Batch& load(const BatchPlace& place, const BatchPlace& next) {
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
  void read(Batch& batch, const BatchPlace& place) {
    const EpochOrder order(place.seed, data_.size());
    const auto from = [&](std::int64_t first) {
      return [&order, &place, first](std::int64_t i) { return order.at(place.epoch, first + i); };
    };
    if constexpr (requires { batch.pad_to_longest(data_, place.step_rows, from(0)); })
      batch.pad_to_longest(data_, place.step_rows, from(place.step_first));
    batch.load(data_, place.rows, from(place.first));
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return busy_ || quit_; });
      if (quit_) return;
      const BatchPlace place = wanted_;
      Batch& batch = batches_[1 - front_];
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

  const Data& data_;
  std::vector<Batch> batches_;
  std::size_t front_ = 0;  // batch in use; the other is being read
  bool ahead_;
  std::mutex mutex_;
  std::condition_variable changed_;
  BatchPlace wanted_{.rows = -1};
  bool busy_ = false, quit_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace moderngpt2
