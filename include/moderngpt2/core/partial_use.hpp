#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Access pattern of a buffer that does not need to be resident as a whole. Offsets are in bytes from its start.
struct PartialUse {
  struct Range {
    std::size_t begin = 0, end = 0;

    bool operator==(const Range&) const = default;
  };
  std::vector<Range> kept;         ///< ranges that keep their content; may overlap parts
  std::vector<Range> parts;        ///< ranges that are resident one after another, ascending
  std::size_t resident_parts = 0;  ///< maximum number of consecutive parts in use at the same time
};

/// Allocation granularity of GPU memory that is mapped to addresses, in bytes.
inline constexpr std::size_t gpu_chunk_bytes = std::size_t(2) << 20;

/// Mapping from a buffer's chunks to pieces of physical memory; each piece is one chunk.
struct ChunkMap {
  std::vector<std::size_t> piece;  ///< piece of memory behind each chunk of the buffer
  std::size_t pieces = 0;          ///< number of pieces
};

/// Assigns physical memory to the chunks of a partially used buffer. Chunks with kept bytes receive pieces of their
/// own. The others share a ring of pieces, as long as the longest run of parts that are in use at the same time.
inline ChunkMap assign_pieces(const PartialUse& use, std::size_t bytes, std::size_t chunk) {
  ChunkMap map;
  map.piece.resize((bytes + chunk - 1) / chunk);
  std::vector<bool> is_kept(map.piece.size());
  for (const PartialUse::Range& r : use.kept)
    for (std::size_t c = r.begin / chunk; c * chunk < r.end; ++c) is_kept[c] = true;
  std::vector<std::size_t> before(map.piece.size() + 1);  // prefix counts of chunks that are not kept
  for (std::size_t c = 0; c < map.piece.size(); ++c) before[c + 1] = before[c] + (is_kept[c] ? 0 : 1);
  std::size_t ring = 0;
  for (std::size_t i = 0; i < use.parts.size(); ++i) {
    const PartialUse::Range& last = use.parts[std::min(i + use.resident_parts, use.parts.size()) - 1];
    ring = std::max(ring, before[(last.end + chunk - 1) / chunk] - before[use.parts[i].begin / chunk]);
  }
  for (std::size_t c = 0; c < map.piece.size(); ++c)
    if (is_kept[c]) map.piece[c] = map.pieces++;
  for (std::size_t c = 0; c < map.piece.size(); ++c) {
    if (is_kept[c]) continue;
    if (ring == 0) throw Error("internal error: bytes from {} on belong to no part and are not kept", c * chunk);
    map.piece[c] = map.pieces + before[c] % ring;
  }
  map.pieces += ring;
  return map;
}

}  // namespace moderngpt2
