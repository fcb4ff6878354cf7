#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "moderngpt2/core/start_thread.hpp"

namespace moderngpt2 {

/// Parallel map over a stream of items that preserves their order. Threads: one at a time; the mapped function runs on
/// several.
template <class In, class Out>
class OrderedPipeline {
 public:
  std::function<std::optional<In>()> produce;  ///< called on a dedicated thread; nullopt at the end
  std::function<std::size_t(const In&)> cost;  ///< cost of an item, counted against the limit
  std::function<Out(In&&)> transform;          ///< called on `threads` threads concurrently
  std::function<void(Out&&)> consume;          ///< called on the thread of run(), in order
  std::function<void()> idle = [] {};          ///< called there periodically while waiting; may throw to stop

  /// Runs until the stream ends. Items between produce and consume have a total cost of at most `limit`, or are a
  /// single item. Exceptions of the functions are rethrown at their item's position, after all threads have ended.
  void run(int threads, std::size_t limit) {
    limit_ = limit;
    std::vector<std::jthread> workers;  // joined after `stop` is destroyed
    const StopAtEnd stop{*this};
    workers.push_back(start_thread<std::jthread>([this] { produce_all(); }));
    for (int i = 0; i < threads; ++i) workers.push_back(start_thread<std::jthread>([this] { transform_all(); }));
    while (std::shared_ptr<Slot> slot = next_result()) {
      if (slot->error) std::rethrow_exception(slot->error);
      consume(std::move(*slot->out));
      slot->out.reset();
      const std::lock_guard lock(mutex_);
      in_flight_ -= slot->cost;
      room_.notify_one();
    }
  }

 private:
  struct Slot {
    std::optional<In> in;
    std::optional<Out> out;
    std::exception_ptr error;
    std::size_t cost = 0;
    bool done = false;
  };
  struct StopAtEnd {
    OrderedPipeline& pipeline;
    ~StopAtEnd() { pipeline.stop(); }
  };

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    room_.notify_all();
    work_there_.notify_all();
  }

  void produce_all() {
    while (true) {
      auto slot = std::make_shared<Slot>();
      try {
        slot->in = produce();
        if (slot->in) slot->cost = cost(*slot->in);
      } catch (...) {
        slot->in.reset();
        slot->error = std::current_exception();
        slot->done = true;
      }
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return stopped_ || in_flight_ == 0 || in_flight_ + slot->cost <= limit_; });
      const bool last = !slot->in || stopped_;
      if (slot->in && !stopped_) work_.push_back(slot);
      if (slot->in || slot->error) order_.push_back(slot);
      in_flight_ += slot->cost;
      ended_ = last;
      work_there_.notify_one();
      if (last) work_there_.notify_all();
      result_ready_.notify_one();
      if (last) return;
    }
  }

  void transform_all() {
    while (true) {
      std::unique_lock lock(mutex_);
      work_there_.wait(lock, [&] { return stopped_ || ended_ || !work_.empty(); });
      if (stopped_ || work_.empty()) return;
      const std::shared_ptr<Slot> slot = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      try {
        slot->out = transform(std::move(*slot->in));
      } catch (...) {
        slot->error = std::current_exception();
      }
      slot->in.reset();
      lock.lock();
      slot->done = true;
      result_ready_.notify_one();
    }
  }

  // Waits for the first slot in order to be complete. Returns nullptr at the end.
  std::shared_ptr<Slot> next_result() {
    constexpr std::chrono::milliseconds poll_interval{100};
    std::unique_lock lock(mutex_);
    const auto ready = [&] { return order_.empty() ? ended_ : order_.front()->done; };
    while (!result_ready_.wait_for(lock, poll_interval, ready)) {
      lock.unlock();
      idle();
      lock.lock();
    }
    if (order_.empty()) return nullptr;
    std::shared_ptr<Slot> slot = std::move(order_.front());
    order_.pop_front();
    return slot;
  }

  std::mutex mutex_;
  std::condition_variable room_, work_there_, result_ready_;
  std::deque<std::shared_ptr<Slot>> order_, work_;
  std::size_t limit_ = 0, in_flight_ = 0;
  bool ended_ = false, stopped_ = false;
};

}  // namespace moderngpt2
