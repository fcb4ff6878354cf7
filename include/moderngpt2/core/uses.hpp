#pragma once

#include <atomic>
#include <thread>
#include <utility>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Detects the use of an object by several threads where that is not allowed: at a time, any number of shared uses, or
/// the uses of one thread, one of them exclusive. A conflict is an Error and not a wait, because it is a mistake in the
/// program. All members may be called by any thread.
class Uses {
 public:
  /// Ends a use when it is destroyed.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : uses_(std::exchange(other.uses_, nullptr)), change_(other.change_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (!uses_) return;
      if (change_ < 0) uses_->owner_.store({}, std::memory_order_relaxed);
      uses_->count_.fetch_sub(change_, std::memory_order_release);
    }

   private:
    friend class Uses;
    Use(const Uses& uses, int change) : uses_(&uses), change_(change) {}

    const Uses* uses_ = nullptr;  // null: within an exclusive use of this thread
    int change_ = 0;
  };

  /// `what` is the object's name in messages.
  explicit Uses(const char* what) : what_(what) {}
  Uses(Uses&& other) noexcept : what_(other.what_) {}
  Uses& operator=(Uses&& other) noexcept {
    what_ = other.what_;
    return *this;
  }

  /// Begins a use beside other shared ones. Throws an Error during an exclusive use of another thread.
  [[nodiscard]] Use shared() const {
    int count = count_.load(std::memory_order_relaxed);
    do {
      if (count < 0) return within_own();
    } while (!count_.compare_exchange_weak(count, count + 1, std::memory_order_acquire));
    return Use(*this, 1);
  }
  /// Begins a use that excludes those of other threads. Throws an Error during a shared use, or an exclusive one of
  /// another thread.
  [[nodiscard]] Use exclusive() const {
    int none = 0;
    if (!count_.compare_exchange_strong(none, -1, std::memory_order_acquire)) return within_own();
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    return Use(*this, -1);
  }

 private:
  /// A use within an exclusive one of the calling thread. Throws an Error if there is none.
  Use within_own() const {
    if (owner_.load(std::memory_order_relaxed) != std::this_thread::get_id())
      throw Error("this {} is in use by another thread", what_);
    return Use();
  }

  const char* what_;
  mutable std::atomic<int> count_ = 0;            // shared uses; -1: an exclusive one
  mutable std::atomic<std::thread::id> owner_{};  // thread of the exclusive use
};

}  // namespace moderngpt2
