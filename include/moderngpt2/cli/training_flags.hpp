#pragma once

#include <charconv>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Flags of training programs that other libraries need and this one does not: accepted, with a note about what holds
/// instead.
inline void add_ignored_training_flags(Options& options) {
  const auto ignore = [&](std::initializer_list<const char*> names, const char* note) {
    for (const char* name : names) options.add_ignored(name, note);
  };
  ignore({"torch_compile", "torch_compile_backend", "torch_compile_mode"},
         "nothing to do, the program is compiled already");
  ignore({"dataloader_pin_memory"}, "nothing to do, batches are read into memory that stays");
  ignore({"dataloader_prefetch_factor"},
         "the next step's blocks are read while a step runs (--dataloader_num_workers)");
  ignore({"streaming", "force_no_streaming", "dataset_streaming", "no_dataset_streaming"},
         "shards are always read as they are needed, never copied or loaded whole");
  ignore({"dataset_cache_dir", "use_dataset_cache", "clear_dataset_cache"},
         "there is no cache to keep, shards are read in place");
  ignore({"language"}, "the data set says what it holds");
}

/// The number of the GPU that --device names, nothing for cpu; a UsageError for any other word.
inline std::optional<int> gpu_number(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  int number = -1;
  const char* const end = device.data() + device.size();
  if (!device.starts_with("cuda:") || std::from_chars(device.data() + 5, end, number).ptr != end || number < 0)
    throw UsageError("--device: '{}' is not one of cpu, cuda, cuda:N", device);
  return number;
}

/// The error about --device cuda of a program without it.
inline UsageError no_cuda(const std::string& device) {
  return UsageError(
      "--device {}: this program was built without CUDA (configure with -DMODERNGPT2_CUDA=ON), it has "
      "--device cpu",
      device);
}

/// What a run lacks: refused as a usage error, but a dry run only notes it.
inline void refuse_or_note(bool dry_run, const std::string& what) {
  if (!dry_run) throw UsageError("{}", what);
  std::printf("note: %s\n", what.c_str());
}

}  // namespace moderngpt2
