#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace moderngpt2 {

/// Queue between threads with a limit on the total cost of its items, usually bytes. An item above the limit is
/// accepted when the queue is empty.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t limit) : limit_(limit) {}

  /// Waits for room and appends `item`. Returns false and discards the item once the queue is closed.
  bool push(T item, std::size_t cost) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || items_.empty() || cost_ + cost <= limit_; });
    if (closed_) return false;
    items_.push_back({std::move(item), cost});
    cost_ += cost;
    filled_.notify_one();
    return true;
  }

  /// Marks the end of the items.
  void finish() {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    filled_.notify_all();
  }

  /// Waits for the first item and removes it. Returns nullopt once the queue is closed, or finished and empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [&] { return closed_ || finished_ || !items_.empty(); });
    if (closed_ || items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front().value));
    cost_ -= items_.front().cost;
    items_.pop_front();
    room_.notify_one();
    return item;
  }

  /// Discards all items and wakes all waiting threads. Called by a consumer that needs no more items.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    items_.clear();
    filled_.notify_all();
    room_.notify_all();
  }

 private:
  struct Item {
    T value;
    std::size_t cost;
  };

  std::mutex mutex_;
  std::condition_variable room_, filled_;
  std::deque<Item> items_;
  std::size_t limit_, cost_ = 0;
  bool finished_ = false, closed_ = false;
};

}  // namespace moderngpt2
