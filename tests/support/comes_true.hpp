#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace moderngpt2::test {

/// Waits until another thread sets `flag`, for 20 s at most. Returns whether it did.
inline bool comes_true(const std::atomic<bool>& flag) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!flag && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return flag;
}

}  // namespace moderngpt2::test
