#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/parameter_exchange.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

/// An embedding of 1000 elements, half blocks of 1500, a head of 64.
std::vector<std::pair<int, std::int64_t>> halves_of_two_blocks() {
  return {{0, 0}, {1, 1000}, {2, 2500}, {3, 4000}, {4, 5500}, {5, 7000}};
}

std::int64_t padded_matrices(int ranks) {
  const std::int64_t granule = buffer_granule(ranks);
  return (7064 + granule - 1) / granule * granule;
}

}  // namespace

TEST_CASE("buckets of units: the embedding by itself, each half block in its own and the one before") {
  const auto begins = halves_of_two_blocks();
  const Layout layout = Layout::by_unit(begins, padded_matrices(2), 256, 2);
  CHECK(layout.matrices() ==
        std::vector<Bucket>{{0, 768, 0}, {768, 2560, 0}, {2560, 4096, 2}, {4096, 5632, 3}, {5632, 7168, 4}});
  const auto buckets = [](const UnitBuckets& units, int unit) {
    return std::vector<std::size_t>(units.of(unit).begin(), units.of(unit).end());
  };
  const UnitBuckets units(layout, begins, false), tied(layout, begins, true);
  CHECK(buckets(units, 0) == std::vector<std::size_t>{0, 1});
  CHECK(buckets(units, 1) == std::vector<std::size_t>{1});
  CHECK(buckets(units, 2) == std::vector<std::size_t>{1, 2});
  CHECK(buckets(units, units.head()) == std::vector<std::size_t>{4});
  CHECK(buckets(tied, tied.head()) == std::vector<std::size_t>{0, 1, 4});
  CHECK(units.of(WeightSource::nothing).empty());
  CHECK(units.elements(1, 2) == 1792 + 1536);
  CHECK(units.elements(2, WeightSource::nothing) == 1792 + 1536);
  // An embedding smaller than a granule lies with the first half block; everything may be in one bucket.
  CHECK(Layout::by_unit(begins, padded_matrices(8), 1024, 8).matrices().front() == Bucket{0, 3072, 0});
  CHECK(Layout::by_unit(begins, padded_matrices(64), 8192, 64).matrices() == std::vector<Bucket>{{0, 8192, 0}});
}

TEST_CASE("each rank has its slices, what a unit needs is there, and what nobody needs is gone") {
  const auto begins = halves_of_two_blocks();
  for (const int ranks : {2, 3, 4}) {
    const auto run_rank = [&](CommunicatorBase& communicator) {
      const std::int64_t count = padded_matrices(ranks);
      FlatBuffer<float> weights(count);
      for (std::int64_t i = 0; i < count; ++i) weights[i] = float(i + 1);
      const Layout layout = Layout::by_unit(begins, count, buffer_granule(ranks), ranks);
      const UnitBuckets units(layout, begins, true);
      cpu::Backend backend(1);
      ParameterExchange<float, cpu::Backend> exchange(communicator, communicator, backend, layout, units, weights);
      // Elements that are there outside of the buckets of two units: a rank's own.
      const auto check = [&](int unit, int next) {
        exchange.need(unit, next);
        for (std::size_t i = 0; i < layout.matrices().size(); ++i) {
          const Bucket& bucket = layout.matrices()[i];
          const std::int64_t own = bucket.begin + communicator.rank() * layout.slice(bucket);
          std::int64_t wrong = 0;
          if (units.has(next, i) && !units.has(unit, i)) continue;  // under way
          for (std::int64_t j = bucket.begin; j < bucket.end; ++j) {
            const bool is_there = units.has(unit, i) || (j >= own && j < own + layout.slice(bucket));
            wrong += weights[j] != (is_there ? float(j + 1) : 0.0f);
          }
          if (wrong > 0)
            throw Error("unit {}, next {}: {} elements of bucket {} are not as they must be", unit, next, wrong, i);
        }
      };
      check(WeightSource::nothing, WeightSource::nothing);
      for (int unit = 0; unit < units.head(); ++unit) check(unit, unit + 1);
      for (int unit = units.head(); unit > 0; --unit) check(unit, unit - 1);
      check(WeightSource::nothing, WeightSource::nothing);
      // Each gather moves a bucket once: what two passes in a row need stays.
      const std::int64_t before = communicator.bytes_moved();
      check(1, WeightSource::nothing), check(1, WeightSource::nothing);
      const Bucket& first = layout.matrices()[units.of(1).back()];
      if (units.of(1).size() == 1 && communicator.bytes_moved() - before != 4 * (ranks - 1) * layout.slice(first))
        throw Error("{} bytes were sent", communicator.bytes_moved() - before);
      // Rank 0 decides; the others follow without knowing what it does.
      exchange.lead([&] {
        for (const int unit : {3, 0, 5, 1}) exchange.need(unit, unit == 0 ? 1 : WeightSource::nothing);
        if (weights[begins[1].second] != float(begins[1].second + 1)) throw Error("unit 1 is not there");
      });
      check(WeightSource::nothing, WeightSource::nothing);
    };
    for (const std::string& thrown : run_thread_ranks(ranks, {.timeout_seconds = 60}, run_rank)) CHECK(thrown == "");
  }
}
