#pragma once

#include <optional>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/device_ranks.hpp"
#include "moderngpt2/distributed/nccl.hpp"

namespace moderngpt2::distributed {

/// NCCL communicator of GPU ranks; its collectives are ordered with the work on the backend's stream. With one rank,
/// NCCL is not loaded.
template <>
class DeviceRanks<cuda::Backend> {
 public:
  /// Must be called on all `ranks` together. Throws an Error on all ranks if NCCL is missing on one.
  DeviceRanks(cuda::Backend& backend, CommunicatorBase& ranks) {
    if (ranks.size() == 1) return;
    run_or_fail_together(ranks, "loading NCCL", [&] { nccl_.emplace(); });
    communicator_.emplace(*nccl_, place_of(ranks), shared_nccl_id(*nccl_, ranks), backend.stream().get(),
                          ranks.timeout_seconds());
  }
  CommunicatorBase* get() { return communicator_ ? &*communicator_ : nullptr; }

 private:
  std::optional<NcclLibrary> nccl_;
  std::optional<NcclCommunicator<NcclLibrary>> communicator_;
};

}  // namespace moderngpt2::distributed
