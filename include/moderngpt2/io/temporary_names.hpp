#pragma once

#include <atomic>
#include <cstring>
#include <string>
#include <unistd.h>

namespace moderngpt2::detail {

/// Row of TemporaryNames.
struct TemporaryName {
  std::atomic<int> state{0};
  pid_t owner = 0;  // not a child that inherits the table
  char path[1024] = {};
};

/// Names of the temporary files that this process is writing, for a signal handler that removes them before it ends
/// the program. A fixed table: handlers must not allocate or wait. Files beyond its size, or with longer names, stay
/// behind after a signal. Only run_main() installs such a handler.
class TemporaryNames {
 public:
  /// Adds a file. Returns its place, or -1 if there is no room.
  static int add(const std::string& path) {
    if (path.size() >= sizeof(TemporaryName::path)) return -1;
    for (int i = 0; i < rows; ++i) {
      TemporaryName& row = table_[i];
      int state = unused;
      if (!row.state.compare_exchange_strong(state, in_change)) continue;
      std::memcpy(row.path, path.c_str(), path.size() + 1);
      row.owner = ::getpid();
      row.state = used;
      return i;
    }
    return -1;
  }

  /// Forgets the file at a place that add() returned.
  static void remove(int place) {
    int state = used;
    if (place >= 0) table_[place].state.compare_exchange_strong(state, unused);  // a handler keeps its row
  }

  /// Deletes all files of this process in the table. Async-signal-safe. Call it only before the process ends.
  static void delete_all() {
    for (int i = 0; i < rows; ++i) {
      TemporaryName& row = table_[i];
      int state = used;
      if (row.state.compare_exchange_strong(state, in_change) && row.owner == ::getpid()) ::unlink(row.path);
    }
  }

 private:
  static constexpr int rows = 64;
  static constexpr int unused = 0, in_change = 1, used = 2;  // states
  static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not wait for a lock");

  static inline TemporaryName table_[rows];
};

}  // namespace moderngpt2::detail
