#include <cstddef>
#include <vector>

#include <doctest/doctest.h>

#include "moderngpt2/core/partial_use.hpp"

using namespace moderngpt2;

TEST_CASE("neighbours that are in use at once share no memory, what is kept shares none with anybody") {
  // Ten parts of 25 bytes in chunks of 10. Every third part begins with 5 kept bytes.
  for (const std::size_t resident_parts : {1, 2, 3, 4, 20}) {
    PartialUse use{.kept = {{0, 12}}, .parts = {}, .resident_parts = resident_parts};
    for (std::size_t i = 0; i < 10; ++i) {
      use.parts.push_back({12 + 25 * i, 12 + 25 * (i + 1)});
      if (i % 3 == 0) use.kept.push_back({12 + 25 * i, 12 + 25 * i + 5});
    }
    const ChunkMap map = assign_pieces(use, 262, 10);
    REQUIRE(map.piece.size() == 27);
    std::vector<std::vector<std::size_t>> chunks_of(map.pieces);
    for (std::size_t c = 0; c < map.piece.size(); ++c) {
      REQUIRE(map.piece[c] < map.pieces);
      chunks_of[map.piece[c]].push_back(c);
    }
    const auto overlaps = [](std::size_t chunk, const PartialUse::Range& r) {
      return chunk * 10 < r.end && r.begin < chunk * 10 + 10;
    };
    std::size_t shared = 0;
    for (const auto& chunks : chunks_of) {
      CHECK_FALSE(chunks.empty());
      shared += chunks.size() - 1;
      for (const std::size_t a : chunks)
        for (const std::size_t b : chunks) {
          if (a >= b) continue;
          for (const PartialUse::Range& r : use.kept) CHECK_FALSE((overlaps(a, r) || overlaps(b, r)));
          for (std::size_t i = 0; i < 10; ++i)
            for (std::size_t j = 0; j < 10; ++j)
              if (overlaps(a, use.parts[i]) && overlaps(b, use.parts[j]))
                CHECK((j - i >= resident_parts && i - j >= resident_parts));
        }
    }
    CHECK((shared > 0) == (resident_parts < 10));
  }
}

TEST_CASE("a buffer that is kept as a whole has its memory to itself; bytes of nobody are refused") {
  const ChunkMap map = assign_pieces({.kept = {{0, 35}}, .parts = {}, .resident_parts = 3}, 35, 10);
  CHECK(map.piece == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(map.pieces == 4);
  CHECK_THROWS_AS(assign_pieces({.kept = {{0, 5}}, .parts = {}, .resident_parts = 3}, 35, 10), Error);
}
