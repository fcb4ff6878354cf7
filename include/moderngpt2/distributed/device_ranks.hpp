#pragma once

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// Second communicator of the same ranks, for buffers in the device memory of backend B. Backends in host memory have
/// none; cuda_ranks.hpp specializes it for GPUs. Threads: one at a time.
template <class B>
class DeviceRanks {
 public:
  DeviceRanks(B&, CommunicatorBase&) {}
  /// The communicator; null for backends in host memory.
  CommunicatorBase* get() { return nullptr; }
};

/// Communicator for buffers in the memory of backend B: `ranks` for host memory or one rank, else `device_ranks`.
/// Throws an Error if that is null.
template <class B>
CommunicatorBase& ranks_for_memory_of(CommunicatorBase& ranks, CommunicatorBase* device_ranks) {
  if (OnHost<B> || ranks.size() == 1) return ranks;
  if (!device_ranks)
    throw Error(
        "{} processes exchange gradients on GPUs by NCCL, but this program was built without NCCL: build it where "
        "nccl.h is installed, train with one process, or use {} cpu",
        ranks.size(), Setting{"device"});
  if (device_ranks->size() != ranks.size() || device_ranks->rank() != ranks.rank())
    throw Error("internal: rank {} of {} is rank {} of {} on the GPUs", ranks.rank(), ranks.size(),
                device_ranks->rank(), device_ranks->size());
  return *device_ranks;
}

}  // namespace moderngpt2::distributed
