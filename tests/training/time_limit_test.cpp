#include <optional>

#include <doctest/doctest.h>

#include "moderngpt2/training/time_limit.hpp"

using namespace moderngpt2;

TEST_CASE("a run stops while its last checkpoint still fits into the time") {
  TimeLimit limit(0.01, 100);  // 36 s, of which the last is for the end of the program
  CHECK_FALSE(limit.is_over({}, 134.9));
  CHECK(limit.is_over({}, 135.1));
  limit.add_step(4);
  CHECK_FALSE(limit.is_over({.steps = 1}, 129.9));
  CHECK(limit.is_over({.steps = 1}, 130.1));
  limit.expect(200'000'000, 2);  // 12 s, until a checkpoint is measured; one step for the evaluation
  CHECK_FALSE(limit.is_over({.steps = 1}, 114.9));
  CHECK(limit.is_over({.steps = 1}, 115.1));
  limit.add_save(8);
  CHECK_FALSE(limit.is_over({.steps = 1, .evaluations = 1, .saves = 2}, 104.9));
  CHECK(limit.is_over({.steps = 1, .evaluations = 1, .saves = 2}, 105.1));
  limit.add_evaluation(8);
  CHECK(limit.is_over({.steps = 1, .evaluations = 1, .saves = 2}, 100.1));
  CHECK_FALSE(limit.is_over({.saves = 1}, 124.9));
}

TEST_CASE("no limit without max_hours") { CHECK_FALSE(TimeLimit(std::nullopt, 0).is_over({.steps = 1}, 1e9)); }
