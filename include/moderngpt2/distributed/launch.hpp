#pragma once

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>

#include "moderngpt2/core/error.hpp"

namespace moderngpt2::distributed {

/// A whole number from the environment; nothing where it is not set or no number.
inline std::optional<int> environment_number(const char* name) {
  const char* text = std::getenv(name);
  int value = 0;
  if (!text) return std::nullopt;
  const char* end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, value);
  return error == std::errc() && stop == end ? std::optional(value) : std::nullopt;
}

/// What a launcher says of the processes it started.
struct LaunchedProcesses {
  const char* variable;  ///< that says so
  int count;
};

/// The launcher that started this process as one of several, if there is one: mpirun of Open MPI, of MPICH, Intel MPI
/// or hpcx, srun, torchrun, accelerate. SLURM_NTASKS is not asked: it stands in job scripts too, whose commands run
/// once.
inline std::optional<LaunchedProcesses> launched_processes() {
  for (const char* variable : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "WORLD_SIZE"})
    if (const std::optional<int> count = environment_number(variable); count && *count > 1)
      return LaunchedProcesses{variable, *count};
  return std::nullopt;
}

/// For programs that run as one process: throws a UsageError where a launcher started several, each of which would do
/// the whole work and write the same files. `why` says what this one lacks, such as "was built without MPI".
inline void require_single_process(const std::string& why) {
  if (const auto launched = launched_processes())
    throw UsageError(
        "this is one of {} processes ({} says so), but this program {}: start it once, without mpirun, srun or "
        "torchrun",
        launched->count, launched->variable, why);
}

}  // namespace moderngpt2::distributed
