#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace moderngpt2::detail {

/// Result of learning pieces.
struct LearnedPieces {
  std::vector<std::string> pieces;  ///< in order
  /// Number of the first piece that was chosen among pairs of which SentencePiece would consider only a part, the part
  /// depending on its hash table; -1: none.
  std::int64_t first_tie = -1;
};

/// Number of pairs with each frequency, to find the frequency of a rank. Frequencies from `most` on count together.
class FrequencyCounts {
 public:
  static constexpr std::uint64_t most = 65535;
  struct Rank {
    std::uint64_t frequency;  ///< frequency of the pair with this rank
    bool is_cut;              ///< pairs with this frequency are left out
  };

  void add(std::uint64_t frequency) { ++pairs_[std::min(frequency, most)]; }
  void remove(std::uint64_t frequency) { --pairs_[std::min(frequency, most)]; }

  /// Frequency of the last of the `size` pairs with the highest frequencies; 0 if there are fewer.
  Rank highest(std::uint64_t size) const {
    std::uint64_t above = 0, frequency = most;
    while (frequency > 0 && above + pairs_[frequency] < size) above += pairs_[frequency--];
    return {frequency, above + pairs_[frequency] > size};
  }

 private:
  std::vector<std::uint64_t> pairs_ = std::vector<std::uint64_t>(most + 1);
};

}  // namespace moderngpt2::detail
