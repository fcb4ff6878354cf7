#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/core/abi.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/start_thread.hpp"

namespace moderngpt2::inline MODERNGPT2_THREADS_ABI {

/// Message with the reason if OpenMP gives fewer threads than requested; empty otherwise. std::nullopt requests
/// OpenMP's default count. Throws an Error if the system refuses to start them.
inline std::string thread_shortage_message([[maybe_unused]] std::optional<int> requested) {
#ifdef _OPENMP
  const int wanted = requested.value_or(omp_get_max_threads()), limit = omp_get_thread_limit();
  require_threads(std::min(wanted, limit));
  const int got = ThreadScope(wanted).threads();
  if (got >= wanted) return "";
  std::string reason = "its runtime allows no more";
  if (omp_get_max_active_levels() < 1)
    reason = "OMP_MAX_ACTIVE_LEVELS is 0";
  else if (got == limit)
    reason = fmt::format("OMP_THREAD_LIMIT is {}", limit);
  return fmt::format("OpenMP gives {} of {} threads: {}", got, wanted, reason);
#else
  return "";
#endif
}

}  // namespace moderngpt2::inline MODERNGPT2_THREADS_ABI
