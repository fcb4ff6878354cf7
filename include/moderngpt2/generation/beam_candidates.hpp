#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "moderngpt2/core/random.hpp"
#include "moderngpt2/generation/logits_processors.hpp"

namespace moderngpt2::detail {

/// Continuation of a running beam by one token.
struct BeamCandidate {
  double score;  // log-probability of the whole completion
  int beam;
  int token;
  double rank = 0;  // selects the best candidates; sampling: score with random noise

  /// Orders by score, best first, then by beam and token id.
  friend bool operator<(const BeamCandidate& a, const BeamCandidate& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.beam != b.beam ? a.beam < b.beam : a.token < b.token;
  }
};

/// Selects the `count` best continuations over all beams or, with sample_with(), draws them without replacement from
/// the softmax of their scores: the best ones after Gumbel noise (Kool et al. 2019).
class BestCandidates {
 public:
  explicit BestCandidates(std::size_t count) : count_(count) { heap_.reserve(count); }

  /// Samples the next candidates, with the random numbers of a key.
  void sample_with(std::uint64_t key) { key_ = key; }

  template <class T>
  void offer(int beam, double score, std::span<const T> log_probabilities) {
    for (std::size_t token = 0; token < log_probabilities.size(); ++token) {
      if (log_probabilities[token] == removed_logit<T>) continue;
      BeamCandidate candidate{score + double(log_probabilities[token]), beam, int(token)};
      candidate.rank = candidate.score;
      if (key_) candidate.rank += gumbel_at(std::uint64_t(beam) * log_probabilities.size() + token);
      if (heap_.size() == count_) {
        if (!ranks_before(candidate, heap_.front())) continue;
        std::pop_heap(heap_.begin(), heap_.end(), ranks_before);
        heap_.pop_back();
      }
      heap_.push_back(candidate);
      std::push_heap(heap_.begin(), heap_.end(), ranks_before);
    }
  }

  /// Returns the candidates, best score first, and clears them for the next step.
  std::vector<BeamCandidate> take() {
    std::vector<BeamCandidate> best = heap_;
    std::sort(best.begin(), best.end());
    heap_.clear();
    return best;
  }

 private:
  static bool ranks_before(const BeamCandidate& a, const BeamCandidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a < b;
  }
  double gumbel_at(std::uint64_t index) const { return -std::log(-std::log(uniform_at(*key_, index) + 0x1p-54)); }

  std::size_t count_;
  std::vector<BeamCandidate> heap_;  // worst first
  std::optional<std::uint64_t> key_;
};

}  // namespace moderngpt2::detail
