#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace moderngpt2::detail {

/// Damerau-Levenshtein distance (optimal string alignment): insertions, deletions, replacements and swaps of
/// neighbours.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

/// Maximum length of a name for which a similar one is searched: the time grows with its length.
inline constexpr std::size_t longest_typed_name = 100;

/// Returns the most similar of `names` to `typed`, or "" if none is close. Dashes match underscores.
inline std::string nearest_name(const std::string& typed, const std::vector<std::string>& names) {
  if (typed.size() > longest_typed_name) return "";
  std::string plain = typed;
  std::replace(plain.begin(), plain.end(), '-', '_');
  std::string nearest;
  std::size_t smallest = std::max<std::size_t>(2, plain.size() / 3) + 1;
  for (const std::string& name : names) {
    std::size_t distance = edit_distance(plain, name);
    // A part of a long name is a more likely typo than its distance suggests: "epochs" for "num_train_epochs".
    const bool part = plain.size() >= 3 && name.find(plain) != std::string::npos;
    if (part) distance = std::min<std::size_t>(distance, 2);
    if (distance < smallest) {
      smallest = distance;
      nearest = name;
    }
  }
  return nearest;
}

}  // namespace moderngpt2::detail
