#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

#include "moderngpt2/backend/cuda/simt/machine.hpp"

// cp.async of the simulated GPU. A copy may complete at any moment between issue and wait, so ThreadSanitizer treats it
// of the write and the read at the issue. With a random schedule copies complete at the issue or at the wait; until
// then the destination is NaN.
namespace moderngpt2::simt {

namespace detail {

inline void land(const PendingCopy& copy) {
  std::byte bytes[16] = {};
  std::memcpy(bytes, copy.from, std::size_t(copy.bytes));
  std::memcpy(copy.to, bytes, sizeof bytes);
}

/// Removes the oldest copy whose group has to be complete when at most `left` groups may be pending. False if none.
inline bool take_copy(int left, PendingCopy& copy) {
  sanitizer::Quiet quiet;
  Thread& t = machine().thread();
  for (auto it = t.copies.begin(); it != t.copies.end(); ++it)
    if (it->group < t.copy_groups - left) {
      copy = *it;
      t.copies.erase(it);
      return true;
    }
  return false;
}

}  // namespace detail

/// cp.async of 16 bytes to shared memory, the first `bytes` of them from global memory, the rest zero.
inline void async_copy(void* to, const void* from, int bytes, std::source_location where) {
  bool late;
  {
    sanitizer::Quiet quiet;
    late = !machine().random() || machine().choose(2) == 0;
    if (reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
      machine().fail("cp.async of 16 bytes from or to an address that is no multiple of 16", where);
    if (bytes < 0 || bytes > 16) machine().fail(fmt::format("cp.async of {} bytes", bytes), where);
  }
  const PendingCopy copy{to, from, bytes, machine().thread().copy_groups};
  // Explicitly, since compilers may inline memset and memcpy in ways that ThreadSanitizer does not see.
  sanitizer::write_range(to, 16);
  sanitizer::read_range(from, std::size_t(bytes));
  if (late) {
    std::byte probe[16];  // lets AddressSanitizer and ThreadSanitizer check the source at the issue
    std::memcpy(probe, from, std::size_t(bytes));
    std::memset(to, 0xff, 16);
    sanitizer::Quiet quiet;
    machine().thread().copies.push_back(copy);
  } else {
    detail::land(copy);
  }
}

/// cp.async.commit_group.
inline void commit_copies() {
  sanitizer::Quiet quiet;
  ++machine().thread().copy_groups;
}

/// cp.async.wait_group: returns when at most `groups_left` groups of this thread are pending.
inline void wait_copies(int groups_left) {
  PendingCopy copy;
  while (detail::take_copy(groups_left, copy)) detail::land(copy);
}

}  // namespace moderngpt2::simt
