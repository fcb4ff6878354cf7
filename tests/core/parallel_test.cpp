#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/parallel.hpp"

#ifdef _OPENMP
#include "support/openmp_settings.hpp"
#endif

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
#ifdef _OPENMP
  const test::OpenMpSettings restored;
  omp_set_max_active_levels(1);
#endif
  const int before = available_threads();
  {
    const ThreadScope three(3);
#ifdef _OPENMP
    CHECK(available_threads() == std::min(3, omp_get_thread_limit()));
    {
      const ThreadScope one(1);
      CHECK(available_threads() == 1);
    }
    CHECK(available_threads() == three.threads());
#endif
  }
  CHECK(available_threads() == before);
}

#ifdef _OPENMP

namespace {

/// Whether a library that reads its thread count from OpenMP, as oneDNN does, gets a team of that size.
bool gets_its_team(const ThreadScope& scope, int asked) {
  const bool set = scope.threads() == omp_get_max_threads() && scope.threads() <= asked && omp_get_dynamic() == 0;
  const int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
  int got = 0;
#pragma omp parallel num_threads(threads)
  if (omp_get_thread_num() == 0) got = omp_get_num_threads();
  return set && got == threads;
}

}  // namespace

TEST_CASE("ThreadScope sets the team that OpenMP gives") {
  const int many = omp_get_num_procs() + 1;  // more threads than a dynamic team has
  test::with_small_teams([&](const std::string& where) {
    const int before = omp_get_max_threads(), dynamic = omp_get_dynamic();
    bool right = available_threads() <= omp_get_thread_limit();
    for (const int asked : {many, 1, 2, many}) {
      const ThreadScope scope(asked);
      right = gets_its_team(scope, asked) && right;
      const ThreadScope inner(2);
      right = gets_its_team(inner, 2) && right;
    }
    right = right && omp_get_max_threads() == before && omp_get_dynamic() == dynamic;
#pragma omp critical
    CHECK_MESSAGE(right, where);
  });
  const test::OpenMpSettings restored;
  omp_set_max_active_levels(1);
  const ThreadScope scope(many);
  CHECK(scope.threads() == std::min(many, omp_get_thread_limit()));
}

TEST_CASE("available_threads counts OpenMP's limits") {
  const test::OpenMpSettings restored;
  omp_set_max_active_levels(0);
  CHECK(available_threads() == 1);
  omp_set_max_active_levels(1);
  std::atomic<int> most = 0;
#pragma omp parallel num_threads(2)
  if (omp_get_num_threads() == 2) most = std::max(most.load(), available_threads());
  CHECK(most <= 1);
}

TEST_CASE("tasks run once where OpenMP gives fewer threads") {
  test::with_small_teams([](const std::string& where) {
    std::vector<std::atomic<int>> runs(100);
    std::atomic<int> wrong = 0;
    parallel_tasks(3, 100, [&](std::int64_t task, int thread) {
      ++runs[std::size_t(task)];
      wrong += thread < 0 || thread >= 3;
    });
#pragma omp critical
    CHECK_MESSAGE((wrong == 0 && std::count(runs.begin(), runs.end(), 1) == 100), where);
  });
}

#endif
