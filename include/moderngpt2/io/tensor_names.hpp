#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/safetensors_header.hpp"

// Names of tensors as other programs store them.
namespace moderngpt2::detail {

/// Whether a tensor is a buffer that older programs store although a model computes it from its config: rotary
/// frequencies, position numbers, and GPT-2's causal mask.
bool is_computed_buffer(const TensorInfo& info);

/// Name without the parts that wrappers of a model insert: DistributedDataParallel, torch.compile, FSDP and activation
/// checkpointing.
std::string without_wrappers(std::string_view name);

}  // namespace moderngpt2::detail

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE bool is_computed_buffer(const TensorInfo& info) {
  const auto is = [&](std::string_view buffer) {
    const std::string_view name = info.name;
    return name.ends_with(buffer) && (name.size() == buffer.size() || name[name.size() - buffer.size() - 1] == '.');
  };
  constexpr std::array<std::string_view, 5> buffers{"rotary_emb.inv_freq", "rotary_emb.original_inv_freq",
                                                    "rotary_emb.cos_cached", "rotary_emb.sin_cached", "position_ids"};
  if (std::any_of(buffers.begin(), buffers.end(), is)) return true;
  return (is("attn.bias") && info.shape.size() == 4) || (is("attn.masked_bias") && info.shape.empty());
}

MODERNGPT2_INLINE std::string without_wrappers(std::string_view name) {
  constexpr std::array<std::string_view, 3> wrappers{"_orig_mod.", "_fsdp_wrapped_module.",
                                                     "_checkpoint_wrapped_module."};
  std::string out;
  bool first = true;
  while (!name.empty()) {
    const auto wrapper =
        std::find_if(wrappers.begin(), wrappers.end(), [&](std::string_view one) { return name.starts_with(one); });
    if (wrapper != wrappers.end()) {
      name.remove_prefix(wrapper->size());
    } else if (first && name.starts_with("module.")) {
      name.remove_prefix(7);
    } else {
      const std::size_t part = std::min(name.find('.'), name.size() - 1) + 1;
      out += name.substr(0, part);
      name.remove_prefix(part);
      first = false;
    }
  }
  return out;
}

}  // namespace moderngpt2::detail

#endif
