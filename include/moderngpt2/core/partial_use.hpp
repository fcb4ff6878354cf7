#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// How a buffer is used that does not have to be in memory as a whole, in bytes from its start.
struct PartialUse {
  struct Range {
    std::size_t begin = 0, end = 0;

    bool operator==(const Range&) const = default;
  };
  std::vector<Range> kept;   ///< whose content stays; may overlap parts
  std::vector<Range> parts;  ///< used by turns, ascending
  std::size_t together = 0;  ///< so many neighbours among the parts may be in use at once, never two further apart
};

/// Bytes of the chunks in which GPUs give memory to addresses.
inline constexpr std::size_t gpu_chunk_bytes = std::size_t(2) << 20;

/// Memory for a buffer that is used so, in chunks of the same size.
struct ChunkMap {
  std::vector<std::size_t> piece;  ///< of memory, for each chunk of the buffer in order
  std::size_t pieces = 0;          ///< of one chunk each
};

/// Chunks that have kept bytes get memory of their own. The others go round a ring of pieces, the longest that any
/// neighbours in use at once need, so that no two of these share one.
inline ChunkMap assign_pieces(const PartialUse& use, std::size_t bytes, std::size_t chunk) {
  ChunkMap map;
  map.piece.resize((bytes + chunk - 1) / chunk);
  std::vector<bool> is_kept(map.piece.size());
  for (const PartialUse::Range& r : use.kept)
    for (std::size_t c = r.begin / chunk; c * chunk < r.end; ++c) is_kept[c] = true;
  std::vector<std::size_t> before(map.piece.size() + 1);  // chunks that are not kept
  for (std::size_t c = 0; c < map.piece.size(); ++c) before[c + 1] = before[c] + (is_kept[c] ? 0 : 1);
  std::size_t ring = 0;
  for (std::size_t i = 0; i < use.parts.size(); ++i) {
    const PartialUse::Range& last = use.parts[std::min(i + use.together, use.parts.size()) - 1];
    ring = std::max(ring, before[(last.end + chunk - 1) / chunk] - before[use.parts[i].begin / chunk]);
  }
  for (std::size_t c = 0; c < map.piece.size(); ++c)
    if (is_kept[c]) map.piece[c] = map.pieces++;
  for (std::size_t c = 0; c < map.piece.size(); ++c) {
    if (is_kept[c]) continue;
    if (ring == 0) throw Error("internal: bytes from {} on are of no part and not kept", c * chunk);
    map.piece[c] = map.pieces + before[c] % ring;
  }
  map.pieces += ring;
  return map;
}

}  // namespace moderngpt2
