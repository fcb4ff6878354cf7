#pragma once

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"

namespace moderngpt2::distributed {

/// The communicator by which `ranks` exchange what lies in the memory of a backend B: their own where that is the
/// host's. cuda_ranks.hpp has one of GPUs.
template <class B>
class DeviceRanks {
 public:
  DeviceRanks(B&, CommunicatorBase&) {}
  /// Null: there is none but `ranks`.
  CommunicatorBase* get() { return nullptr; }
};

/// Those of `ranks` and `device_ranks` that reach the memory of a backend B. Throws an Error where neither does.
template <class B>
CommunicatorBase& ranks_for_memory_of(CommunicatorBase& ranks, CommunicatorBase* device_ranks) {
  if (OnHost<B> || ranks.size() == 1) return ranks;
  if (!device_ranks)
    throw Error(
        "{} processes exchange gradients on GPUs by NCCL, which this program was built without: build it where "
        "nccl.h is, train with one process, or with --device cpu",
        ranks.size());
  if (device_ranks->size() != ranks.size() || device_ranks->rank() != ranks.rank())
    throw Error("internal: rank {} of {} is rank {} of {} on the GPUs", ranks.rank(), ranks.size(),
                device_ranks->rank(), device_ranks->size());
  return *device_ranks;
}

}  // namespace moderngpt2::distributed
