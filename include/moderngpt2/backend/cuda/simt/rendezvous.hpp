#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>

namespace moderngpt2::simt {

struct Thread;

/// State of collectives with one mask. Values are kept for two turns, since a lane may begin the next collective before
/// another has read the results of the last.
struct Rendezvous {
  static constexpr int payload_bytes = 48, result_bytes = 16;
  struct Turn {
    alignas(16) std::byte brought[32][payload_bytes];
    alignas(16) std::byte made[32][result_bytes];
  };

  std::uint32_t mask = 0;
  int slot = 0;  ///< index among the rendezvous of its warp
  std::uint32_t arrived = 0;
  std::uint64_t turn = 0;
  const char* what = nullptr;
  int waiting = 0;
  std::array<Thread*, 32> waits{};
  Turn turns[2];

  template <class T>
  T brought(std::uint64_t at, int lane) const {
    T value;
    std::memcpy(&value, turns[at & 1].brought[lane], sizeof value);
    return value;
  }
};

/// Rendezvous of one warp, by mask.
class WarpRendezvous {
 public:
  Rendezvous& of(std::uint32_t mask) {
    for (Rendezvous& r : all_)
      if (r.mask == mask) return r;
    Rendezvous& r = all_.emplace_back();
    r.mask = mask;
    r.slot = int(all_.size()) - 1;
    return r;
  }
  void begin_block() {
    for (Rendezvous& r : all_) r.arrived = 0, r.turn = 0, r.waiting = 0;
  }

 private:
  std::deque<Rendezvous> all_;
};

}  // namespace moderngpt2::simt
