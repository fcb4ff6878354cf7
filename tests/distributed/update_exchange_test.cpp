#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/distributed/update_exchange.hpp"
#include "moderngpt2/model/parameters.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"
#include "support/comes_true.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

using UpdatedWeights = ParameterBuffers<Elements<float>>;

/// An embedding of 1000 elements, two half blocks of 1500, a head of 3064; norms.
constexpr std::int64_t updated_matrices = 7 * 1024, updated_vectors = 1024;
std::vector<std::pair<int, std::int64_t>> begins_of_units() { return {{0, 0}, {1, 1000}, {2, 2500}, {3, 4000}}; }

/// Sets what a rank has updated, and gives the rest wrong values.
void update_own(UpdatedWeights& weights, const Shard& own) {
  std::fill(weights.matrices.begin(), weights.matrices.end(), -1.0f);
  std::fill(weights.vectors.begin(), weights.vectors.end(), -1.0f);
  for (const Piece& p : own.matrices)
    for (std::int64_t i = 0; i < p.length; ++i) weights.matrices[p.offset + i] = float(p.offset + i);
  for (const Piece& p : own.vectors)
    for (std::int64_t i = 0; i < p.length; ++i) weights.vectors[p.offset + i] = float(p.offset + i);
}

bool is_new(const FlatBuffer<float>& weights, std::int64_t begin, std::int64_t end) {
  for (std::int64_t i = begin; i < end; ++i)
    if (weights[i] != float(i)) return false;
  return true;
}

}  // namespace

TEST_CASE("new weights: each unit's when it is needed, while others are on their way") {
  for (const int ranks : {2, 4}) {
    const Layout layout(begins_of_units(), updated_matrices, updated_vectors, ranks, 1500);
    const std::size_t buckets = layout.matrices().size();
    REQUIRE(buckets == 4);
    std::atomic<bool> has_first_units = false, gave_up = false;
    ThreadRanksOptions options{.timeout_seconds = 60};
    options.plan.delay = [&](int rank, std::int64_t, const Collective& c) {
      if (rank == 1 && c.what == std::string("all-gather of bucket 3")) gave_up = !test::comes_true(has_first_units);
      return 0.0;
    };
    const auto run_rank = [&](CommunicatorBase& communicator) {
      UpdatedWeights weights(updated_matrices, updated_vectors);
      const UnitBuckets units(layout, begins_of_units(), false);
      UpdateExchange exchange(communicator, layout, units, 1, weights);
      update_own(weights, layout.shard(communicator.rank()));
      exchange.start(buckets);
      for (std::size_t i = 0; i < buckets; ++i) exchange.start(i);
      for (int unit = 0; unit <= units.head(); ++unit) {
        exchange.need(unit, WeightSource::nothing);
        if (!is_new(weights.vectors, 0, updated_vectors)) throw Error("norms are not there for unit {}", unit);
        for (const std::size_t i : units.of(unit))
          if (!is_new(weights.matrices, layout.matrices()[i].begin, layout.matrices()[i].end))
            throw Error("bucket {} is not there for unit {}", i, unit);
        if (unit != 1 || communicator.rank() != 0) continue;
        const std::int64_t of_rank_1 = layout.matrices()[3].begin + layout.slice(layout.matrices()[3]);
        if (!std::isnan(weights.matrices[of_rank_1])) throw Error("the last bucket is there before rank 1 gave it");
        has_first_units = true;
      }
      exchange.need(1, WeightSource::nothing);  // waits for nothing
      exchange.finish();
      if (!is_new(weights.matrices, 0, updated_matrices)) throw Error("not all is there at the end");
    };
    for (const std::string& thrown : run_thread_ranks(ranks, options, run_rank)) CHECK(thrown == "");
    CHECK(has_first_units);
    CHECK_FALSE(gave_up);
  }
}

TEST_CASE("new weights by stage: none in stage 0, norms and biases in stage 3") {
  const Layout layout(begins_of_units(), updated_matrices, updated_vectors, 2, 1500);
  for (const int stage : {0, 3}) {
    const auto run_rank = [&](CommunicatorBase& communicator) {
      UpdatedWeights weights(updated_matrices, updated_vectors);
      UpdateExchange exchange(communicator, layout, UnitBuckets(layout, begins_of_units(), false), stage, weights);
      update_own(weights, layout.shard(communicator.rank()));
      for (std::size_t i = 0; i <= layout.matrices().size(); ++i) exchange.start(i);
      exchange.finish();
      const std::int64_t bytes = stage == 0 ? 0 : updated_vectors / 2 * std::int64_t(sizeof(float));
      if (communicator.bytes_moved() != bytes) throw Error("stage {}: {} bytes", stage, communicator.bytes_moved());
      if (is_new(weights.vectors, 0, updated_vectors) != (stage == 3)) throw Error("stage {}: norms", stage);
    };
    for (const std::string& thrown : run_thread_ranks(2, {.timeout_seconds = 60}, run_rank)) CHECK(thrown == "");
  }
}
