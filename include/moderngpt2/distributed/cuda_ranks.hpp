#pragma once

#include <optional>

#include "moderngpt2/backend/cuda/backend.hpp"
#include "moderngpt2/distributed/agreement.hpp"
#include "moderngpt2/distributed/device_ranks.hpp"
#include "moderngpt2/distributed/nccl.hpp"

namespace moderngpt2::distributed {

/// Ranks that are GPUs, by NCCL; its collectives are ordered with the work of the backend's stream. Where there is one
/// rank, NCCL is not loaded.
template <>
class DeviceRanks<cuda::Backend> {
 public:
  /// All ranks at once. Throws an Error on all where one cannot.
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
