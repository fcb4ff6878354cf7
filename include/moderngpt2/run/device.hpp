#pragma once

#include <cstdint>
#include <string>

#include <fmt/format.h>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/distributed/communicator.hpp"
#include "moderngpt2/run/plan.hpp"
#include "moderngpt2/run/request.hpp"
#include "moderngpt2/training/settings.hpp"

// Device of a run: the CPU, or one GPU per process.
namespace moderngpt2 {

/// Returns the backend for the device of a request. With several processes, each uses the GPU with its local rank;
/// throws UsageError if the request names a GPU other than 0.
template <class Backend>
Backend make_backend(const TrainingRequest& request, const distributed::CommunicatorBase& ranks) {
  if constexpr (OnHost<Backend>) {
    return Backend(request.threads);
  } else {
    const int named = request.gpu.value_or(0);
    if (ranks.size() > 1 && named != 0)
      throw UsageError("--device cuda:{}: each of {} processes takes a GPU of its own, write --device cuda", named,
                       ranks.size());
    Backend backend(ranks.size() > 1 ? Backend::device_of(ranks.local_rank()) : named);
    backend.use_tf32(request.precision == PrecisionName::tf32);
    backend.use_cudnn_attention(request.settings.cudnn_attention);
    return backend;
  }
}

/// Returns the settings that reduce memory, for an error message.
inline std::string memory_remedy(const TrainingSettings& s, bool eval_only) {
  const bool shards_more = s.world_size > 1 && s.zero_stage < 3;
  if (eval_only)
    return std::string("a smaller --per_device_eval_batch_size") + (shards_more ? ", or --zero_stage 3" : "");
  std::string text = "a smaller --per_device_train_batch_size, block or model";
  if (!s.gradient_checkpointing) text += shards_more ? ", --gradient_checkpointing" : ", or --gradient_checkpointing";
  return shards_more ? text + ", or a higher --zero_stage" : text;
}

/// Returns a line such as "GPU 0: 20.1 GiB of 79.1 GiB are free, the run takes 11.9 GiB". If the run does not fit and
/// `remedy` (settings that reduce memory) is not empty, throws an Error that names it.
template <class Backend>
std::string device_memory_text(const Backend& backend, const MemoryPlan& plan, const std::string& remedy = {}) {
  const auto memory = backend.memory();
  std::string text = fmt::format("GPU {}: {} of {} are free, the run takes {}", backend.device(),
                                 byte_text(memory.available), byte_text(memory.total), byte_text(plan.device_bytes));
  if (!remedy.empty() && plan.device_bytes > memory.available)
    throw Error("{}: use {}; --dry_run shows what takes it", text, remedy);
  return text;
}

}  // namespace moderngpt2
