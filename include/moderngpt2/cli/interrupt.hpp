#pragma once

#include <atomic>
#include <cerrno>
#include <cstring>
#include <signal.h>
#include <unistd.h>

namespace moderngpt2 {

namespace detail {

inline std::atomic<int> interrupt_signal{0};
inline std::atomic<const char*> interrupt_notice{nullptr};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not wait for a lock");

extern "C" inline void moderngpt2_on_interrupt(int signal) {
  if (interrupt_signal.exchange(signal) != 0) _exit(128 + signal);
  const int error = errno;
  if (const char* notice = interrupt_notice.load()) (void)!write(STDERR_FILENO, notice, std::strlen(notice));
  errno = error;
}

}  // namespace detail

/// Installs handlers for SIGINT and SIGTERM. The first signal sets interrupted() and writes `notice`, which must
/// outlive the program, to standard error; the second ends the process (status 128 + signal number: 130 or 143).
inline void catch_interrupts(const char* notice = nullptr) {
  detail::interrupt_notice.store(notice);
  struct sigaction action {};
  action.sa_handler = detail::moderngpt2_on_interrupt;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

/// Number of the signal that requested a stop; 0 if none.
inline int interrupted() { return detail::interrupt_signal.load(); }

/// Resets interrupted(), so that the next signal counts as the first.
inline void reset_interrupt() { detail::interrupt_signal.store(0); }

}  // namespace moderngpt2
