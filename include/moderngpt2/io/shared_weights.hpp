#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/model_files.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Differences between the tensors of a checkpoint and the parameters of a model with another head.
struct SharedWeights {
  std::vector<std::string> fresh;   ///< parameters of the model that the file lacks, to be initialized
  std::vector<std::string> unused;  ///< tensors of the file that the model lacks

  std::string text() const {
    std::string line = "the transformer's weights are loaded";
    if (!fresh.empty()) line += fmt::format("; initialized: {}", fmt::join(fresh, ", "));
    if (!unused.empty()) line += fmt::format("; not used: {}", fmt::join(unused, ", "));
    return line;
  }
};

/// Returns the tensor of a checkpoint with a parameter's name and shape, or nullptr. The checkpoint's model may have
/// another head. Throws Error if a tensor of the transformer is missing.
inline const TensorInfo* find_shared(const CheckpointTensors& file, const ConfigFile& config, const ParameterInfo& p) {
  const TensorInfo* info = file.find(name_in_file(p, config));
  const bool required = p.name.starts_with("transformer.");
  if (!info && required)
    throw Error("{}: tensor {}, which the config requires, is missing", file.path().string(), name_in_file(p, config));
  if (!info || info->shape == p.shape) return info;
  if (required)
    throw Error("{}: tensor {} has the shape {}, the config requires {}", file.path_of(*info).string(), info->name,
                shape_text(info->shape), shape_text(p.shape));
  return nullptr;
}

/// Parameters of `table` that a checkpoint of a model with another head can fill: the whole transformer, and parts of
/// the head that have the same name and shape. Throws an Error if the transformer does not fit.
inline SharedWeights find_shared_weights(const std::vector<ParameterInfo>& table, const CheckpointTensors& file,
                                         const ConfigFile& config) {
  SharedWeights result;
  std::vector<const TensorInfo*> sources;
  for (const ParameterInfo& p : table) {
    sources.push_back(find_shared(file, config, p));
    if (!sources.back()) result.fresh.push_back(p.name);
  }
  for (const TensorInfo& info : file.tensors()) {
    bool used = false;
    for (const TensorInfo* source : sources) used = used || source == &info;
    if (!used) result.unused.push_back(info.name);
  }
  return result;
}

}  // namespace moderngpt2
