#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "moderngpt2/core/abi.hpp"

#ifdef _OPENMP

namespace moderngpt2::detail::inline MODERNGPT2_THREADS_ABI {

/// Maximum team size of a parallel region started now, by OpenMP's limits (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS).
inline int team_limit() { return omp_get_active_level() < omp_get_max_active_levels() ? omp_get_thread_limit() : 1; }

/// Team size that a library (oneDNN, Eigen) gets if it requests `threads` now, with dynamic teams off: 1 inside an
/// active parallel region, where libraries use one thread. OpenMP does not report every limit (KMP_DEVICE_THREAD_LIMIT
/// of LLVM's runtime), so each calling thread tests a size with a parallel region, once and after each change of a
/// limit. That limit is for the whole process: it must allow the teams of all threads that compute at once.
inline int team_size(int threads) {
  threads = omp_in_parallel() ? 1 : std::min(threads, team_limit());
  if (threads <= 1) return 1;
  static thread_local std::array<int, 3> tried{};
  const std::array now{threads, omp_get_thread_limit(), omp_get_level()};
  if (tried == now) return threads;
  int size = 1;
#pragma omp parallel num_threads(threads)
  if (omp_get_thread_num() == 0) size = omp_get_num_threads();
  if (size == threads) tried = now;
  return size;
}

}  // namespace moderngpt2::detail::inline MODERNGPT2_THREADS_ABI

#endif

namespace moderngpt2::inline MODERNGPT2_THREADS_ABI {

/// Maximum threads of a parallel region started now: the minimum of OpenMP's default count and its limits.
inline int available_threads() {
#ifdef _OPENMP
  return std::min(omp_get_max_threads(), detail::team_limit());
#else
  return 1;
#endif
}

/// Sets the thread count of libraries that read it from OpenMP (oneDNN, Eigen) to the team size that OpenMP gives for
/// `threads`, and restores it at the end of the scope. If a team is smaller than the count that oneDNN read, oneDNN
/// leaves parts of a result unwritten. Dynamic teams are off in the scope.
class ThreadScope {
 public:
  explicit ThreadScope([[maybe_unused]] int threads) {
#ifdef _OPENMP
    if (dynamic_) omp_set_dynamic(0);
    threads_ = detail::team_size(threads);
    if (threads_ != before_) omp_set_num_threads(threads_);
#endif
  }
  ~ThreadScope() {
#ifdef _OPENMP
    if (threads_ != before_) omp_set_num_threads(before_);
    if (dynamic_) omp_set_dynamic(1);
#endif
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

  /// Team size, between 1 and the requested count.
  int threads() const { return threads_; }

 private:
  int threads_ = 1;
#ifdef _OPENMP
  int before_ = omp_get_max_threads();
  bool dynamic_ = omp_get_dynamic() != 0;
#endif
};

}  // namespace moderngpt2::inline MODERNGPT2_THREADS_ABI

namespace moderngpt2::detail {

/// Keeps the first exception of a parallel region, because exceptions must not leave a region.
class ExceptionKeeper {
 public:
  template <class F>
  void run(F&& f) noexcept {
    try {
      f();
    } catch (...) {
      if (!taken_.test_and_set()) exception_ = std::current_exception();
    }
  }
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
  std::exception_ptr exception_;
};

}  // namespace moderngpt2::detail

namespace moderngpt2::inline MODERNGPT2_THREADS_ABI {

/// Calls f(task, thread) for every task in [0, n). Threads take one task at a time, which balances uneven work. Results
/// must not depend on which thread runs which task.
template <class F>
void parallel_tasks(int threads, std::int64_t n, F&& f) {
#ifdef _OPENMP
  threads = std::min(threads, detail::team_limit());  // a team of one thread would only cost an allocation
#endif
  if (threads <= 1 || n <= 1) {
    for (std::int64_t task = 0; task < n; ++task) f(task, 0);
    return;
  }
#ifdef _OPENMP
  detail::ExceptionKeeper keeper;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::int64_t task = 0; task < n; ++task) keeper.run([&] { f(task, omp_get_thread_num()); });
  keeper.rethrow();
#else
  for (std::int64_t task = 0; task < n; ++task) f(task, 0);
#endif
}

/// Calls f(begin, end) on contiguous parts of [0, n), at most one per thread, of at least `grain` elements. The result
/// must not depend on the cut points. If grain >= 64, cut points are multiples of 64: a compiler may contract
/// multiply-adds differently in the last, partial vector of a loop, so that vector must contain the same elements for
/// any number of threads.
template <class F>
void parallel_ranges(int threads, std::int64_t n, std::int64_t grain, F&& f) {
  const std::int64_t parts = std::clamp<std::int64_t>(n / std::max<std::int64_t>(grain, 1), 1, threads);
  const std::int64_t step = grain >= 64 ? 64 : 1;
  const auto cut = [&](std::int64_t part) { return part == parts ? n : n * part / parts / step * step; };
  parallel_tasks(int(parts), parts, [&](std::int64_t part, int) { f(cut(part), cut(part + 1)); });
}

}  // namespace moderngpt2::inline MODERNGPT2_THREADS_ABI
