#pragma once

#include <algorithm>
#include <atomic>
#include <latch>
#include <string>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

namespace detail {

/// Message for threads that the system refused to start. `wanted`: their number, such as "16 threads".
inline std::string thread_refusal(const std::string& wanted, const std::string& reason, const std::string& remedy) {
  rlimit limit{};
  const bool is_limited = ::getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return fmt::format(
      "cannot start {}: {}: the limit of processes and threads is reached (ulimit -u: {}; a container has a pids limit "
      "of its own, a batch job that of its cgroup). Raise it, or {}",
      wanted, reason, is_limited ? fmt::format("{}", limit.rlim_cur) : "unlimited", remedy);
}

}  // namespace detail

/// Starts a thread. Throws an Error that names the limit if the system refuses. Thread: std::thread or std::jthread.
template <class Thread = std::thread, class F>
Thread start_thread(F&& f) {
  try {
    return Thread(std::forward<F>(f));
  } catch (const std::system_error& error) {
    throw Error("{}", detail::thread_refusal("a thread", error.code().message(), "use fewer threads"));
  }
}

/// Throws an Error if the system cannot run `count` threads at once, the caller included: starts them and lets them
/// end. To be called before OpenMP starts as many, since its runtimes end the process if they cannot. Tests each size
/// once. `setting`: what sets the count.
inline void require_threads(int count, Setting setting = {"threads"}) {
  static std::atomic<int> possible{1};
  if (count <= possible) return;
  std::latch end(1);
  std::vector<std::jthread> threads;
  try {
    while (int(threads.size()) < count - 1) threads.emplace_back([&end] { end.wait(); });
  } catch (const std::system_error& error) {
    end.count_down();
    throw Error("{}", detail::thread_refusal(
                          fmt::format("{} threads", count), error.code().message(),
                          fmt::format("set {} to at most {}", setting, std::max<int>(int(threads.size()), 1))));
  }
  end.count_down();
  possible = count;
}

}  // namespace moderngpt2
