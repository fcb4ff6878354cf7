#pragma once

#include <string>
#include <utility>
#include <vector>

#include "moderngpt2/cli/options.hpp"
#include "moderngpt2/config/precision.hpp"
#include "moderngpt2/core/error.hpp"

namespace moderngpt2 {

/// --precision NAME, and the short forms --bf16, --fp16 and --tf32.
struct PrecisionFlags {
  PrecisionName name = PrecisionName::fp32;
  bool bf16 = false, fp16 = false, tf32 = false;
};

inline void add_precision_flags(Options& options, PrecisionFlags& flags, std::string help) {
  std::vector<std::pair<std::string, PrecisionName>> names;
  for (int i = 0; i < 4; ++i) names.emplace_back(precision_name(PrecisionName(i)), PrecisionName(i));
  options.add_choice("precision", flags.name, std::move(names), std::move(help));
  options.add("bf16", flags.bf16, "short for --precision bf16");
  options.add("fp16", flags.fp16, "short for --precision fp16, which needs a GPU");
  options.add("tf32", flags.tf32, "short for --precision tf32, which needs a GPU");
}

/// The precision that the flags name together; a UsageError where they disagree. --tf32 beside another says, as in
/// PyTorch, how products that stay in fp32 are made: the other holds.
inline PrecisionName precision_of(const Options& options, const PrecisionFlags& flags) {
  std::vector<PrecisionName> named;
  if (options.typed("precision")) named.push_back(flags.name);
  if (flags.bf16) named.push_back(PrecisionName::bf16);
  if (flags.fp16) named.push_back(PrecisionName::fp16);
  if (flags.tf32 && named.empty()) named.push_back(PrecisionName::tf32);
  for (const PrecisionName name : named)
    if (name != named[0])
      throw UsageError("{} and {} are asked for: name one precision", precision_name(named[0]), precision_name(name));
  return named.empty() ? flags.name : named[0];
}

}  // namespace moderngpt2
