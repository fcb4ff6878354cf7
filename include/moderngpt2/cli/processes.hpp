#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>

#include "moderngpt2/cli/main.hpp"
#include "moderngpt2/core/parallel.hpp"
#include "moderngpt2/core/printable.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2 {

/// Processes of a run, including this one. rank() and size() are known before the command line is parsed; connect()
/// uses its settings. This base class is a single process.
class Processes {
 public:
  Processes() = default;
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;
  virtual ~Processes() = default;

  virtual int rank() const { return 0; }
  virtual int size() const { return 1; }
  /// Connects all processes. `timeout_seconds`: limit of a collective operation. Returns their communicator, or nullptr
  /// for a single process.
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

/// Runs a program that may have several processes and returns its exit status. Rank 0 prints errors and --help; the
/// other ranks print errors only once they are connected.
inline int status_of_program(int argc, char** argv, Processes& processes, ProgramOfProcesses program) {
  if (processes.rank() == 0)
    return detail::status_of(detail::program_name(argc, argv), [&] { return program(argc, argv, processes); });
  const auto status = [&](int number, const std::exception& error) {  // all ranks have the same command line
    if (processes.is_connected())
      std::fprintf(stderr, "rank %d: error: %s\n", processes.rank(), printable(error.what()).c_str());
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
