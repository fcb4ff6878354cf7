#pragma once

#include <optional>

#include "moderngpt2/cli/processes.hpp"
#include "moderngpt2/distributed/mpi.hpp"

namespace moderngpt2 {

/// Processes of an MPI job, started by mpirun or srun. The constructor initializes MPI.
class MpiProcesses final : public Processes {
 public:
  MpiProcesses() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  distributed::CommunicatorBase* connect(double timeout_seconds) override {
    return size_ == 1 ? nullptr : &communicator_.emplace(session_, timeout_seconds);
  }
  bool is_connected() const override { return communicator_.has_value(); }

 private:
  distributed::MpiSession session_;
  std::optional<distributed::MpiCommunicator> communicator_;
  int rank_ = 0, size_ = 1;
};

}  // namespace moderngpt2
