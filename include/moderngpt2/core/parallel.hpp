#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace moderngpt2 {

/// Threads that a parallel region started now would get.
inline int available_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the thread count of libraries that read it from OpenMP (oneDNN, Eigen) while in scope.
class ThreadScope {
 public:
  explicit ThreadScope([[maybe_unused]] int threads) : before_(available_threads()) {
#ifdef _OPENMP
    if (threads != before_) omp_set_num_threads(threads);
#endif
  }
  ~ThreadScope() {
#ifdef _OPENMP
    if (available_threads() != before_) omp_set_num_threads(before_);
#endif
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
};

namespace detail {

/// Keeps the first exception of a parallel region: none may leave it.
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

}  // namespace detail

/// Calls f(task, thread) for every task in [0, n). Tasks are handed out one by one, so that uneven work is shared
/// evenly: results must not depend on which thread does which task.
template <class F>
void parallel_tasks(int threads, std::int64_t n, F&& f) {
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

/// Calls f(begin, end) on contiguous parts of [0, n), one part a thread, parts of at least `grain` elements. Only for
/// work whose result does not depend on where the range is cut.
template <class F>
void parallel_ranges(int threads, std::int64_t n, std::int64_t grain, F&& f) {
  const std::int64_t parts = std::clamp<std::int64_t>(n / std::max<std::int64_t>(grain, 1), 1, threads);
  parallel_tasks(int(parts), parts, [&](std::int64_t part, int) { f(n * part / parts, n * (part + 1) / parts); });
}

}  // namespace moderngpt2
