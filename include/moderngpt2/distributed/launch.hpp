#pragma once

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::distributed {

/// Integer value of an environment variable; std::nullopt if it is not set or not an integer.
inline std::optional<int> environment_number(const char* name) {
  const char* text = std::getenv(name);
  int value = 0;
  if (!text) return std::nullopt;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

/// Number of processes that a launcher started, and the environment variable that states it.
struct LaunchedProcesses {
  const char* variable;
  int count;
};

/// Detects a launcher that started this process as one of several: mpirun (Open MPI, MPICH, Intel MPI, HPC-X), srun,
/// torchrun or accelerate. Ignores SLURM_NTASKS, which is also set in job scripts, whose commands run once.
inline std::optional<LaunchedProcesses> launched_processes() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE"})
    if (const std::optional<int> count = environment_number(variable); count && *count > 1)
      return LaunchedProcesses{variable, *count};
  return std::nullopt;
}

/// Throws a UsageError if a launcher started this program as one of several processes, which would all do the same work
/// and write the same files. `why` completes "this program ...", such as "was built without MPI".
inline void require_single_process(const std::string& why) {
  if (const auto launched = launched_processes())
    throw UsageError(
        "a launcher has started {} processes ({}={}), but this program {}: start it once, without mpirun, srun or "
        "torchrun",
        launched->count, launched->variable, launched->count, why);
}

}  // namespace moderngpt2::distributed
