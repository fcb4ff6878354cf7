#pragma once

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <signal.h>
#include <unistd.h>

#include "moderngpt2/core/stop.hpp"
#include "moderngpt2/io/temporary_names.hpp"

// Signals of all programs. Nothing here acts by itself: a program that uses the library keeps its own handlers.
namespace moderngpt2 {

namespace detail {

inline std::atomic<int> interrupt_signal{0};        // first stop signal
inline std::atomic<bool> interrupt_insists{false};  // a signal that ends the program when repeated has arrived
inline std::atomic<bool> interrupts_are_caught{false};
inline std::atomic<const char*> interrupt_notice{nullptr};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not wait for a lock");

/// Writes a notice with the signal's name in place of "{}", in one call.
inline void write_notice(const char* notice, const char* name) {
  char line[256];
  std::size_t size = 0;
  const auto add = [&](const char* text, std::size_t length) {
    for (std::size_t i = 0; i < length && size < sizeof line; ++i) line[size++] = text[i];
  };
  const char* const gap = std::strstr(notice, "{}");
  if (gap) {
    add(notice, std::size_t(gap - notice));
    add(name, std::strlen(name));
    notice = gap + 2;
  }
  add(notice, std::strlen(notice));
  (void)!write(STDERR_FILENO, line, size);
}

extern "C" inline void moderngpt2_on_interrupt(int number) {
  const int error = errno;
  const StopSignal* const signal = find_stop_signal(number);
  if (!interrupts_are_caught.load()) {
    TemporaryNames::delete_all();
    ::signal(number, SIG_DFL);
    ::raise(number);  // delivered on return: the parent process sees the signal
  } else if (signal && signal->insists && interrupt_insists.exchange(true)) {
    TemporaryNames::delete_all();
    _exit(128 + number);
  } else {
    int none = 0;
    const bool is_first = interrupt_signal.compare_exchange_strong(none, number);
    const char* const notice = interrupt_notice.load();
    if (is_first && notice) write_notice(notice, signal ? signal->name : "a signal");
  }
  errno = error;
}

/// Installs the handler for all stop signals. A signal that the parent ignores, such as SIGHUP under nohup, stays
/// ignored, except SIGINT: shells ignore it for `command &`, but kill -INT must still stop the program. Stop signals
/// that the parent blocks are unblocked.
inline void handle_stop_signals() {
  struct sigaction action {};
  action.sa_handler = moderngpt2_on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const StopSignal& signal : stop_signals) sigaddset(&action.sa_mask, signal.number);
  for (const StopSignal& signal : stop_signals) {
    struct sigaction inherited {};
    sigaction(signal.number, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN || signal.number == SIGINT) sigaction(signal.number, &action, nullptr);
  }
  pthread_sigmask(SIG_UNBLOCK, &action.sa_mask, nullptr);
}

}  // namespace detail

/// Sets the signal dispositions of a program; run_main() calls it. A stop signal (core/stop.hpp) ends the program,
/// after its temporary files are deleted, until the program calls catch_interrupts(). SIGPIPE and SIGXFSZ are ignored:
/// a closed pipe and a file over the user's limit are errors of the write.
inline void install_signal_handlers() {
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);
  detail::handle_stop_signals();
}

/// Makes the first stop signal set interrupted() and write `notice`, with the signal's name in place of "{}", to
/// standard error, instead of ending the program. `notice` must outlive the program. A second SIGINT or SIGTERM ends
/// the process (status 128 + signal number); the other signals may repeat without effect.
inline void catch_interrupts(const char* notice = nullptr) {
  detail::interrupt_notice.store(notice);
  detail::interrupts_are_caught.store(true);
  detail::handle_stop_signals();
}

/// Resets interrupted(), so that the next signal counts as the first.
inline void reset_interrupt() {
  detail::interrupt_signal.store(0);
  detail::interrupt_insists.store(false);
}

/// Number of the signal that requested a stop; 0 if none.
inline int interrupted() { return detail::interrupt_signal.load(); }

}  // namespace moderngpt2
