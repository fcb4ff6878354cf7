#include <cstdint>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/distributed/buckets.hpp"
#include "moderngpt2/model/unit.hpp"

using namespace moderngpt2;
using namespace moderngpt2::distributed;

namespace {

using UnitBegins = std::vector<UnitBegin>;

/// wte of 1000 elements, blocks of 3000 each, a head of 64.
UnitBegins four_blocks() {
  return {{Unit::embedding(), 0},      {Unit::half_block(0), 1000},  {Unit::half_block(2), 4000},
          {Unit::half_block(4), 7000}, {Unit::half_block(6), 10000}, {Unit::head(8), 13000}};
}

std::int64_t padded(std::int64_t n, int ranks) {
  const std::int64_t granule = buffer_granule(ranks);
  return (n + granule - 1) / granule * granule;
}

}  // namespace

TEST_CASE("buckets cover the buffer without gaps, with one slice for each rank") {
  for (const int ranks : {1, 2, 3, 4, 7})
    for (const std::int64_t limit : {1, 3000, 6100, 1 << 20}) {
      CAPTURE(ranks);
      CAPTURE(limit);
      const std::int64_t matrices = padded(13064, ranks), vectors = padded(320, ranks);
      const Layout layout(four_blocks(), matrices, vectors, ranks, limit);
      std::int64_t at = 0;
      for (const Bucket& bucket : layout.matrices()) {
        CHECK(bucket.begin == at);
        CHECK(bucket.end > bucket.begin);
        CHECK((bucket.end - bucket.begin) % ranks == 0);
        if (ranks > 1) CHECK(layout.slice(bucket) % slice_alignment == 0);
        at = bucket.end;
      }
      CHECK(at == matrices);
      // All shards together hold each element once, and count their own from 0 on.
      std::vector<int> owners(std::size_t(matrices + vectors), 0);
      for (int rank = 0; rank < ranks; ++rank) {
        const Shard shard = layout.shard(rank);
        std::int64_t kept = 0;
        for (const Piece& piece : shard.matrices) {
          CHECK(piece.at == kept);
          kept += piece.length;
          for (std::int64_t i = 0; i < piece.length; ++i) ++owners[std::size_t(piece.offset + i)];
        }
        CHECK(element_count(shard.matrices) == kept);
        CHECK(kept * ranks == matrices);
        for (const Piece& piece : shard.vectors)
          for (std::int64_t i = 0; i < piece.length; ++i) ++owners[std::size_t(matrices + piece.offset + i)];
      }
      CHECK(owners == std::vector<int>(owners.size(), 1));
    }
}

TEST_CASE("a bucket holds whole blocks up to the limit, and is complete with its first") {
  const auto units = [](const Layout& layout) {
    std::vector<int> result;
    for (const Bucket& bucket : layout.matrices()) result.push_back(bucket.unit.index());
    return result;
  };
  CHECK(units(Layout(four_blocks(), 13312, 512, 2, 1)) == std::vector<int>{0, 1, 3, 5, 7, 9});
  CHECK(units(Layout(four_blocks(), 13312, 512, 2, 6400)) == std::vector<int>{0, 1, 5});
  CHECK(units(Layout(four_blocks(), 13312, 512, 2, 1 << 20)) == std::vector<int>{0, 1});
  // A bucket begins at its unit or less than a granule after it.
  const UnitBegins begins = four_blocks();
  const Layout fine(begins, 13312, 512, 2, 1);
  for (const Bucket& bucket : fine.matrices())
    for (const auto& [unit, begin] : begins)
      if (unit == bucket.unit) {
        CHECK(bucket.begin >= begin);
        CHECK(bucket.begin < begin + buffer_granule(2));
      }
  // Blocks smaller than a granule share one bucket, which the last of them completes.
  const Layout small(
      UnitBegins{{Unit::embedding(), 0}, {Unit::half_block(0), 64}, {Unit::half_block(2), 128}, {Unit::head(4), 192}},
      1024, 512, 4, 1);
  CHECK(small.matrices() == std::vector<Bucket>{{0, 512, Unit::embedding()}, {512, 1024, Unit::head(4)}});
}

TEST_CASE("intersection of a range and a shard") {
  const Shard shard = Layout(four_blocks(), 13312, 512, 2, 3000).shard(1);
  std::int64_t count = 0;
  for_common_elements(shard.matrices, 4000, 3000, [&](const Piece& piece, std::int64_t first, std::int64_t n) {
    CHECK(first >= 4000);
    CHECK(first + n <= 7000);
    CHECK(first >= piece.offset);
    CHECK(first + n <= piece.offset + piece.length);
    count += n;
  });
  CHECK(count > 1000);
  CHECK(count < 2000);
}
