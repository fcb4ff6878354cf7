#pragma once

#include <cstdint>
#include <cstring>
#include <source_location>

#include "moderngpt2/backend/cuda/simt/machine.hpp"

// cp.async: 16 bytes on their way to shared memory. They may land at any moment between issue and wait, so for
// ThreadSanitizer the destination is written and the source read at once; with a random schedule they land at once or
// at the wait, and until then the destination is NaN.
namespace moderngpt2::simt {

namespace detail {

inline void land(const PendingCopy& copy) {
  std::byte bytes[16] = {};
  std::memcpy(bytes, copy.from, std::size_t(copy.bytes));
  std::memcpy(copy.to, bytes, sizeof bytes);
}

/// The oldest copy of which at most `left` later groups were committed.
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
  // By name, since compilers may make code of memset and memcpy that ThreadSanitizer does not see.
  sanitizer::write_range(to, 16);
  sanitizer::read_range(from, std::size_t(bytes));
  if (late) {
    std::byte probe[16];  // an access that AddressSanitizer and ThreadSanitizer check here, at the issue
    std::memcpy(probe, from, std::size_t(bytes));
    std::memset(to, 0xff, 16);
    sanitizer::Quiet quiet;
    machine().thread().copies.push_back(copy);
  } else {
    detail::land(copy);
  }
}

inline void commit_copies() {
  sanitizer::Quiet quiet;
  ++machine().thread().copy_groups;
}

inline void wait_copies(int groups_left) {
  PendingCopy copy;
  while (detail::take_copy(groups_left, copy)) detail::land(copy);
}

}  // namespace moderngpt2::simt
