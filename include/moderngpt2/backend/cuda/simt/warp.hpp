#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "moderngpt2/backend/cuda/simt/machine.hpp"

// Warp-level collectives of the simulated GPU: lanes synchronize by warp and mask.
namespace moderngpt2::simt {

inline constexpr std::uint32_t full_mask = 0xffffffffu;

/// Rendezvous of the running lane with the lanes in `mask`. Fails if the mask is invalid.
inline Rendezvous& meeting(std::uint32_t mask, const char* what, std::source_location where) {
  sanitizer::Quiet quiet;
  Machine& m = machine();
  const Thread& t = m.thread();
  const int lanes = std::min(32, int(m.block().x * m.block().y * m.block().z) - 32 * t.warp);
  if (!(mask >> t.lane & 1))
    m.fail(fmt::format("{} with mask {:08x}, which leaves the lane itself out", what, mask), where);
  if (lanes < 32 && mask >> lanes)
    m.fail(fmt::format("{} with mask {:08x} in a warp of {} threads", what, mask, lanes), where);
  return m.rendezvous(t.warp, mask);
}

struct Nothing {
  void operator()(std::uint64_t) const {}
};

/// Publishes `value` to the other lanes of the mask and waits for all of them; the last to arrive calls make(turn)
/// first. Returns the turn. Does not order memory accesses.
template <class T, class Make = Nothing>
std::uint64_t meet(Rendezvous& r, const char* what, const T& value, std::source_location where, Make make = {}) {
  static_assert(sizeof(T) <= Rendezvous::payload_bytes && std::is_trivially_copyable_v<T>);
  sanitizer::Quiet quiet;
  Machine& m = machine();
  Thread& t = m.thread();
  const std::uint64_t turn = r.turn;
  if (r.arrived == 0) r.what = what;
  if (std::strcmp(r.what, what) != 0)
    m.fail(fmt::format("{} where lanes of the same mask {:08x} wait in {}", what, r.mask, r.what), where);
  std::memcpy(r.turns[turn & 1].brought[t.lane], &value, sizeof value);
  r.arrived |= 1u << t.lane;
  if (r.arrived == r.mask) {
    make(turn);
    for (int i = 0; i < r.waiting; ++i) m.ready(*r.waits[std::size_t(i)]);
    r.waiting = 0, r.arrived = 0;
    ++r.turn;
    m.maybe_yield();
  } else {
    r.waits[std::size_t(r.waiting++)] = &t;
    m.wait(what, r.mask, where);
  }
  return turn;
}

/// __syncwarp: barrier of the lanes in `mask`, which orders their memory accesses.
inline void sync_warp(std::uint32_t mask, std::source_location where) {
  Rendezvous& r = meeting(mask, "__syncwarp", where);
  void* tag;
  {
    sanitizer::Quiet quiet;
    tag = machine().shared().warp_tag(machine().thread().warp, r.slot, r.turn);
  }
  sanitizer::release(tag);
  meet(r, "__syncwarp", char(0), where);
  sanitizer::acquire(tag);
}

/// Value of lane `source`. Does not order memory accesses, as on a GPU.
template <class T>
T shuffle(std::uint32_t mask, const T& value, int source, const char* what, std::source_location where) {
  Rendezvous& r = meeting(mask, what, where);
  const std::uint64_t turn = meet(r, what, value, where);
  sanitizer::Quiet quiet;
  if (!(mask >> source & 1))
    machine().fail(fmt::format("{} reads lane {}, which mask {:08x} leaves out", what, source, mask), where);
  return r.brought<T>(turn, source);
}

/// Bit i is the predicate of lane i.
inline std::uint32_t ballot(std::uint32_t mask, bool predicate, const char* what, std::source_location where) {
  Rendezvous& r = meeting(mask, what, where);
  const std::uint64_t turn = meet(r, what, predicate, where);
  sanitizer::Quiet quiet;
  std::uint32_t bits = 0;
  for (int lane = 0; lane < 32; ++lane)
    if (mask >> lane & 1) bits |= std::uint32_t(r.brought<bool>(turn, lane)) << lane;
  return bits;
}

}  // namespace moderngpt2::simt
