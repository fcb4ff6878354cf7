#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/parallel.hpp"

using namespace moderngpt2;

TEST_CASE("every task runs once, on a thread that exists") {
  for (int threads : {0, 1, 2, 3, 7})
    for (std::int64_t n : {0, 1, 2, 5, 100}) {
      std::vector<std::atomic<int>> runs(std::size_t(n) + 1);
      std::atomic<int> wrong = 0;
      parallel_tasks(threads, n, [&](std::int64_t task, int thread) {
        ++runs[std::size_t(task)];
        wrong += thread < 0 || thread >= std::max(threads, 1);
      });
      CHECK(std::count(runs.begin(), runs.end() - 1, 1) == n);
      CHECK(wrong == 0);
    }
}

TEST_CASE("ranges cover everything once, in parts of at least the grain") {
  for (int threads : {1, 2, 3, 7})
    for (std::int64_t n : {0, 1, 7, 8, 9, 1000})
      for (std::int64_t grain : {0, 1, 8, 64}) {
        std::vector<std::atomic<int>> runs(std::size_t(n) + 1);
        std::atomic<int> calls = 0, small = 0;
        parallel_ranges(threads, n, grain, [&](std::int64_t begin, std::int64_t end) {
          ++calls;
          small += end - begin < std::min(grain, n);
          for (std::int64_t i = begin; i < end; ++i) ++runs[std::size_t(i)];
        });
        CHECK(std::count(runs.begin(), runs.end() - 1, 1) == n);
        CHECK(calls <= threads);
        CHECK(small == 0);
      }
}

TEST_CASE("an exception leaves a parallel region as an exception") {
  for (int threads : {1, 2, 4}) {
    std::string message;
    try {
      parallel_tasks(threads, 64, [](std::int64_t task, int) {
        if (task % 16 == 5) throw std::runtime_error("task failed");
      });
    } catch (const std::runtime_error& e) {
      message = e.what();
    }
    CHECK(message == "task failed");
  }
}

TEST_CASE("ThreadScope sets and restores the thread count") {
  const int before = available_threads();
  {
    const ThreadScope three(3);
#ifdef _OPENMP
    CHECK(available_threads() == 3);
    {
      const ThreadScope one(1);
      CHECK(available_threads() == 1);
    }
    CHECK(available_threads() == 3);
#endif
  }
  CHECK(available_threads() == before);
}
