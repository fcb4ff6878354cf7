#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

/// Which tensors of a model with another head were taken.
struct SharedWeights {
  std::vector<std::string> fresh;   ///< of the model, not in the file: left as they were
  std::vector<std::string> unused;  ///< of the file, without a place in the model

  std::string text() const {
    std::string line = "the transformer's weights are taken";
    if (!fresh.empty()) line += fmt::format(", new are {}", fmt::join(fresh, ", "));
    if (!unused.empty()) line += fmt::format(", left out are {}", fmt::join(unused, ", "));
    return line;
  }
};

/// Reads those weights of a checkpoint that a model with another head has too: the whole transformer, which must be
/// there, and parts of the head that have the same name and shape. Throws an Error before the first weight is changed.
template <class M>
SharedWeights load_shared_weights(M& model, const CheckpointTensors& file, const ConfigFile& config) {
  SharedWeights result;
  std::vector<const TensorInfo*> sources;
  for (const ParameterInfo& p : model.parameters()) {
    const TensorInfo* info = file.find(config.model_type == "gemma2" ? gemma2_name(p.name) : p.name);
    const bool required = p.name.starts_with("transformer.");
    if (!info && required) throw Error("{} lacks the tensor {} that the config asks for", file.path().string(), p.name);
    if (info && info->shape != p.shape) {
      if (required)
        throw Error("{}: tensor {} has the shape {}, the config asks for {}", file.path_of(*info).string(), p.name,
                    shape_text(info->shape), shape_text(p.shape));
      info = nullptr;
    }
    if (!info) result.fresh.push_back(p.name);
    sources.push_back(info);
  }
  for (const TensorInfo& info : file.tensors()) {
    bool used = false;
    for (const TensorInfo* source : sources) used = used || source == &info;
    if (!used) result.unused.push_back(info.name);
  }
  edit_on_host(model.backend(), model.weights(), [&](const auto& weights) {
    for (std::size_t i = 0; i < sources.size(); ++i)
      if (sources[i]) file.read_as(*sources[i], weights.at(model.parameters()[i]));
  });
  return result;
}

}  // namespace moderngpt2
