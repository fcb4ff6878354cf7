#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

namespace detail {

/// A stored copy of the embedding under the head's name carries nothing new.
inline bool is_tied_copy(std::string_view name, const Config& c) { return c.tied_head && name == "lm_head.weight"; }

/// Throws an Error unless `file` holds exactly the tensors of `table`, in their shapes.
inline void require_same_tensors(const CheckpointTensors& file, const std::vector<ParameterInfo>& table,
                                 const std::vector<std::string>& names, const Config& config) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const TensorInfo* info = file.find(names[i]);
    if (!info) throw Error("{} lacks the tensor {} that the config asks for", file.path().string(), names[i]);
    if (info->shape != table[i].shape)
      throw Error("{}: tensor {} has the shape {}, the config asks for {}", file.path_of(*info).string(), names[i],
                  shape_text(info->shape), shape_text(table[i].shape));
  }
  const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  for (const TensorInfo& info : file.tensors())
    if (!wanted.contains(info.name) && !is_tied_copy(info.name, config))
      throw Error("{}: tensor {} has no place in a model of this config", file.path_of(info).string(),
                  excerpt(info.name));
}

}  // namespace detail

/// What a parameter is called in files of a config's kind.
inline std::string name_in_file(const ParameterInfo& p, const ConfigFile& config) {
  return config.model_type == "gemma2" ? gemma2_name(p.name) : p.name;
}

/// Reads all weights of a model into `places`. Names and shapes are checked before the first weight is changed: a
/// missing, an extra or a misshaped tensor is an Error that names it. Gemma 2's names are read where the config is
/// Gemma 2's. F64, F32, F16 and BF16 tensors are converted to the elements of the places.
template <class E>
void load_weights(ParameterPlaces<E> places, const std::vector<ParameterInfo>& table, const CheckpointTensors& file,
                  const ConfigFile& config) {
  std::vector<std::string> names;
  for (const ParameterInfo& p : table) names.push_back(name_in_file(p, config));
  detail::require_same_tensors(file, table, names, config.config);
  for (std::size_t i = 0; i < table.size(); ++i)
    places.visit(table[i], [&](auto* to) { file.read_as(file.at(names[i]), to); });
}

/// The same into the weights that a model computes with.
template <class M>
void load_weights(M& model, const CheckpointTensors& file, const ConfigFile& config) {
  edit_on_host(model.backend(), model.weights(),
               [&](const auto& weights) { load_weights(ParameterPlaces(weights), model.parameters(), file, config); });
}

/// Where each tensor of a set of buffers (weights, gradients, moments) is to be read from when it is written to a
/// file; `prefix` goes before every name. The buffers must live until the file is written.
template <class E>
std::vector<TensorSource> tensor_sources(ParameterPlaces<E> places, const std::vector<ParameterInfo>& table,
                                         const std::string& prefix = {}) {
  std::vector<TensorSource> sources;
  for (const ParameterInfo& p : table)
    sources.push_back(places.visit(p, [&](auto* from) { return tensor_source(prefix + p.name, p.shape, from); }));
  return sources;
}
template <class E>
std::vector<TensorSource> tensor_sources(const ParameterBuffers<E>& buffers, const std::vector<ParameterInfo>& table,
                                         const std::string& prefix = {}) {
  return tensor_sources(ParameterPlaces<E>(buffers), table, prefix);
}

/// Writes model.safetensors, or shards with an index past 5 GB. A tied head is not stored.
template <class M>
void save_weights(const std::filesystem::path& folder, const M& model) {
  const auto& weights = on_host(model.backend(), model.weights());
  write_sharded(folder, tensor_sources(weights, model.parameters()));
}

/// Opens a checkpoint folder: a model of its config with its weights.
template <class M>
M load_model(const std::filesystem::path& folder, typename M::Backend backend = typename M::Backend()) {
  const ConfigFile config = read_config(folder);
  M model(config.config, std::move(backend));
  load_weights(model, CheckpointTensors(folder), config);
  return model;
}

}  // namespace moderngpt2
