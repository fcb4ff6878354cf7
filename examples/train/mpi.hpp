#pragma once

#include "moderngpt2/cli/processes.hpp"

namespace moderngpt2 {

/// Runs a program as one of the processes that a launcher of MPI started. Returns its status.
int run_with_mpi(int argc, char** argv, ProgramOfProcesses program);

}  // namespace moderngpt2
