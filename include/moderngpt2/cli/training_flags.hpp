#pragma once

#include <charconv>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <string>

#include "moderngpt2/cli/hugging_face_flags.hpp"
#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Accepts flags of other training programs that have no effect here, each with a note that says why: those of Hugging
/// Face's Trainer, and of the Python original of this program.
inline void add_ignored_training_flags(Options& options) {
  const auto ignore = [&](std::initializer_list<const char*> names, const char* note) {
    for (const char* name : names) options.add_ignored(name, note);
  };
  for (const ForeignFlag& flag : hugging_face_flags) options.add_foreign(flag);
  ignore({"streaming", "force_no_streaming", "dataset_streaming", "no_dataset_streaming"},
         "ignored: shards are always streamed");
  ignore({"dataset_cache_dir", "use_dataset_cache", "clear_dataset_cache"},
         "ignored: shards are read in place, without a cache");
  ignore({"language"}, "ignored: the shards determine the languages");
}

/// Number of the GPU that --device names; empty for cpu. Throws UsageError for any other word.
inline std::optional<int> gpu_number(const std::string& device) {
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  int number = -1;
  const char* const end = device.data() + device.size();
  if (!device.starts_with("cuda:") || std::from_chars(device.data() + 5, end, number).ptr != end || number < 0)
    throw UsageError("--device: '{}' is not one of cpu, cuda, cuda:N", device);
  return number;
}

/// Returns the error for --device cuda in a build without CUDA.
inline UsageError no_cuda(const std::string& device) {
  return UsageError(
      "--device {}: this program was built without CUDA; use --device cpu, or configure with "
      "-DMODERNGPT2_CUDA=ON",
      device);
}

/// Throws UsageError with the message `what`; in a dry run, prints it as a note instead.
inline void refuse_or_note(bool dry_run, const std::string& what) {
  if (!dry_run) throw UsageError("{}", what);
  std::printf("note: %s\n", what.c_str());
}

}  // namespace moderngpt2
