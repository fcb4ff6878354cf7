#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

namespace moderngpt2 {

/// A queue between threads whose items together cost no more than a limit (bytes, mostly); an item that alone costs
/// more goes in when the queue is empty.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(std::size_t limit) : limit_(limit) {}

  /// Waits for room and puts `item` at the end; false, and the item is lost, once the queue is closed.
  bool push(T item, std::size_t cost) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || items_.empty() || cost_ + cost <= limit_; });
    if (closed_) return false;
    items_.push_back({std::move(item), cost});
    cost_ += cost;
    filled_.notify_one();
    return true;
  }

  /// Says that no item comes after those in the queue.
  void finish() {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    filled_.notify_all();
  }

  /// Waits for the first item and takes it; nothing once the queue is finished and empty, or closed.
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

  /// Drops what is in the queue and wakes all who wait: for a taker that wants no more.
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
