#pragma once

#include <chrono>

namespace moderngpt2 {

/// Seconds of a monotonic clock with an arbitrary origin: only differences are meaningful.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace moderngpt2
