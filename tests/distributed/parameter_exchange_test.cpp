#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/backend/cpu.hpp"
#include "moderngpt2/core/memory.hpp"
#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/distributed/parameter_exchange.hpp"
#include "moderngpt2/distributed/unit_buckets.hpp"
#include "moderngpt2/model/unit.hpp"
#include "moderngpt2/testing/thread_ranks.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

/// An embedding of 1000 elements, half blocks of 1500, a head of 64.
std::vector<UnitBegin> halves_of_two_blocks() {
  return {{Unit::embedding(), 0},      {Unit::half_block(0), 1000}, {Unit::half_block(1), 2500},
          {Unit::half_block(2), 4000}, {Unit::half_block(3), 5500}, {Unit::head(4), 7000}};
}

std::int64_t padded_matrices(int ranks) {
  const std::int64_t granule = buffer_granule(ranks);
  return (7064 + granule - 1) / granule * granule;
}

}  // namespace

TEST_CASE("buckets of units: the embedding by itself, each half block in its own and the one before") {
  const auto begins = halves_of_two_blocks();
  const Layout layout = Layout::by_unit(begins, padded_matrices(2), 256, 2);
  CHECK(layout.matrices() == std::vector<Bucket>{{0, 768, Unit::embedding()},
                                                 {768, 2560, Unit::embedding()},
                                                 {2560, 4096, Unit::half_block(1)},
                                                 {4096, 5632, Unit::half_block(2)},
                                                 {5632, 7168, Unit::half_block(3)}});
  const auto buckets = [](const UnitBuckets& units, Unit unit) {
    return std::vector<std::size_t>(units.of(unit).begin(), units.of(unit).end());
  };
  const UnitBuckets units(layout, begins, false), tied(layout, begins, true);
  CHECK(buckets(units, Unit::embedding()) == std::vector<std::size_t>{0, 1});
  CHECK(buckets(units, Unit::half_block(0)) == std::vector<std::size_t>{1});
  CHECK(buckets(units, Unit::half_block(1)) == std::vector<std::size_t>{1, 2});
  CHECK(buckets(units, units.head()) == std::vector<std::size_t>{4});
  CHECK(buckets(tied, tied.head()) == std::vector<std::size_t>{0, 1, 4});
  CHECK(units.of(Unit()).empty());
  CHECK(units.elements(Unit::half_block(0), Unit::half_block(1)) == 1792 + 1536);
  CHECK(units.elements(Unit::half_block(1), Unit()) == 1792 + 1536);
  // An embedding smaller than a granule lies with the first half block; everything may be in one bucket.
  CHECK(Layout::by_unit(begins, padded_matrices(8), 1024, 8).matrices().front() == Bucket{0, 3072, Unit::embedding()});
  CHECK(Layout::by_unit(begins, padded_matrices(64), 8192, 64).matrices() ==
        std::vector<Bucket>{{0, 8192, Unit::embedding()}});
}

TEST_CASE("each rank keeps its slices, an acquired unit is resident, and all else is discarded") {
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
      // Outside of the buckets of the two units, only a rank's own slices are resident.
      const auto check = [&](Unit unit, Unit next) {
        exchange.acquire(unit, next);
        for (std::size_t i = 0; i < layout.matrices().size(); ++i) {
          const Bucket& bucket = layout.matrices()[i];
          const std::int64_t own = bucket.begin + communicator.rank() * layout.slice(bucket);
          std::int64_t wrong = 0;
          if (units.has(next, i) && !units.has(unit, i)) continue;  // being gathered
          for (std::int64_t j = bucket.begin; j < bucket.end; ++j) {
            const bool is_resident = units.has(unit, i) || (j >= own && j < own + layout.slice(bucket));
            wrong += weights[j] != (is_resident ? float(j + 1) : 0.0f);
          }
          if (wrong > 0)
            throw Error("unit {}, next {}: {} elements of bucket {} are not as they must be", unit.index(),
                        next.index(), wrong, i);
        }
      };
      check({}, {});
      for (Unit unit = Unit::embedding(); unit < units.head(); unit = unit.next()) check(unit, unit.next());
      for (Unit unit = units.head(); unit > Unit::embedding(); unit = unit.previous()) check(unit, unit.previous());
      check({}, {});
      // A bucket that two consecutive passes acquire is gathered once.
      const std::int64_t before = communicator.bytes_moved();
      const Unit first_half = Unit::half_block(0);
      check(first_half, {}), check(first_half, {});
      const Bucket& first = layout.matrices()[units.of(first_half).back()];
      if (units.of(first_half).size() == 1 &&
          communicator.bytes_moved() - before != 4 * (ranks - 1) * layout.slice(first))
        throw Error("{} bytes were sent", communicator.bytes_moved() - before);
      // Rank 0 runs passes; the others serve its gathers.
      exchange.run_on_rank0([&] {
        for (const Unit unit : {Unit::half_block(2), Unit::embedding(), units.head(), first_half})
          exchange.acquire(unit, unit.is_embedding() ? first_half : Unit());
        if (weights[begins[1].begin] != float(begins[1].begin + 1)) throw Error("half block 0 is not resident");
      });
      check({}, {});
    };
    for (const std::string& thrown : run_thread_ranks(ranks, {.timeout_seconds = 60}, run_rank)) CHECK(thrown == "");
  }
}
