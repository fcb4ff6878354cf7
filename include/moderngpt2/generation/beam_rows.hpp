#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "moderngpt2/generation/cached_model.hpp"

namespace moderngpt2::detail {

/// Which row of the cache holds which beam. A beam that goes on stays in its row; where a beam forks, each further
/// child takes the row of a beam that died, of which only the tokens after the last common one are copied. Beams
/// descend from near ancestors, so that is a few columns a step and never a whole cache.
template <class M>
class BeamRows {
 public:
  BeamRows(CachedModel<M>& rows, std::size_t prompt_tokens) : rows_(rows), text_(std::size_t(rows.rows())) {
    text_[0].resize(prompt_tokens);
  }

  /// The row for each of the next beams, given the rows of their parents (one may be named several times).
  std::vector<int> assign(std::span<const int> parents) {
    std::vector<char> taken(text_.size());
    std::vector<int> row(parents.size(), -1);
    for (std::size_t i = 0; i < parents.size(); ++i) {
      if (taken[std::size_t(parents[i])]) continue;
      taken[std::size_t(parents[i])] = 1;
      row[i] = parents[i];
    }
    for (std::size_t i = 0, free = 0; i < parents.size(); ++i) {
      if (row[i] >= 0) continue;
      while (taken[free]) ++free;
      taken[free] = 1;
      row[i] = int(free);
      fork(parents[i], row[i]);
    }
    return row;
  }

  /// Notes the token that a pass computes in a row, after those of before.
  void append(int row, int token) { text_[std::size_t(row)].push_back(token); }

  /// Columns copied so far.
  long copied() const { return copied_; }

 private:
  void fork(int from, int to) {
    const std::vector<int>& source = text_[std::size_t(from)];
    std::vector<int>& target = text_[std::size_t(to)];
    const auto [differs, ignored] = std::mismatch(source.begin(), source.end(), target.begin(), target.end());
    const int common = int(differs - source.begin());
    rows_.copy(from, to, common, int(source.size()), false);
    copied_ += long(source.size()) - common;
    target = source;
  }

  CachedModel<M>& rows_;
  std::vector<std::vector<int>> text_;  // by row: the tokens whose keys and values it holds, zeros for the prompt's
  long copied_ = 0;
};

}  // namespace moderngpt2::detail
