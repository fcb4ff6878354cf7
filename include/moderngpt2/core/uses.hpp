#pragma once

#include <atomic>
#include <utility>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Detects the use of an object by several threads where that is not allowed: at a time, any number of shared uses or
/// one exclusive use. A conflict is an Error and not a wait, because it is a mistake in the program. All members may be
/// called by any thread.
class Uses {
 public:
  /// Ends a use when it is destroyed.
  class Use {
   public:
    Use() = default;
    Use(Use&& other) noexcept : count_(std::exchange(other.count_, nullptr)), change_(other.change_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (count_) count_->fetch_sub(change_, std::memory_order_release);
    }

   private:
    friend class Uses;
    Use(std::atomic<int>& count, int change) : count_(&count), change_(change) {}

    std::atomic<int>* count_ = nullptr;
    int change_ = 0;
  };

  /// `what` is the object's name in messages.
  explicit Uses(const char* what) : what_(what) {}
  Uses(Uses&& other) noexcept : what_(other.what_) {}
  Uses& operator=(Uses&& other) noexcept {
    what_ = other.what_;
    return *this;
  }

  /// Begins a use beside other shared ones. Throws an Error during an exclusive use.
  [[nodiscard]] Use shared() const {
    int count = count_.load(std::memory_order_relaxed);
    do {
      if (count < 0) refuse();
    } while (!count_.compare_exchange_weak(count, count + 1, std::memory_order_acquire));
    return Use(count_, 1);
  }
  /// Begins a use that must be the only one. Throws an Error during another use.
  [[nodiscard]] Use exclusive() const {
    int none = 0;
    if (!count_.compare_exchange_strong(none, -1, std::memory_order_acquire)) refuse();
    return Use(count_, -1);
  }

 private:
  [[noreturn]] void refuse() const { throw Error("this {} is in use by another thread", what_); }

  const char* what_;
  mutable std::atomic<int> count_ = 0;  // shared uses; -1: an exclusive one
};

}  // namespace moderngpt2
