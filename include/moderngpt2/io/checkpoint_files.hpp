#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "moderngpt2/core/error.hpp"
#include "moderngpt2/core/separate_compilation.hpp"
#include "moderngpt2/io/file.hpp"
#include "moderngpt2/io/folder.hpp"
#include "moderngpt2/io/gguf/reader.hpp"
#include "moderngpt2/io/gguf/tensors.hpp"
#include "moderngpt2/io/json.hpp"
#include "moderngpt2/io/safetensors_reader.hpp"
#include "moderngpt2/io/tensor_names.hpp"

namespace moderngpt2 {

namespace detail {

/// Path of a shard that an index names. Accepts plain file names inside the folder only. Links out of the folder are
/// refused except those of Hugging Face's cache, from `snapshots` to ../../blobs.
inline std::filesystem::path shard_path(const std::filesystem::path& folder, const std::string& name,
                                        const std::string& where) {
  namespace fs = std::filesystem;
  if (name.empty() || name == "." || name == ".." || name.find('/') != name.npos || name.find('\0') != name.npos ||
      name.size() > 255)
    throw Error("{}: weight_map names the shard {}, it must be a file in the same folder", where, excerpt(name));
  if (!name.ends_with(".safetensors"))
    throw Error("{}: weight_map names the shard {}, only .safetensors files are read", where, excerpt(name));
  const fs::path path = folder / name;
  std::error_code error;
  const fs::path real_folder = fs::canonical(folder, error);
  const fs::path real = fs::canonical(path, error);
  if (error) throw Error("{}: the shard {} is missing: {}", where, excerpt(name), error.message());
  const fs::path home = real_folder.parent_path();
  const bool cached = home.filename() == "snapshots" && real.parent_path() == home.parent_path() / "blobs";
  if (real.parent_path() != real_folder && !cached)
    throw Error("{}: the shard {} is a link that leads out of the folder", where, excerpt(name));
  return path;
}

/// Whether a file has an extension of pickled PyTorch weights, which can execute code when loaded.
inline bool is_pickle(const std::filesystem::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".bin" || extension == ".pt" || extension == ".pth" || extension == ".ckpt";
}

/// Whether a file has the name of weights that Transformers pickles: not the trainer's state beside them.
inline bool is_pickled_weights(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  for (const char* other : {"training_args", "optimizer", "scheduler", "scaler", "rng_state"})
    if (name.starts_with(other)) return false;
  return is_pickle(path);
}

/// Error for pickled weights, with a Python command that converts them.
inline Error pickle_error(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
  const std::string files = name.starts_with("pytorch_model") ? "pytorch_model*.bin"
                            : plain && name.size() < 100      ? name
                                                              : "*" + path.extension().string();
  return Error(
      "{}: pickled weights are not read, as they can run any code. Convert them in their folder: python3 -c \"import "
      "glob, torch; from safetensors.torch import save_file; w = {{}}; [w.update(torch.load(f, 'cpu', "
      "weights_only=True)) for f in glob.glob('{}')]; save_file({{k: v.contiguous().clone() for k, v in w.items()}}, "
      "'model.safetensors')\"",
      path.string(), files);
}

/// Error for a folder without safetensors files, with advice for weights of other kinds.
Error no_weights_error(const std::filesystem::path& folder);

}  // namespace detail

/// Tensors of a checkpoint: one safetensors file, a folder with model.safetensors or with shards and
/// model.safetensors.index.json, or a GGUF file, whose tensors have this library's names and are dequantized when read
/// (io/gguf/tensors.hpp). Same interface as SafetensorsFile. Threads: several may read at once.
class CheckpointTensors {
 public:
  explicit CheckpointTensors(const std::filesystem::path& file_or_folder);

  /// Path that the constructor received: the folder or the file.
  const std::filesystem::path& path() const { return path_; }
  /// Safetensors files; none for a GGUF file.
  const std::vector<SafetensorsFile>& files() const { return files_; }
  /// Tensors of all shards; `shard` is the index in `files`.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// Lines for the user about names of other programs: tensors that are not read, and wrappers' prefixes.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Metadata of the first safetensors file.
  const std::map<std::string, std::string>& metadata() const {
    static const std::map<std::string, std::string> none;
    return files_.empty() ? none : files_.front().metadata();
  }

  /// Returns the tensor with a name, or nullptr. at() throws Error instead.
  const TensorInfo* find(std::string_view name) const;
  const TensorInfo& at(std::string_view name) const;
  /// File that contains a tensor, for error messages.
  const std::filesystem::path& path_of(const TensorInfo& info) const { return gguf_ ? path_ : file(info).path(); }

  void read(const TensorInfo& info, std::span<std::byte> out, std::uint64_t offset = 0) const {
    gguf_ ? gguf_->read(info, out, offset) : file(info).read(info, out, offset);
  }
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out, std::int64_t first, std::int64_t count) const {
    gguf_ ? gguf_->read_as(info, out, first, count) : file(info).read_as(info, out, first, count);
  }
  template <TensorElement T>
  void read_as(const TensorInfo& info, T* out) const {
    read_as(info, out, 0, info.count());
  }
  template <TensorElement T>
  std::vector<T> read_vector(std::string_view name) const {
    const TensorInfo& info = at(name);
    std::vector<T> out(static_cast<std::size_t>(info.count()));
    read_as(info, out.data());
    return out;
  }

 private:
  const SafetensorsFile& file(const TensorInfo& info) const { return files_[static_cast<std::size_t>(info.shard)]; }

  void add(const std::filesystem::path& path);
  void add_gguf();

  void open_shards(const std::filesystem::path& index);

  /// Gives the tensors of other programs the names of this one: without wrappers, with the prefix that a model saved
  /// without its head lacks, and without buffers that a model computes.
  void adapt_names();

  /// Limit on open shards: each takes a file descriptor, and a process usually has 1024.
  static constexpr std::size_t max_shards = 900;

  std::filesystem::path path_;
  std::vector<SafetensorsFile> files_;
  std::shared_ptr<const GgufTensors> gguf_;  // in place of files_
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  std::vector<std::string> notes_;
};

}  // namespace moderngpt2

#ifndef MODERNGPT2_DECLARE_FILES

namespace moderngpt2::detail {

MODERNGPT2_INLINE Error no_weights_error(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries = folder_entries(folder);
  std::sort(entries.begin(), entries.end());
  for (const std::filesystem::path& entry : entries)
    if (is_pickled_weights(entry)) return pickle_error(entry);
  std::error_code error;
  if (std::filesystem::exists(folder / "adapter_config.json", error))
    return Error(
        "{}: an adapter (LoRA) without its model, which is not supported. Merge it into its model with "
        "merge_and_unload() of peft, and save that.",
        folder.string());
  return Error("{}: neither model.safetensors nor model.safetensors.index.json found", folder.string());
}

}  // namespace moderngpt2::detail

namespace moderngpt2 {

MODERNGPT2_INLINE CheckpointTensors::CheckpointTensors(const std::filesystem::path& file_or_folder)
    : path_(file_or_folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path_, error)) {
    if (detail::is_pickle(path_)) throw detail::pickle_error(path_);
    if (is_gguf(path_)) {
      add_gguf();
      return;
    }
    add(path_);
    adapt_names();
    return;
  }
  const fs::path single = path_ / "model.safetensors", index = path_ / "model.safetensors.index.json";
  if (fs::exists(fs::symlink_status(single, error))) {
    add(single);
  } else if (fs::exists(fs::symlink_status(index, error))) {
    open_shards(index);
  } else {
    throw detail::no_weights_error(path_);
  }
  adapt_names();
}

MODERNGPT2_INLINE const TensorInfo* CheckpointTensors::find(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  return found == index_.end() ? nullptr : &tensors_[found->second];
}

MODERNGPT2_INLINE const TensorInfo& CheckpointTensors::at(std::string_view name) const {
  if (const TensorInfo* info = find(name)) return *info;
  throw Error("{}: no tensor {}", path_.string(), excerpt(name));
}

MODERNGPT2_INLINE void CheckpointTensors::add(const std::filesystem::path& path) {
  files_.emplace_back(path);
  for (TensorInfo info : files_.back().tensors()) {
    info.shard = static_cast<int>(files_.size()) - 1;
    const auto [other, is_new] = index_.emplace(info.name, tensors_.size());
    if (!is_new)
      throw Error("tensor {} is in both {} and {}", excerpt(info.name), path_of(tensors_[other->second]).string(),
                  path.string());
    tensors_.push_back(std::move(info));
  }
}

MODERNGPT2_INLINE void CheckpointTensors::add_gguf() {
  gguf_ = std::make_shared<const GgufTensors>(path_);
  tensors_ = gguf_->tensors();
  for (std::size_t i = 0; i < tensors_.size(); ++i) index_.emplace(tensors_[i].name, i);
}

MODERNGPT2_INLINE void CheckpointTensors::adapt_names() {
  std::vector<TensorInfo> kept;
  std::unordered_map<std::string, std::size_t> index;
  std::string computed, wrapped;
  std::size_t computed_count = 0, wrapped_count = 0;
  std::string_view prefix;  // missing in the names of a model without head
  for (TensorInfo& info : tensors_) {
    if (detail::is_computed_buffer(info)) {
      if (computed_count++ == 0) computed = info.name;
      continue;
    }
    if (std::string name = detail::without_wrappers(info.name); name != info.name) {
      if (wrapped_count++ == 0) wrapped = info.name;
      info.name = std::move(name);
    }
    if (info.name == "embed_tokens.weight") prefix = "model.";
    if (info.name == "wte.weight") prefix = "transformer.";
    kept.push_back(std::move(info));
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    TensorInfo& info = kept[i];
    info.name.insert(0, prefix);
    if (!index.emplace(info.name, i).second)
      throw Error("{}: two tensors have the name {} without the prefixes of wrappers", path_of(info).string(),
                  excerpt(info.name));
  }
  if (computed_count > 0)
    notes_.push_back(fmt::format("{}: {} tensors such as {} are not read: they are computed from config.json",
                                 path_.string(), computed_count, excerpt(computed)));
  if (wrapped_count > 0)
    notes_.push_back(fmt::format("{}: the names of {} tensors are read without the prefixes of wrappers, such as {}",
                                 path_.string(), wrapped_count, excerpt(wrapped)));
  tensors_ = std::move(kept);
  index_ = std::move(index);
}

MODERNGPT2_INLINE void CheckpointTensors::open_shards(const std::filesystem::path& index) {
  const std::string where = index.string();
  const Json json = read_json_file(index);
  const Json* weight_map = find_field(json, "weight_map", where);
  if (!weight_map || !weight_map->is_object() || weight_map->empty())
    throw Error("{}: weight_map must be an object that maps tensors to files", where);
  std::vector<std::string> names;
  std::unordered_map<std::string, int> shards;
  for (const auto& [tensor, shard] : weight_map->items()) {
    const auto name = json_as<std::string>(shard, "weight_map " + excerpt(tensor), where);
    if (shards.emplace(name, static_cast<int>(names.size())).second) names.push_back(name);
  }
  if (names.size() > max_shards) throw Error("{}: {} shards, at most {} are opened", where, names.size(), max_shards);
  std::vector<std::filesystem::path> paths;
  for (const std::string& name : names) paths.push_back(detail::shard_path(path_, name, where));
  for (const auto& path : paths) add(path);
  for (const auto& [tensor, shard] : weight_map->items()) {
    const TensorInfo* info = find(tensor);
    const auto& name = shard.get_ref<const std::string&>();
    if (!info) throw Error("{}: no shard has the tensor {}, {} should", where, excerpt(tensor), excerpt(name));
    if (info->shard != shards.at(name))
      throw Error("{}: tensor {} is in {}, not in {}", where, excerpt(tensor), path_of(*info).filename().string(),
                  excerpt(name));
  }
}

}  // namespace moderngpt2

#endif
