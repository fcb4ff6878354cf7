#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "moderngpt2/backend/host.hpp"
#include "moderngpt2/core/error.hpp"
#include "moderngpt2/io/checkpoint_files.hpp"
#include "moderngpt2/io/config_file.hpp"
#include "moderngpt2/io/gemma2.hpp"
#include "moderngpt2/io/hub_cache.hpp"
#include "moderngpt2/io/safetensors.hpp"
#include "moderngpt2/model/parameters.hpp"

namespace moderngpt2 {

namespace detail {

/// Throws an Error unless the tensor of a head equals the embedding to which the config ties it.
inline void require_tied_copy(const CheckpointTensors& file, const TensorInfo& head, const TensorInfo& embedding) {
  constexpr std::int64_t piece = 1 << 16;
  bool same = head.shape == embedding.shape;
  const std::int64_t size = same ? head.shape[0] * head.shape[1] : 0;
  std::vector<float> a(std::size_t(std::min(size, piece))), b(a.size());
  for (std::int64_t first = 0; same && first < size; first += piece) {
    const std::int64_t count = std::min(piece, size - first);
    file.read_as(head, a.data(), first, count);
    file.read_as(embedding, b.data(), first, count);
    same = std::memcmp(a.data(), b.data(), std::size_t(count) * sizeof(float)) == 0;
  }
  if (!same)
    throw Error(
        "{}: tensor {} differs from {}, to which tie_word_embeddings ties it. Set tie_word_embeddings to false in "
        "config.json to use both, or remove the tensor.",
        file.path_of(head).string(), head.name, embedding.name);
}

/// Throws Error unless `file` contains exactly the tensors of `table`, with their shapes.
inline void require_same_tensors(const CheckpointTensors& file, const std::vector<ParameterInfo>& table,
                                 const std::vector<std::string>& names, const Config& config) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const TensorInfo* info = file.find(names[i]);
    if (!info) throw Error("{}: tensor {}, which the config requires, is missing", file.path().string(), names[i]);
    if (info->shape != table[i].shape)
      throw Error("{}: tensor {} has the shape {}, the config requires {}", file.path_of(*info).string(), names[i],
                  shape_text(info->shape), shape_text(table[i].shape));
  }
  const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  for (const TensorInfo& info : file.tensors())
    if (!wanted.contains(info.name) && !(config.tied_head && info.name == "lm_head.weight"))
      throw Error("{}: tensor {} does not belong to a model with this config", file.path_of(info).string(),
                  excerpt(info.name));
  const TensorInfo* const head = config.tied_head ? file.find("lm_head.weight") : nullptr;
  for (std::size_t i = 0; head && i < table.size(); ++i)
    if (table[i].name == "transformer.wte.weight") require_tied_copy(file, *head, file.at(names[i]));
}

/// Reads a tensor into the elements of one parameter.
template <class B, class E>
void read_tensor(B& backend, ParameterPlaces<E> places, const ParameterInfo& p, const CheckpointTensors& file,
                 const TensorInfo& info) {
  places.visit(p, [&](auto to) {
    write_parameter(backend, to, p,
                    [&](std::int64_t first, std::int64_t n, auto* here) { file.read_as(info, here, first, n); });
  });
}

}  // namespace detail

/// Name of a parameter in the files of a checkpoint: Gemma 2's if its config is a gemma2 config, otherwise ours.
inline std::string name_in_file(const ParameterInfo& p, const ConfigFile& config) {
  return config.model_type == "gemma2" ? gemma2_name(p.name) : p.name;
}

/// Reads all weights of a model into `places` of a backend. Names and shapes are checked before the first weight
/// changes: a missing, extra or misshaped tensor is an Error that names it, and so is a stored head that differs from
/// the embedding although the config ties them. F64, F32, F16 and BF16 tensors are
/// converted to the places' element type. For a gemma2 config, files have Gemma 2's names.
template <class B, class E>
void load_weights(B& backend, ParameterPlaces<E> places, const std::vector<ParameterInfo>& table,
                  const CheckpointTensors& file, const ConfigFile& config) {
  std::vector<std::string> names;
  for (const ParameterInfo& p : table) names.push_back(name_in_file(p, config));
  detail::require_same_tensors(file, table, names, config.config);
  for (std::size_t i = 0; i < table.size(); ++i)
    detail::read_tensor(backend, places, table[i], file, file.at(names[i]));
}

/// Reads all weights of a model from a checkpoint. Throws an Error if another thread uses the model.
template <class M>
void load_weights(M& model, const CheckpointTensors& file, const ConfigFile& config) {
  const auto use = model.exclusive_use();
  load_weights(model.backend(), ParameterPlaces(model.weights()), model.parameters(), file, config);
}

/// Source of a tensor in a backend's memory. Backend and data must live until the file is written.
template <class B, class T>
TensorSource tensor_source_of(const B& backend, std::string name, std::vector<std::int64_t> shape, const T* data) {
  TensorSource source = tensor_source(std::move(name), std::move(shape), data);
  if constexpr (!OnHost<B>)
    source.fill = [&backend, data](std::uint64_t offset, std::span<std::byte> out) {
      if (!out.empty())
        download(backend, out.data(), reinterpret_cast<const std::byte*>(data) + offset, std::int64_t(out.size()));
    };
  return source;
}

/// Sources of all tensors of a set of buffers (weights, gradients or moments); `prefix` precedes every name. The
/// buffers must live until the file is written.
template <class B, class E>
std::vector<TensorSource> tensor_sources(const B& backend, ParameterPlaces<E> places,
                                         const std::vector<ParameterInfo>& table, const std::string& prefix = {}) {
  std::vector<TensorSource> sources;
  for (const ParameterInfo& p : table)
    sources.push_back(
        places.visit(p, [&](auto* from) { return tensor_source_of(backend, prefix + p.name, p.shape, from); }));
  return sources;
}

/// Writes model.safetensors, or shards with an index if larger than 5 GB. A tied head is not stored. Other threads may
/// use the model meanwhile, but not change its weights.
template <class M>
void save_weights(const std::filesystem::path& folder, const M& model) {
  const auto use = model.shared_use();
  write_sharded(folder, tensor_sources(model.backend(), ParameterPlaces(model.weights()), model.parameters()));
}

/// Loads a model from a checkpoint folder, or a repository of the Hugging Face cache: config.json and weights. `say` is
/// called with lines about tensors of other programs that are not read. Throws Error if they do not fit the model type.
template <class M>
M load_model(const std::filesystem::path& folder, typename M::Backend backend = typename M::Backend(),
             const std::function<void(const std::string&)>& say = {}) {
  const std::filesystem::path files = local_model(folder);
  const ConfigFile config = read_config(files, M::Head::architecture);
  M model(config.config, std::move(backend));
  const CheckpointTensors tensors(files);
  if (say)
    for (const std::string& line : tensors.notes()) say(line);
  load_weights(model, tensors, config);
  return model;
}

}  // namespace moderngpt2
