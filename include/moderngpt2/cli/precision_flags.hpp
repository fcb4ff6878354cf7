#pragma once

#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// Values of --precision NAME and its short forms --bf16, --fp16 and --tf32.
struct PrecisionFlags {
  PrecisionName name = PrecisionName::fp32;
  bool bf16 = false, fp16 = false, tf32 = false;
};

inline void add_precision_flags(Options& options, PrecisionFlags& flags, std::string help) {
  options.add("precision", flags.name, std::move(help));
  options.add("bf16", flags.bf16, "Short for --precision bf16.");
  options.add("fp16", flags.fp16, "Short for --precision fp16. Needs a GPU.");
  options.add("tf32", flags.tf32, "Short for --precision tf32. Needs a GPU.");
}

/// Precision that the flags select. Throws UsageError if they contradict each other. --tf32 has no effect together with
/// another precision: as in PyTorch, it only affects matrix products in fp32.
inline PrecisionName precision_of(const Options& options, const PrecisionFlags& flags) {
  std::vector<PrecisionName> named;
  if (options.typed("precision")) named.push_back(flags.name);
  if (flags.bf16) named.push_back(PrecisionName::bf16);
  if (flags.fp16) named.push_back(PrecisionName::fp16);
  if (flags.tf32 && named.empty()) named.push_back(PrecisionName::tf32);
  for (const PrecisionName name : named)
    if (name != named[0])
      throw UsageError("{} and {} are both requested: choose one precision", precision_name(named[0]),
                       precision_name(name));
  return named.empty() ? flags.name : named[0];
}

}  // namespace moderngpt2
