// The part of `train` that sees MPI: several processes, started by mpirun or srun.

#include "moderngpt2/cli/mpi_processes.hpp"
#include "mpi.hpp"

int moderngpt2::run_with_mpi(int argc, char** argv, ProgramOfProcesses program) {
  MpiProcesses processes;
  return status_of_program(argc, argv, processes, program);
}
