#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <vector>

namespace moderngpt2::cuda::detail {

/// Which of `count` ways is the fastest: time(i) runs one and says how long it took, or nothing where it cannot be run.
/// Each runs once to be warm, then in turns with the others, so that a changing clock is everyone's; its best time
/// counts. The first where none can be run.
template <class Time>
std::size_t fastest_of(std::size_t count, Time&& time) {
  constexpr int rounds = 4;
  constexpr float never = std::numeric_limits<float>::infinity();
  std::vector<float> best(count, never);
  std::vector<char> runs(count, 1);
  for (int round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < count; ++i) {
      if (!runs[i]) continue;
      const std::optional<float> taken = time(i);
      runs[i] = taken.has_value();
      if (!taken)
        best[i] = never;
      else if (round > 0 && *taken < best[i])
        best[i] = *taken;
    }
  std::size_t fastest = 0;
  for (std::size_t i = 1; i < count; ++i)
    if (best[i] < best[fastest]) fastest = i;
  return fastest;
}

}  // namespace moderngpt2::cuda::detail
