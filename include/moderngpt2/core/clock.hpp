#pragma once

#include <chrono>

namespace moderngpt2 {

/// Seconds of a clock that never goes back, for differences.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace moderngpt2
