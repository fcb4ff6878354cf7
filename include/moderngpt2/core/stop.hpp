#pragma once

#include <csignal>
#include <iterator>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"

// Reasons for which a run ends before its last step, and the exit statuses that report them.
namespace moderngpt2 {

/// Signal that asks a program to stop. `insists`: sent by a person or by a scheduler's last attempt before SIGKILL, so
/// that a repetition ends the program at once. The other signals announce a limit; schedulers and job scripts may send
/// them several times.
struct StopSignal {
  int number;
  const char* name;
  bool insists;
};

/// All stop signals, in the order of their exit statuses. SIGHUP: a closed terminal. SIGUSR1, SIGUSR2: warnings of
/// Slurm, PBS and Grid Engine. SIGXCPU: the soft limit of CPU time.
inline constexpr StopSignal stop_signals[] = {{SIGHUP, "SIGHUP", false},   {SIGINT, "SIGINT", true},
                                              {SIGUSR1, "SIGUSR1", false}, {SIGUSR2, "SIGUSR2", false},
                                              {SIGTERM, "SIGTERM", true},  {SIGXCPU, "SIGXCPU", false}};

/// Row of stop_signals for a signal number; nullptr for other signals. Async-signal-safe.
inline const StopSignal* find_stop_signal(int number) {
  for (const StopSignal& signal : stop_signals)
    if (signal.number == number) return &signal;
  return nullptr;
}

/// Reason to stop for the time limit TrainingSettings::max_hours. For a signal, the reason is its number.
inline constexpr int time_limit_reached = 1 << 16;
/// Exit status of a run that the time limit stopped: EX_TEMPFAIL of sysexits.h, "try again later".
inline constexpr int unfinished_status = 75;

/// Exit status for a reason to stop: 0 if there is none, 128 plus the number of a signal, or unfinished_status.
inline int stop_status(int reason) {
  return reason == 0 ? 0 : reason == time_limit_reached ? unfinished_status : 128 + reason;
}

/// Name of a reason to stop for messages: "SIGTERM", or the setting max_hours.
inline std::string stop_name(int reason) {
  if (reason == time_limit_reached) return fmt::format("{}", Setting{"max_hours"});
  const StopSignal* const signal = find_stop_signal(reason);
  return signal ? signal->name : fmt::format("signal {}", reason);
}

/// Exit statuses of stop_signals, for --help: "129, 130, 138, ...".
inline std::string signal_statuses() {
  std::string text;
  for (const StopSignal& signal : stop_signals)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", 128 + signal.number);
  return text;
}

/// Names of stop_signals, for --help: "SIGHUP, SIGINT (Ctrl-C), ... or SIGXCPU".
inline std::string signal_names() {
  std::string text;
  for (const StopSignal& signal : stop_signals)
    text += fmt::format("{}{}{}",
                        text.empty()                            ? ""
                        : &signal == std::end(stop_signals) - 1 ? " or "
                                                                : ", ",
                        signal.name, signal.number == SIGINT ? " (Ctrl-C)" : "");
  return text;
}

}  // namespace moderngpt2
