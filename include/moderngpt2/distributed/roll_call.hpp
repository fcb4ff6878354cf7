#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "moderngpt2/distributed/collective.hpp"

namespace moderngpt2::distributed {

/// The collective that a rank is at, as it travels between ranks.
struct Standing {
  std::int64_t number = -1;  ///< position in the order of all; -1: unknown
  std::int64_t step = -1;
  char what[sizeof Collective::what] = {};

  static Standing at(std::int64_t number, const Collective& c) {
    Standing s{number, c.step, {}};
    std::copy_n(c.what, sizeof c.what, s.what);
    return s;
  }
};

/// Where the ranks stand when a collective has outlasted the watchdog's patience, and who is to blame.
class RollCall {
 public:
  RollCall(int size, int rank, const Standing& mine) : rank_(rank), standings_(std::size_t(size)) { of(rank) = mine; }

  Standing& of(int rank) { return standings_[std::size_t(rank)]; }
  const Standing& mine() { return of(rank_); }
  bool complete() const {
    return std::all_of(standings_.begin(), standings_.end(), [](const Standing& s) { return s.number >= 0; });
  }

  /// "rank 1 does not answer (stopped, or busy elsewhere)", "rank 3 is at the save in step 17, not there yet".
  std::string verdict() {
    std::string text;
    for (int r = 0; r < int(standings_.size()); ++r) {
      const Standing& s = of(r);
      if (s.number == mine().number) continue;
      text += text.empty() ? "" : ", ";
      if (s.number < 0)
        text += fmt::format("rank {} does not answer (it is stopped, or busy with something else)", r);
      else
        text += fmt::format("rank {} waits for {} in step {}, {} it", r, s.what, s.step,
                            s.number < mine().number ? "before" : "after");
    }
    return text.empty() ? "all ranks wait for it (is the network slow or broken?)" : text;
  }

 private:
  int rank_;
  std::vector<Standing> standings_;
};

}  // namespace moderngpt2::distributed
