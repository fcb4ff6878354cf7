#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2 {

/// Processes of a program, including this one. Known before the command line is parsed; its settings determine the
/// connection.
class Processes {
 public:
  Processes() = default;
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  virtual ~Processes() = default;

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// Connects all processes with a collective timeout. Returns their communicator, or nullptr for a single process.
  virtual distributed::CommunicatorBase* connect(double /*timeout_seconds*/) { return nullptr; }
  virtual bool is_connected() const { return false; }
};

using ProgramOfProcesses = int (*)(int argc, char** argv, Processes& processes);

/// Default number of threads of a process: OpenMP's default, divided by the processes of the machine unless the
/// environment sets it.
inline int threads_of_process(int local_size, int local_processors) {
  const int available = available_threads();
  if (std::getenv("OMP_NUM_THREADS")) return available;
  return std::clamp(local_processors / std::max(local_size, 1), 1, available);
}

/// Exit status of a program with several processes. Only rank 0 prints errors of the command line.
inline int status_of_program(int argc, char** argv, Processes& processes, ProgramOfProcesses program) {
  if (processes.rank() == 0)
    return detail::status_of(detail::program_name(argc, argv), [&] { return program(argc, argv, processes); });
  const auto status = [&](int number, const std::exception& error) {  // all ranks have the same command line
    if (processes.is_connected()) std::fprintf(stderr, "rank %d: error: %s\n", processes.rank(), error.what());
    return number;
  };
  try {
    return program(argc, argv, processes);
  } catch (const ExitRequest& request) {
    return request.status;
  } catch (const UsageError& error) {
    return status(2, error);
  } catch (const std::exception& error) {
    return status(1, error);
  }
}

}  // namespace moderngpt2
